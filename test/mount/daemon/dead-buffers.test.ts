import test from 'brittle'
import {
  collectAllObjects,
  collectYoungObjects,
  DeadBuffers
} from '../../../src/mount/daemon/dead-buffers.ts'

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

test('dead buffers - young objects alone are collected, where the process allows it', (t) => {
  const before = globalThis.gc
  t.teardown(() => {
    globalThis.gc = before
  })
  const asked: unknown[] = []
  globalThis.gc = ((options: unknown) => {
    asked.push(options)
  }) as typeof globalThis.gc
  collectYoungObjects()
  t.alike(asked, [{ type: 'minor' }])
  collectAllObjects()
  t.alike(asked[1], undefined, 'all objects at rest')
  globalThis.gc = undefined
  t.execution(() => collectYoungObjects(), 'nothing happens without the flag')
})
