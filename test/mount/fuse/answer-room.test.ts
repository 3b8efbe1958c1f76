import test from 'brittle'
import { MAX_IO_BYTES } from '../../../src/mount/fuse/abi.ts'
import { AnswerRoom } from '../../../src/mount/fuse/answer-room.ts'

test('answer room - what was given back is used again, whatever part of it was taken', (t) => {
  const rooms = new AnswerRoom({ pageOffset: () => 0 })
  const first = rooms.take(40_000)
  const second = rooms.take(MAX_IO_BYTES)
  t.is(first.length, 40_000)
  t.is(second.length, MAX_IO_BYTES)
  t.ok(first.buffer !== second.buffer, 'two at a time are two')
  rooms.give(first)
  const third = rooms.take(MAX_IO_BYTES)
  t.ok(third.buffer === first.buffer)
  t.is(third.length, MAX_IO_BYTES, 'all of it')
})

test('answer room - small and oversized ones are never kept', (t) => {
  const rooms = new AnswerRoom({ pageOffset: () => 0 })
  const small = rooms.take(100)
  const huge = rooms.take(MAX_IO_BYTES + 1)
  t.is(small.length, 100)
  t.is(huge.length, MAX_IO_BYTES + 1)
  rooms.give(small)
  rooms.give(huge)
  const large = rooms.take(40_000)
  t.ok(large.buffer !== small.buffer && large.buffer !== huge.buffer)
})

test('answer room - no more than a few are kept', (t) => {
  const rooms = new AnswerRoom({ pageOffset: () => 0 })
  const taken = Array.from({ length: 20 }, () => rooms.take(MAX_IO_BYTES))
  for (const room of taken) rooms.give(room)
  const again = new Set(Array.from({ length: 20 }, () => rooms.take(MAX_IO_BYTES).buffer))
  const kept = taken.filter((room) => again.has(room.buffer))
  t.is(kept.length, 4)
})

test('answer room - begins at a page', (t) => {
  const asked: Uint8Array[] = []
  const pageOffset = (bytes: Uint8Array): number => {
    asked.push(bytes)
    return 4000
  }
  const rooms = new AnswerRoom({ pageOffset })
  const room = rooms.take(MAX_IO_BYTES)
  t.is(room.byteOffset - (asked[0]?.byteOffset ?? 0), 96)
  t.is(room.length, MAX_IO_BYTES)
  rooms.give(room)
  t.is(rooms.take(50_000).byteOffset, room.byteOffset, 'the next time as well')
  t.is(asked.length, 1)
})
