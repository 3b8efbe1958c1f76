import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'brittle'

function projectRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder)
  return folder
}

function bootstrap(root: string, ...args: string[]): Promise<{ code: number; err: string }> {
  const script = path.join(projectRoot(), 'scripts/bootstrap.mjs')
  return new Promise((resolve) => {
    execFile(process.execPath, [script, '--root', root, ...args], (error, _out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), err })
    })
  })
}

/** A small project that has everything installed already. */
async function project(tmp: string): Promise<string> {
  const root = path.join(tmp, 'project')
  mkdirSync(path.join(root, 'node_modules/some'), { recursive: true })
  mkdirSync(path.join(root, 'src'))
  writeFileSync(path.join(root, 'package.json'), '{"name":"p","version":"1.0.0","type":"module"}')
  const lock = {
    packages: {
      '': {},
      'node_modules/some': { version: '1.2.3' },
      'node_modules/other-platform': { version: '1.0.0', optional: true }
    }
  }
  writeFileSync(path.join(root, 'package-lock.json'), JSON.stringify(lock))
  const installed = { packages: { 'node_modules/some': { version: '1.2.3' } } }
  writeFileSync(path.join(root, 'node_modules/.package-lock.json'), JSON.stringify(installed))
  writeFileSync(path.join(root, 'node_modules/some/package.json'), '{}')
  const typescript = path.join(projectRoot(), 'node_modules/typescript')
  symlinkSync(typescript, path.join(root, 'node_modules/typescript'))
  const scope = path.join(projectRoot(), 'node_modules/@typescript')
  symlinkSync(scope, path.join(root, 'node_modules/@typescript'))
  const options = {
    module: 'NodeNext',
    target: 'ES2023',
    outDir: 'dist',
    rootDir: '.',
    sourceMap: true,
    types: []
  }
  const config = { compilerOptions: options, include: ['src'] }
  writeFileSync(path.join(root, 'tsconfig.json'), JSON.stringify(config))
  writeFileSync(path.join(root, 'src/one.ts'), 'export const one = 1\n')
  return root
}

test('bootstrap - what is there is not made again', async (t) => {
  const root = await project(await t.tmp())
  t.alike(await bootstrap(root, '--no-compile'), { code: 0, err: '' })
  t.absent(existsSync(path.join(root, 'dist')))
  t.alike(await bootstrap(root), { code: 0, err: '' })
  t.alike(await bootstrap(root), { code: 0, err: '' }, 'a second time')
  t.is(
    readFileSync(path.join(root, 'dist/src/one.js'), 'utf8').split('\n')[0],
    'export const one = 1;'
  )
})

test('bootstrap - compiled files without a source are removed', async (t) => {
  const root = await project(await t.tmp())
  mkdirSync(path.join(root, 'dist/src/gone'), { recursive: true })
  for (const name of ['gone/old.js', 'gone/old.js.map', 'keep.txt']) {
    writeFileSync(path.join(root, 'dist/src', name), '')
  }
  t.is((await bootstrap(root)).code, 0)
  t.absent(existsSync(path.join(root, 'dist/src/gone/old.js')))
  t.absent(existsSync(path.join(root, 'dist/src/gone/old.js.map')))
  t.ok(existsSync(path.join(root, 'dist/src/keep.txt')), 'nothing else is touched')
})

test('bootstrap - a source that does not compile is an error', async (t) => {
  const root = await project(await t.tmp())
  writeFileSync(path.join(root, 'src/two.ts'), 'export const two: number = "2"\n')
  const { code, err } = await bootstrap(root)
  t.is(code, 1)
  t.ok(err.includes('two.ts') && err.includes('bootstrap: '), err)
})

test('bootstrap - an addon is compiled when missing or older than its sources', async (t) => {
  const root = await project(await t.tmp())
  const source = path.join(root, 'src/mount/native')
  mkdirSync(source, { recursive: true })
  const code = '#include <node_api.h>\nNAPI_MODULE_INIT() { return exports; }\n'
  writeFileSync(path.join(source, 'tiny.c'), code)
  const recipe = "{'targets':[{'target_name':'tiny','sources':['src/mount/native/tiny.c']}]}"
  writeFileSync(path.join(root, 'binding.gyp'), recipe)
  const first = await bootstrap(root, '--no-compile')
  t.ok(first.err.includes('compiling the addon') && !first.err.includes('no addon'), first.err)
  const addon = path.join(root, 'build/Release/tiny.node')
  const builtMs = statSync(addon).mtimeMs
  t.is((await bootstrap(root, '--no-compile')).err, '', 'not again')
  const later = new Date(builtMs + 1000)
  utimesSync(path.join(source, 'tiny.c'), later, later)
  t.ok((await bootstrap(root, '--no-compile')).err.includes('compiling the addon'), 'again')
  writeFileSync(path.join(source, 'tiny.c'), 'this is not C\n')
  utimesSync(path.join(source, 'tiny.c'), new Date(Date.now() + 2000), new Date(Date.now() + 2000))
  const broken = await bootstrap(root, '--no-compile')
  t.is(broken.code, 0, 'the fallback channel serves without it')
  t.ok(broken.err.includes('no addon, the fallback channel will be used'))
})
