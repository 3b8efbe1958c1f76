import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ExitCode } from '../../src/mount/daemon/exit-codes.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'

const DISK_BYTES = 256 * 2 ** 20
const FILE_BYTES = 4 * 2 ** 20
const FILES_MAX = 2 * (DISK_BYTES / FILE_BYTES)
const DEADLINE_MS = 180_000

/** Each node's state on a small disk of its own; closing the volume detaches it again. */
const volume = new SharedVolume({
  prepare(folder) {
    const state = join(folder, 'state')
    mkdirSync(state, { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', state])
  }
})

const options = { minutes: 8, daemons: true, programs: ['mount'] }

scenario('full disk - ENOSPC for writers, reads go on, recovers', options, volume, async (t) => {
  const { a, b, pathA, pathB, nodeA, nodeB } = await volume.pair()
  await a.call('write', { path: pathA('kept'), label: 'kept', version: 1, sizeBytes: 500_000 })
  await a.call('makeFolders', { path: pathA('filled') })
  const fill = { path: pathA('filled'), sizeBytes: FILE_BYTES, countMax: FILES_MAX }
  const filled = await a.call('fillUp', fill, DEADLINE_MS)
  t.is(filled.code, 'ENOSPC', `after ${filled.count} files of 4 MiB on a disk of 256 MiB`)
  t.ok(filled.count > 10, 'most of the disk was usable')

  for (const [worker, path] of [
    [a, pathA],
    [b, pathB]
  ] as const) {
    const kept = await worker.call('identify', { path: path('kept'), label: 'kept' })
    t.is(kept.version, 1, 'reads go on')
    t.is((await worker.call('readdir', { path: path('') })).length, 2, 'listing goes on')
  }
  const big = { path: pathB('filled/more'), label: 'more', version: 1, sizeBytes: 40 * FILE_BYTES }
  t.is(await b.outcome('write', big, DEADLINE_MS), 'ENOSPC', 'on the other node too')
  t.ok((await b.call('statfs', { path: pathB('') })).freeBytes < 4 * FILE_BYTES, 'df tells')
  t.is((await nodeA.status()).code, ExitCode.ok, 'A goes on')
  t.is((await nodeB.status()).code, ExitCode.ok, 'B goes on')

  t.is(await b.outcome('removeTree', { path: pathB('filled') }), 'ok', 'unlink works')
  const label = 'again'
  const write = { path: pathA(label), label, version: 1, sizeBytes: 2 * FILE_BYTES, fsync: true }
  const end = Date.now() + DEADLINE_MS
  while ((await a.outcome('write', write, DEADLINE_MS)) === 'ENOSPC') {
    if (Date.now() > end) throw new Error('space never returned')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const again = await b.call('identify', { path: pathB(label), label })
  t.is(again.version, 1, 'writes again once space has returned')
  const onA = await a.call('hashTree', { path: pathA('') })
  const onB = await b.call('hashTree', { path: pathB('') })
  t.alike(onB, onA, 'both nodes equal')
})

scenario('full disk - a node that crashes while full mounts again', options, volume, async (t) => {
  const { a, nodeA, nodeB, pathA, pathB } = await volume.pair()
  await a.call('makeFolders', { path: pathA('filled') })
  const fill = { path: pathA('filled'), sizeBytes: FILE_BYTES, countMax: FILES_MAX }
  const filled = await a.call('fillUp', fill, DEADLINE_MS)
  t.is(filled.code, 'ENOSPC')
  nodeB.killWorkers()
  await nodeB.kill()
  await nodeB.mount()
  const b = nodeB.worker()
  const onA = await a.call('hashTree', { path: pathA('') }, DEADLINE_MS)
  const onB = await b.call('hashTree', { path: pathB('') }, DEADLINE_MS)
  t.alike(onB, onA, `equal with ${filled.count} files`)
  await b.call('removeTree', { path: pathB('filled') }, DEADLINE_MS)
  t.alike(await a.call('readdir', { path: pathA('') }), [])
  t.is((await nodeA.status()).code, ExitCode.ok)
})

finishVolume(volume)
