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
  const failing = { flush: false }
  const files = new Files()
  const sync = new ClusterSync({
    self: SELF,
    record: () => record,
    applied: () => applied,
    flushOwn: () => {
      if (failing.flush) throw new Error('no entry')
      applied.set(own, ((applied.get(own) ?? 0) + 1) as Seq)
    },
    peers: { sendControl: (to, message) => sent.push([to, message]) > 0 },
    durability,
    localSync: { sync: () => files.sync(), syncFiles: () => files.sync() } as never,
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
  /** Up to which own entry the other member was asked since the last call. */
  const asked = () =>
    sent.splice(0).map(([to, message]) => {
      if (to !== OTHER || message.type !== 'sync') throw new Error('not asked of the other member')
      return message.vector.get(own)
    })
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
  return { sync, durability, own, told, endTurn, asked, files, failing, settle }
}

/** The files of this member, synced when the test says so. */
class Files {
  #run: PromiseWithResolvers<Vector> | undefined

  get running(): boolean {
    return this.#run !== undefined
  }

  sync(): Promise<Vector> {
    this.#run ??= withResolvers()
    return this.#run.promise
  }

  end(): void {
    this.#run?.resolve(new Map())
    this.#run = undefined
  }

  fail(error: Error): void {
    this.#run?.reject(error)
    this.#run = undefined
  }
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve: (value: T) => void = () => {}
  let reject: (reason: unknown) => void = () => {}
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}

test('cluster sync - all that sync in one turn share an entry and a question', async (t) => {
  const { sync, durability, own, asked, files, endTurn } = open()
  const both = [sync.sync(), sync.sync()]
  t.alike(asked(), [])
  endTurn()
  t.alike(asked(), [1])
  files.end()
  sync.onDurable(new Map([[own, 1 as Seq]]))
  durability.acknowledged(OTHER, new Map([[own, 1 as Seq]]))
  await Promise.all(both)
})

test('cluster sync - who syncs while the files are synced is in the next round', async (t) => {
  const { sync, durability, own, asked, files, endTurn, settle } = open()
  const first = sync.sync()
  endTurn()
  const others = [sync.sync(), sync.sync()]
  endTurn()
  await settle()
  t.alike(asked(), [1], 'not while they are')
  durability.acknowledged(OTHER, new Map([[own, 2 as Seq]]))
  files.end()
  await settle()
  t.alike(asked(), [], 'a turn later')
  others.push(sync.sync())
  endTurn()
  t.is(files.running, true)
  sync.onDurable(new Map([[own, 1 as Seq]]))
  await first
  let isDone = false
  const all = Promise.all(others).then(() => {
    isDone = true
  })
  await settle()
  t.absent(isDone, 'the next round is not done with the first')
  files.end()
  sync.onDurable(new Map([[own, 2 as Seq]]))
  await all
  t.alike(asked(), [], 'what the other member has is not asked for')
})

test('cluster sync - a round that fails tells all in it, and the next one begins', async (t) => {
  const { sync, durability, own, files, endTurn, failing } = open()
  failing.flush = true
  const both = [sync.sync(), sync.sync()]
  endTurn()
  for (const each of both) await t.exception(each, /no entry/)
  failing.flush = false
  durability.acknowledged(OTHER, new Map([[own, 9 as Seq]]))
  durability.acknowledged(SELF, new Map([[own, 9 as Seq]]))
  const refused = sync.sync()
  endTurn()
  const next = sync.sync()
  files.fail(new Error('the disk is gone'))
  await t.exception(refused, /the disk is gone/)
  endTurn()
  files.end()
  await next
  t.pass()
})

test('cluster sync - nobody waits for a round that does not begin any more', async (t) => {
  const { sync, durability, own, asked, endTurn } = open()
  const over = new Error('it is over')
  const running = sync.sync()
  endTurn()
  const waiting = sync.sync()
  sync.stop(over)
  durability.fail(over)
  const late = sync.sync()
  for (const each of [running, waiting, late]) await t.exception(each, /it is over/)
  asked()
  endTurn()
  t.alike(asked(), [])
  t.is(durability.waiting, 0)
  t.alike(durability.durableOf(OTHER).get(own), undefined)
})

test('cluster sync - what is durable is told at once to who asked, later to the rest, not to a witness', async (t) => {
  const { sync, own, told, files } = open()
  sync.onDurable(new Map([[own, 1 as Seq]]))
  t.alike(told, { soon: [], later: [OTHER] })
  t.absent(told.later.includes(WITNESS))
  sync.onSync(OTHER, new Map([[own, 0 as Seq]]))
  while (!files.running) await new Promise<void>((resolve) => setImmediate(resolve))
  files.end()
  while (told.soon.length === 0) await new Promise<void>((resolve) => setImmediate(resolve))
  t.alike(told.soon, [OTHER])
})
