import test from 'brittle'
import { ByteWriter } from '../../src/fs/byte-codec.ts'
import { encodeOps, OPS_MAX } from '../../src/fs/op-codec.ts'
import { OP_LIST_START, OpList } from '../../src/fs/op-list.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { sampleOps } from './op-samples.ts'

test('op-list - the list from any place on is what encodeOps gives for those ops', (t) => {
  const list = new OpList()
  const places = [OP_LIST_START]
  for (const op of sampleOps) {
    list.add(op)
    places.push(list.end)
  }
  const to = new ByteWriter()
  for (const [at, place] of places.entries()) {
    t.is(place.ops, at)
    list.write(to, place)
    t.ok(to.finish().equals(encodeOps(sampleOps.slice(at))), `from op ${at} on`)
  }
})

test('op-list - a list that was cleared begins anew, with the lowest version', (t) => {
  const list = new OpList()
  for (const op of sampleOps) list.add(op)
  list.clear()
  t.alike(list.end, OP_LIST_START)
  const op = { type: 'reap', ino: 5 as Ino } as const
  list.add(op)
  const to = new ByteWriter()
  list.write(to, OP_LIST_START)
  t.ok(to.finish().equals(encodeOps([op])))
})

test('op-list - no more ops than a list may hold', (t) => {
  const list = new OpList()
  for (let i = 0; i < OPS_MAX; i++) list.add({ type: 'reap', ino: 5 as Ino })
  t.exception(() => list.add({ type: 'reap', ino: 5 as Ino }), /too many ops/)
})
