/**
 * How fast the filesystem core alone is: no kernel, no journal, no network, slices in memory
 * without hashes. Prints one line a measurement. Not a test: nothing depends on the figures.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { decodeOps, encodeOps } from '../../src/fs/op-codec.ts'
import type { Epoch, Ino } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { name, openFixture, root, WRITER } from '../../test/fs/fixture.ts'

const COUNT = 50_000
const PER_DIRECTORY = 1000
const PAGE = Buffer.alloc(4096, 7)
const PLAIN = { append: false, killSuidGid: false }

const directory = mkdtempSync(join(tmpdir(), 'tandemfs-bench-'))
const { fs, state, log, slices } = openFixture(directory)
slices.hash = false

interface Start {
  readonly wallMs: number
  readonly cpu: NodeJS.CpuUsage
}

function begin(): Start {
  return { wallMs: performance.now(), cpu: process.cpuUsage() }
}

function report(what: string, count: number, start: Start): void {
  const { user, system } = process.cpuUsage(start.cpu)
  const perSecond = (elapsedMs: number) =>
    String(Math.round((count / elapsedMs) * 1000)).padStart(9)
  const wall = perSecond(performance.now() - start.wallMs)
  const cpu = perSecond((user + system) / 1000)
  console.log(`${what.padEnd(28)} ${wall} /s ${cpu} per CPU second`)
}

async function measure(what: string, run: (i: number) => unknown): Promise<void> {
  const start = begin()
  for (let i = 0; i < COUNT; i++) await run(i)
  report(what, COUNT, start)
  const commit = performance.now()
  state.commit({ epoch: 1 as Epoch, applied: new Map([[WRITER, log.seq]]) })
  const elapsedMs = performance.now() - commit
  if (elapsedMs > 20) console.log(`  (then a commit of ${elapsedMs.toFixed(0)} ms)`)
}

const names = Array.from({ length: PER_DIRECTORY }, (_, i) => name(`file-${i}`))
const parents: Ino[] = []
const inos: Ino[] = []
const at = (i: number): Ino => inos[i] ?? ROOT_INO
const parentAt = (i: number): Ino => parents[Math.floor(i / PER_DIRECTORY)] ?? ROOT_INO
const nameAt = (i: number): Uint8Array => names[i % PER_DIRECTORY] ?? PAGE

try {
  for (let i = 0; i < COUNT / PER_DIRECTORY; i++) {
    parents.push((await fs.mkdir(root, ROOT_INO, name(`d${i}`), 0o755)).ino)
  }
  await measure('create (mknod)', async (i) => {
    inos.push((await fs.mknod(root, parentAt(i), nameAt(i), 0o100644, 0)).ino)
  })
  await measure('lookup', (i) => fs.lookup(root, parentAt(i), nameAt(i)))
  await measure('getattr', (i) => fs.getattr(root, at(i)))
  await measure('chmod', (i) => fs.setattr(root, at(i), { mode: 0o600 }))
  const { attr, handle } = await fs.create(root, ROOT_INO, name('data'), 0o644, 0o102)
  await measure('write 4 KiB, sequential', (i) =>
    fs.write(root, attr.ino, handle, i * 4096, PAGE, PLAIN)
  )
  await measure('write 4 KiB, overwrite', (i) =>
    fs.write(root, attr.ino, handle, ((i * 7919) % COUNT) * 4096, PAGE, PLAIN)
  )
  await measure('read 4 KiB', (i) =>
    fs.read(root, attr.ino, handle, ((i * 7919) % COUNT) * 4096, 4096)
  )
  log.record = true
  await measure('rename', (i) =>
    fs.rename(root, parentAt(i), nameAt(i), parentAt(i), name(`r${i}`), {
      noReplace: false,
      exchange: false
    })
  )
  const encode = begin()
  const encoded: Buffer[] = []
  for (let i = 0; i < log.ops.length; i += 100) encoded.push(encodeOps(log.ops.slice(i, i + 100)))
  report('encode ops', log.ops.length, encode)
  const decode = begin()
  for (const one of encoded) decodeOps(one)
  report('decode ops', log.ops.length, decode)
  log.record = false
  await measure('unlink', (i) => fs.unlink(root, parentAt(i), name(`r${i}`)))
  await measure('reap', (i) => log.submit({ type: 'reap', ino: at(i) }))
} finally {
  state.close()
  rmSync(directory, { recursive: true, force: true })
}
