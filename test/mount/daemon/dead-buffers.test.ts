import { spawnSync } from 'node:child_process'
import test from 'brittle'
import { DeadBuffers } from '../../../src/mount/daemon/dead-buffers.ts'

const MIB = 1024 * 1024

test('dead buffers - collected once for so many bytes', (t) => {
  let collections = 0
  const dead = new DeadBuffers({
    collectYoung: () => {
      collections++
    }
  })
  for (let i = 0; i < 5; i++) dead.noteBytes(MIB)
  t.is(collections, 0)
  dead.noteBytes(MIB)
  t.is(collections, 1)
  for (let i = 0; i < 12; i++) dead.noteBytes(MIB)
  t.is(collections, 3)
  dead.noteBytes(100 * MIB)
  t.is(collections, 4, 'once, however much it was')
})

const PROGRAM = `
  import { collectYoungObjects } from '${new URL('../../../src/mount/daemon/dead-buffers.js', import.meta.url)}'
  let kept
  for (let i = 0; i < 32; i++) kept = Buffer.allocUnsafeSlow(${MIB})
  const before = process.memoryUsage().arrayBuffers
  collectYoungObjects()
  console.log(Math.round((before - process.memoryUsage().arrayBuffers) / ${MIB}), kept.length)
`

test('dead buffers - what nobody holds any more is freed, where the process allows it', (t) => {
  const freedMib = (flags: readonly string[]): number => {
    const { stdout } = spawnSync(
      process.execPath,
      [...flags, '--input-type=module', '--eval', PROGRAM],
      { encoding: 'utf8' }
    )
    return Number(stdout.split(' ')[0])
  }
  t.ok(freedMib(['--expose-gc']) >= 16)
  t.ok(freedMib([]) < 16, 'nothing happens without the flag')
})
