import test from 'brittle'
import type { MemberId, SegmentId } from '../../../src/fs/primitives.ts'
import {
  encodeBulk,
  encodeControl,
  type WireMessage
} from '../../../src/replication/message-codec.ts'
import { Peers } from '../../../src/replication/replica/peers.ts'
import { Router, type RouterComponents } from '../../../src/replication/replica/router.ts'
import { HandClock, NotedConnection, NotedLogger } from './support.ts'

const B = 2 as MemberId

test('router - all that comes in is told with its bytes, before it is looked at', (t) => {
  const noted: number[] = []
  const came: string[] = []
  const peers = new Peers({ clock: new HandClock(), noteTraffic: () => {} })
  const components = {
    peers,
    data: { slices: { onBulk: () => came.push('slice') } },
    onSync: () => came.push('sync'),
    logger: new NotedLogger(),
    noteTraffic: (sizeBytes: number) => noted.push(sizeBytes)
  }
  const router = new Router(components as unknown as RouterComponents)
  const control = new NotedConnection(B, 'control')
  const bulk = new NotedConnection(B, 'bulk')
  peers.add(control)
  peers.add(bulk)
  const receive = (connection: NotedConnection, { type, parts }: WireMessage): number => {
    const payload = Buffer.concat(parts)
    router.onMessage(connection, type, payload)
    return payload.length
  }
  const sync = encodeControl({ type: 'sync', vector: new Map() })
  const data = Buffer.alloc(100_000)
  const slice = encodeBulk({ type: 'slice', segment: 1 as SegmentId, offset: 0, data })
  const sizes = [receive(control, sync), receive(bulk, slice)]
  t.alike(noted.splice(0), sizes)
  t.alike(came.splice(0), ['sync', 'slice'])
  receive(new NotedConnection(B, 'control'), sync)
  t.alike([noted, came], [[], []], 'nothing of a connection whose place was taken')
  receive(control, { type: 255, parts: [Buffer.alloc(5)] })
  t.alike(noted, [5], 'malformed')
  t.ok(control.closed)
})
