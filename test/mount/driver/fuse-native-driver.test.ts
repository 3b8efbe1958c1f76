/** The optional driver on real mounts, by the same conformance functions as the default one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import test, { type Test } from 'brittle'
import { findMount } from '../../../src/mount/mounting/mountinfo.ts'
import { freshMountPoint, run } from '../channel/mounts.ts'
import { basicConformance } from '../conformance.ts'

const program = fileURLToPath(new URL('./mounted-process.js', import.meta.url))
const FILES = '300'

function isInstalled(): boolean {
  try {
    return createRequire(import.meta.url).resolve('fuse-native') !== ''
  } catch {
    return false
  }
}

const skip = !isInstalled()

interface Mounted {
  readonly path: string
  readonly child: ChildProcess
  /** What it printed, when it has ended. */
  readonly ended: Promise<string>
}

async function mounted(t: Test, ...args: readonly string[]): Promise<Mounted> {
  const path = await freshMountPoint(t)
  const child = spawn(process.execPath, [program, path, ...args], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  const ended = new Promise<string>((resolve) => child.on('close', () => resolve(said)))
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.startsWith('ready\n')) resolve()
    })
    child.on('close', () => reject(new Error(`ended before it was ready: ${said}`)))
  })
  return { path, child, ended }
}

for (const name of ['naive', 'real'] as const) {
  test(`fuse-native - a process uses the ${name} filesystem`, {
    skip,
    timeout: 120_000
  }, async (t) => {
    const { path, child, ended } = await mounted(t, ...(name === 'real' ? [await t.tmp()] : []))
    t.is(findMount(path)?.type, 'fuse.tandemfs')
    t.is(findMount(path)?.source, 'vol,a b')
    const { status, said } = await run('python3', ['-c', basicConformance, path, FILES])
    t.is(status, 0, said)
    child.kill('SIGTERM')
    t.is(await ended, 'ready\n[]', 'it ends, and no error was logged')
    t.is(findMount(path), undefined)
  })
}

test('fuse-native - it ends when somebody else unmounts', { skip }, async (t) => {
  const { path, ended } = await mounted(t)
  t.is((await run('umount', [path])).status, 0)
  t.is(await ended, 'ready\n[]')
})
