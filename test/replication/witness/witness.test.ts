import test from 'brittle'
import type { Epoch } from '../../../src/fs/primitives.ts'
import { LEASE_DEFAULTS } from '../../../src/replication/lease.ts'
import { encodeControl } from '../../../src/replication/message-codec.ts'
import type { ControlMessage } from '../../../src/replication/messages.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { FRESH_VOTER } from '../../../src/replication/register/voter.ts'
import type { PeerConnection } from '../../../src/replication/transport/peer-connection.ts'
import { Witness } from '../../../src/replication/witness/witness.ts'
import { A, B, C, epochRecord, memberInfo } from '../records.ts'
import { HandClock, NotedLogger } from '../replica/support.ts'

const DATA = [memberInfo(A), memberInfo(B)]

function recordOf(epoch: number, members: EpochRecord['members']): EpochRecord {
  return epochRecord({ epoch: epoch as Epoch, members, inSync: [A, B] })
}

/** The witness C of a volume of A and B. */
function make() {
  const saved: number[] = []
  const removed: string[] = []
  let changes = 0
  const logger = new NotedLogger()
  const clock = new HandClock()
  let sent = 0
  const witness = new Witness(
    {
      self: C,
      record: recordOf(4, [...DATA, memberInfo(C, 'witness')]),
      voter: FRESH_VOTER,
      saveVoter: () => {},
      saveRecord: ({ epoch }) => saved.push(epoch),
      connect: () => ({
        start: async () => {},
        stop: async () => {},
        membersChanged: () => changes++
      }),
      clock,
      logger,
      random: () => 0.5,
      onRemoved: () => removed.push('removed')
    },
    LEASE_DEFAULTS
  )
  const closed: string[] = []
  const connection = {
    member: A,
    kind: 'control',
    send: () => {
      sent++
      return true
    },
    close: (reason: string) => closed.push(reason)
  } as unknown as PeerConnection
  witness.onConnection(connection)
  const hear = (message: ControlMessage): void => {
    const { type, parts } = encodeControl(message)
    witness.onMessage(connection, type, Buffer.concat(parts))
  }
  const takeSent = (): number => {
    const count = sent
    sent = 0
    return count
  }
  return {
    witness,
    clock,
    saved,
    removed,
    closed,
    hear,
    connection,
    takeSent,
    changes: () => changes
  }
}

test('witness - keeps the newest record, of its volume alone', (t) => {
  const { witness, saved, hear, changes } = make()
  const members = [...DATA, memberInfo(C, 'witness')]
  hear({ type: 'record', record: recordOf(6, members), leads: true })
  hear({ type: 'record', record: recordOf(5, members), leads: false })
  const foreign = { ...recordOf(9, members), volumeId: 'cd'.repeat(16) }
  hear({ type: 'record', record: foreign, leads: true })
  t.alike(saved, [6])
  t.is(witness.record.epoch, 6)
  t.is(changes(), 1)
})

test('witness - gives its heartbeat when that of the authority comes', async (t) => {
  const { witness, clock, hear, takeSent } = make()
  await witness.start()
  takeSent()
  const { heartbeatMs } = LEASE_DEFAULTS
  for (const delayMs of [100, heartbeatMs, heartbeatMs]) {
    clock.advance(delayMs)
    hear({
      type: 'heartbeat',
      epoch: 4 as Epoch,
      sentMs: 0,
      applied: new Map(),
      checkpointed: new Map(),
      checkpointEpoch: 0,
      space: { totalBytes: 0, availableBytes: 0 },
      stamp: { sentUs: 0, heardUs: 0, heldUs: 0 }
    })
    t.is(takeSent(), 1)
  }
  await witness.stop()
  t.is(clock.pending, 0)
})

test('witness - ends when the volume goes on without it, however it hears that', (t) => {
  const byRecord = make()
  byRecord.hear({ type: 'record', record: recordOf(5, DATA), leads: true })
  t.alike(byRecord.removed, ['removed'])
  t.alike(byRecord.saved, [5])
  const byRefusal = make()
  byRefusal.witness.onRemoved(A)
  t.alike(byRefusal.removed, ['removed'])
})

test('witness - a malformed message ends the connection, not the witness', (t) => {
  const { witness, closed, connection } = make()
  witness.onMessage(connection, 255, Buffer.from('no message'))
  t.is(closed.length, 1)
  t.ok(closed[0]?.startsWith('malformed message'))
})
