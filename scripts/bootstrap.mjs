/**
 * Makes a checkout runnable: installs the dependencies, compiles the addon and the sources, each
 * only when needed. Plain JavaScript without dependencies, because it runs before there are any.
 *
 *   node scripts/bootstrap.mjs [--no-compile] [--root DIR]
 */
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync
} from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const SOURCE_FOLDERS = ['src', 'test', 'scripts', 'bench']
const ADDON_SOURCES = 'src/mount/native'

export function projectRoot() {
  return path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
}

/** Name of the first package that package-lock.json asks for and node_modules lacks, if any. */
export function firstMissingPackage(root) {
  const installedFile = path.join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installedFile)) return 'node_modules'
  const wanted = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages
  for (const [location, entry] of Object.entries(wanted)) {
    if (location === '' || entry.optional || entry.devOptional || entry.peer) continue
    if (installed[location]?.version !== entry.version) return location
    if (!existsSync(path.join(root, location, 'package.json'))) return location
  }
  return undefined
}

/** Newest modification time below a folder, in ms; 0 when it does not exist. */
function newestChange(folder) {
  if (!existsSync(folder)) return 0
  let newest = 0
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!/\.(c|h|gyp)$/.test(entry.name)) continue
    newest = Math.max(newest, statSync(path.join(entry.parentPath, entry.name)).mtimeMs)
  }
  return newest
}

/** True when binding.gyp exists and its result is missing or older than its sources. */
export function addonIsStale(root) {
  const recipe = path.join(root, 'binding.gyp')
  if (!existsSync(recipe)) return false
  const folder = path.join(root, 'build/Release')
  const built = existsSync(folder)
    ? readdirSync(folder).filter((name) => name.endsWith('.node'))
    : []
  if (built.length === 0) return true
  const newest = Math.max(
    statSync(recipe).mtimeMs,
    newestChange(path.join(root, ADDON_SOURCES)),
    statSync(process.execPath).mtimeMs
  )
  return built.some((name) => statSync(path.join(folder, name)).mtimeMs < newest)
}

/** node-gyp comes with npm: beside the running npm, beside node, or beside the npm in PATH. */
export function findNodeGyp() {
  const npmFolders = []
  const running = process.env['npm_execpath']
  if (running) npmFolders.push(path.dirname(path.dirname(realpathSync(running))))
  npmFolders.push(path.resolve(path.dirname(process.execPath), '../lib/node_modules/npm'))
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    const npm = path.join(folder, 'npm')
    if (folder && existsSync(npm)) npmFolders.push(path.dirname(path.dirname(realpathSync(npm))))
  }
  npmFolders.push('/usr/share/nodejs/npm')
  const candidates = npmFolders.map((npm) =>
    path.join(npm, 'node_modules/node-gyp/bin/node-gyp.js')
  )
  candidates.push('/usr/share/nodejs/node-gyp/bin/node-gyp.js')
  return candidates.find((file) => existsSync(file))
}

/** Runs a build step; its output is shown only when it fails or the terminal is watching. */
function runStep(root, label, command, args, env = process.env) {
  process.stderr.write(`# ${label}\n`)
  const result = spawnSync(command, args, {
    cwd: root,
    env,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe']
  })
  if (result.status === 0) return
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  const cause = result.error ? result.error.message : `exit code ${result.status}`
  throw new Error(`${label} failed (${cause})`)
}

/**
 * Installs what package-lock.json names and leaves that file alone. Not `npm ci`: that begins by
 * removing what is there, and refuses when a registry lacks something optional.
 */
function installPackages(root) {
  const missing = firstMissingPackage(root)
  if (missing === undefined) return
  runStep(root, `installing packages (${missing} is missing; a few minutes)`, 'npm', [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund'
  ])
}

/** Loads the compiled dependency in a child, so that a wrong build is noticed before a test is. */
function ensureSqlite(root) {
  if (!existsSync(path.join(root, 'node_modules/better-sqlite3'))) return
  const probe = "new (require('better-sqlite3'))(':memory:').close()"
  if (spawnSync(process.execPath, ['-e', probe], { cwd: root }).status === 0) return
  runStep(root, 'compiling better-sqlite3', 'npm', ['rebuild', 'better-sqlite3'], withHeaders())
}

/** Points node-gyp at the headers installed with node, so that nothing is downloaded. */
function withHeaders() {
  if (process.env['npm_config_nodedir']) return process.env
  const prefix = path.resolve(path.dirname(realpathSync(process.execPath)), '..')
  if (!existsSync(path.join(prefix, 'include/node/node_api.h'))) return process.env
  return { ...process.env, npm_config_nodedir: prefix }
}

/** The addon is optional: without it the fallback channel serves, and that is said. */
function buildAddon(root) {
  if (!addonIsStale(root)) return
  const gyp = findNodeGyp()
  try {
    if (gyp === undefined) throw new Error('node-gyp was not found beside npm')
    runStep(root, 'compiling the addon', process.execPath, [gyp, 'rebuild'], withHeaders())
  } catch (error) {
    process.stderr.write(`# no addon, the fallback channel will be used: ${error.message}\n`)
  }
}

/** Deletes compiled files whose source is gone; an old test must not keep running. */
export function removeOrphans(root) {
  const removed = []
  for (const folder of SOURCE_FOLDERS) {
    const compiled = path.join(root, 'dist', folder)
    if (!existsSync(compiled)) continue
    for (const entry of readdirSync(compiled, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.js(\.map)?$/.test(entry.name)) continue
      const file = path.join(entry.parentPath, entry.name)
      const source = path.relative(path.join(root, 'dist'), file).replace(/\.js(\.map)?$/, '.ts')
      if (existsSync(path.join(root, source))) continue
      rmSync(file)
      removed.push(file)
    }
  }
  return removed
}

function compile(root) {
  mkdirSync(path.join(root, 'dist'), { recursive: true })
  removeOrphans(root)
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  const result = spawnSync(process.execPath, [tsc, '-p', root], {
    cwd: root,
    stdio: ['ignore', 2, 2]
  })
  if (result.status !== 0) throw new Error('the sources do not compile')
}

/** Everything that is needed before the sources compile. Does nothing when all is in place. */
export function prepare(root) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 15)) {
    throw new Error(`node ${process.versions.node} is too old: tandemfs needs 20.15 or newer`)
  }
  installPackages(root)
  ensureSqlite(root)
  buildAddon(root)
}

function main(args) {
  const rootAt = args.indexOf('--root')
  const root = rootAt >= 0 ? path.resolve(args[rootAt + 1] ?? '.') : projectRoot()
  try {
    prepare(root)
    if (!args.includes('--no-compile')) compile(root)
  } catch (error) {
    process.stderr.write(`bootstrap: ${error.message}\n`)
    process.exit(1)
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2))
}
