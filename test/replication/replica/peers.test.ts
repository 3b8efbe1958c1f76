import test from 'brittle'
import type { MemberId, SegmentId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { Peers } from '../../../src/replication/replica/peers.ts'
import { HandClock, NotedConnection } from './support.ts'

const B = 2 as MemberId

test('peers - nothing is said any more when an answered op cannot be said before it', (t) => {
  const life = { mayBeSaid: true }
  const peers = new Peers({
    clock: new HandClock(),
    beforeSaid: () => life.mayBeSaid,
    noteTraffic: () => undefined
  })
  const control = new NotedConnection(B, 'control')
  peers.add(control)
  t.ok(peers.sendControl(B, { type: 'sync', vector: new Map() }))
  const before = control.sentBytes
  t.ok(before > 0)
  life.mayBeSaid = false
  t.absent(peers.sendControl(B, { type: 'sync', vector: new Map() }))
  t.is(control.sentBytes, before)
})

test('peers - all that goes out is told, with its bytes', (t) => {
  const clock = new HandClock()
  const noted: number[] = []
  const peers = new Peers({ clock, noteTraffic: (sizeBytes) => noted.push(sizeBytes) })
  const control = new NotedConnection(B, 'control')
  const bulk = new NotedConnection(B, 'bulk')
  peers.add(control)
  peers.add(bulk)
  const told = (): number => noted.splice(0).reduce((sum, bytes) => sum + bytes, 0)
  peers.sendControl(B, { type: 'sync', vector: new Map() })
  t.ok(control.sentBytes > 0)
  t.is(told(), control.sentBytes)
  const data = Buffer.alloc(100_000)
  peers.sendBulk(B, { type: 'slice', segment: 1 as SegmentId, offset: 0, data })
  t.ok(bulk.sentBytes > data.length)
  t.is(told(), bulk.sentBytes)
  const before = control.sentBytes
  const body = { head: Buffer.alloc(10), payload: Buffer.alloc(1000) }
  peers.pushEntry(B, { writer: 1 as WriterId, seq: 1 as Seq, ...body })
  clock.advance(1000)
  t.ok(control.sentBytes > before + 1000)
  t.is(told(), control.sentBytes - before)
  peers.sendControl(1 as MemberId, { type: 'sync', vector: new Map() })
  t.alike(noted, [], 'nothing goes to who is not connected')
})
