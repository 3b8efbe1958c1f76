import test from 'brittle'
import type { StatePosition } from '../../../src/fs/ports/state-machine.ts'
import type { Epoch, Incarnation, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { Checkpoints } from '../../../src/replication/replica/checkpoints.ts'
import { A, B, C, epochRecord } from '../records.ts'

const ONE = 1 as Incarnation
const [WA, WB, WC] = [makeWriterId(A, ONE), makeWriterId(B, ONE), makeWriterId(C, ONE)]

/** C in the middle of joining A and B. */
function joining() {
  const record = epochRecord({
    live: [WA, WB],
    writers: [WA, WB, WC].map((writer) => ({ writer, coreKey: 'ab' }))
  })
  const at = (seq: number, epoch: Epoch | 0 = record.epoch): StatePosition => ({
    epoch,
    applied: new Map([
      [WA, seq as Seq],
      [WB, 7 as Seq]
    ])
  })
  const member = { position: at(0) }
  const checkpoints = new Checkpoints({
    self: C,
    record: () => record,
    own: () => member.position
  })
  const hear = (from: typeof A, { applied, epoch }: StatePosition) => {
    checkpoints.heard(from, { checkpointed: applied, checkpointEpoch: epoch as Epoch })
  }
  return { checkpoints, member, at, hear, old: (record.epoch - 1) as Epoch | 0 }
}

test('checkpoints - every live member has to cover, and who asks, live or not', (t) => {
  const { checkpoints, member, at, hear } = joining()
  const { applied } = at(5)
  hear(A, at(5))
  hear(B, at(5))
  t.absent(checkpoints.coverEverywhere(applied), 'its own journal may be all it falls back to')
  member.position = at(5)
  t.ok(checkpoints.coverEverywhere(applied))
  hear(B, at(4))
  t.absent(checkpoints.coverEverywhere(applied))
})

test('checkpoints - one of an earlier epoch, or none, covers nothing', (t) => {
  const { checkpoints, member, at, hear, old } = joining()
  const { applied } = at(5)
  member.position = at(5)
  hear(A, at(5))
  t.absent(checkpoints.coverEverywhere(applied), 'nothing was heard of B')
  hear(B, at(5, old))
  t.absent(checkpoints.coverEverywhere(applied))
  hear(B, at(5))
  t.ok(checkpoints.coverEverywhere(applied))
})
