import test from 'brittle'
import type { Incarnation, MemberId, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { Durability } from '../../../src/replication/durability.ts'
import type { ControlMessage } from '../../../src/replication/messages.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { AppliedWaits } from '../../../src/replication/replica/applied-waits.ts'
import { ClusterSync } from '../../../src/replication/replica/cluster-sync.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { NotedLogger } from './support.ts'

const SELF = 1 as MemberId
const OTHER = 2 as MemberId
const WITNESS = 3 as MemberId
const writers = [SELF, OTHER].map((member) => makeWriterId(member, 1 as Incarnation))

function open() {
  const [own, other] = writers
  if (own === undefined || other === undefined) throw new Error('two writers')
  const record = { live: writers } as unknown as EpochRecord
  const applied = new Map<typeof own, Seq>([
    [own, 0 as Seq],
    [other, 0 as Seq]
  ])
  const turn: (() => void)[] = []
  const sent: [MemberId, ControlMessage][] = []
  const told: { soon: MemberId[]; later: MemberId[] } = { soon: [], later: [] }
  const durability = new Durability([SELF, OTHER])
  const sync = new ClusterSync({
    self: SELF,
    record: () => record,
    applied: () => applied,
    flushOwn: () => applied.set(own, ((applied.get(own) ?? 0) + 1) as Seq),
    peers: { sendControl: (to, message) => sent.push([to, message]) > 0 },
    durability,
    localSync: { sync: async () => new Map(applied) } as never,
    acknowledgements: {
      soon: (members: Iterable<MemberId>) => told.soon.push(...members),
      later: (members: Iterable<MemberId>) => told.later.push(...members)
    } as never,
    waits: new AppliedWaits(() => applied),
    defer: (work) => {
      turn.push(work)
      return { cancel: () => {} }
    },
    logger: new NotedLogger()
  })
  const endTurn = () => {
    for (const work of turn.splice(0)) work()
  }
  return { sync, durability, own, sent, told, endTurn }
}

test('cluster sync - all that sync in one turn ask once, for what the last of them needs', async (t) => {
  const { sync, durability, own, sent, endTurn } = open()
  const both = [sync.sync(), sync.sync()]
  t.alike(sent, [])
  endTurn()
  const asked = sent.map(([to, message]) => [
    to,
    message.type === 'sync' && message.vector.get(own)
  ])
  t.alike(asked, [[OTHER, 2]])
  const vector: Vector = new Map([[own, 2 as Seq]])
  sync.onDurable(vector)
  durability.acknowledged(OTHER, vector)
  await Promise.all(both)
  const later = sync.sync()
  endTurn()
  t.is(sent.length, 2, 'the next turn asks again')
  sync.onDurable(new Map([[own, 3 as Seq]]))
  durability.acknowledged(OTHER, new Map([[own, 3 as Seq]]))
  await later
})

test('cluster sync - what is durable is told at once to who asked, later to the rest, not to a witness', async (t) => {
  const { sync, own, told } = open()
  sync.onDurable(new Map([[own, 1 as Seq]]))
  t.alike(told, { soon: [], later: [OTHER] })
  t.absent(told.later.includes(WITNESS))
  sync.onSync(OTHER, new Map([[own, 0 as Seq]]))
  while (told.soon.length === 0) await new Promise<void>((resolve) => setImmediate(resolve))
  t.alike(told.soon, [OTHER])
})
