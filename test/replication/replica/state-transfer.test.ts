import test from 'brittle'
import type { StatePosition } from '../../../src/fs/ports/state-machine.ts'
import type { Epoch, Incarnation, MemberId } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import type { BulkMessage, StateFetch, StatePart } from '../../../src/replication/messages.ts'
import { StateSource } from '../../../src/replication/replica/state-source.ts'
import { StateTransfer } from '../../../src/replication/replica/state-transfer.ts'
import { sha256 } from '../../../src/replication/storage/segment-store.ts'
import type { StateCopy } from '../../../src/replication/storage/state-exchange.ts'
import { A, B, C, epochRecord, memberInfo } from '../records.ts'
import { HandClock, NotedLinks, NotedLogger, settle } from './support.ts'

const STATE = Buffer.from('what a member has, in parts of ten bytes')
const writers = [A, B, C].map((member) => makeWriterId(member, 1 as Incarnation))
const record = epochRecord({
  members: [A, B, C].map((id) => memberInfo(id)),
  live: writers.slice(0, 2),
  writers: writers.map((writer) => ({ writer, coreKey: '' }))
})

/** C, which has nothing; A is the authority, B live as well. */
class Joiner {
  readonly clock = new HandClock()
  readonly links = new NotedLinks([A, B])
  readonly logger = new NotedLogger()
  written = ''
  discarded = 0
  received = 0
  unfit: string | undefined
  failure: Error | undefined
  failsAt: 'begin' | 'write' = 'write'
  readonly transfer = new StateTransfer({
    self: C,
    links: this.links,
    record: () => record,
    receive: () => {
      let bytes = Buffer.alloc(0)
      if (this.failure && this.failsAt === 'begin') throw this.failure
      return {
        write: (data) => {
          if (this.failure) throw this.failure
          bytes = Buffer.concat([bytes, data])
        },
        finish: async (sum, unfit) => {
          const reason = unfit(POSITION)
          if (reason !== undefined || !sha256(bytes).equals(sum)) throw new Error('refused')
          this.written = bytes.toString()
          return POSITION
        },
        discard: () => {
          this.discarded++
        }
      }
    },
    unfit: () => this.unfit,
    clock: this.clock,
    logger: this.logger,
    onReceived: () => {
      this.received++
    }
  })

  /** The question that is out. */
  asked(): { to: MemberId; message: StateFetch } | undefined {
    const sent = this.links.takeBulk().at(-1)
    if (sent?.message.type !== 'fetch-state') return undefined
    return { to: sent.to, message: sent.message }
  }

  answer(from: MemberId, { copy, offset }: StateFetch, changes: Partial<StatePart> = {}): void {
    this.transfer.onPart(from, {
      type: 'state-part',
      copy,
      status: 'there',
      offset,
      totalBytes: STATE.length,
      sha256: sha256(STATE),
      data: STATE.subarray(offset, offset + 10),
      ...changes
    })
  }

  /** Answers truthfully until nothing is asked any more; from whom it was. */
  async serve(): Promise<MemberId[]> {
    const sources: MemberId[] = []
    for (let asked = this.asked(); asked; asked = this.asked()) {
      sources.push(asked.to)
      this.answer(asked.to, asked.message)
    }
    await settle()
    return sources
  }
}

const POSITION: StatePosition = { epoch: 1 as Epoch, applied: new Map() }

test('state transfer - part after part, rather not from the authority', async (t) => {
  const joiner = new Joiner()
  joiner.transfer.start()
  joiner.transfer.start()
  t.alike(await joiner.serve(), [B, B, B, B])
  t.is(joiner.written, STATE.toString())
  t.is(joiner.received, 1)
  t.is(joiner.clock.pending, 0)
})

test('state transfer - a source that goes, refuses or is silent is replaced', async (t) => {
  const ways: readonly ((joiner: Joiner, asked: StateFetch) => void)[] = [
    (joiner) => joiner.transfer.gone(B),
    (joiner, asked) => joiner.answer(B, asked, { status: 'refused' }),
    (joiner) => joiner.clock.advance(10_000)
  ]
  for (const fail of ways) {
    const joiner = new Joiner()
    joiner.transfer.start()
    const first = joiner.asked()
    if (!first) throw new Error('nobody was asked')
    joiner.answer(B, first.message)
    const second = joiner.asked()
    if (!second) throw new Error('no second part was asked for')
    t.is(joiner.transfer.bytesLeft, STATE.length - 10)
    joiner.links.members = [A]
    fail(joiner, second.message)
    t.ok(joiner.discarded > 0)
    joiner.clock.advance(300)
    t.alike(await joiner.serve(), [A, A, A, A], 'from the beginning')
    t.is(joiner.received, 1)
  }
})

test('state transfer - what differs from what was said is refused, another is asked', async (t) => {
  const lies: readonly Partial<StatePart>[] = [
    { totalBytes: STATE.length - 1 },
    { sha256: sha256(Buffer.from('another')) },
    { data: Buffer.alloc(10) }
  ]
  for (const lie of lies) {
    const joiner = new Joiner()
    joiner.transfer.start()
    const first = joiner.asked()
    if (!first) throw new Error('nobody was asked')
    joiner.answer(B, first.message)
    for (let asked = joiner.asked(); asked; asked = joiner.asked()) {
      joiner.answer(asked.to, asked.message, lie)
    }
    await settle()
    t.is(joiner.received, 0)
    t.alike(joiner.logger.lines, ['state of that member cannot be taken'])
    joiner.clock.advance(300)
    t.alike(await joiner.serve(), [A, A, A, A])
    t.is(joiner.received, 1)
  }
})

test('state transfer - a full disk here is said, what was there removed, and tried again', async (t) => {
  for (const failsAt of ['begin', 'write'] as const) {
    const joiner = new Joiner()
    joiner.failsAt = failsAt
    joiner.failure = Object.assign(new Error('full'), { code: 'ENOSPC' })
    joiner.transfer.start()
    for (let i = 0; i < 3; i++) {
      await joiner.serve()
      joiner.clock.advance(300)
    }
    t.is(joiner.logger.lines.length, 2, 'each of two sources once in ten seconds')
    t.is(joiner.discarded > 0, failsAt === 'write')
    t.is(joiner.received, 0)
    joiner.failure = undefined
    joiner.clock.advance(10_000)
    t.is((await joiner.serve()).length, 4)
    t.is(joiner.received, 1)
  }
})

test('state transfer - a source that prepares is asked again; nobody there is waited for', async (t) => {
  const joiner = new Joiner()
  joiner.links.members = []
  joiner.transfer.start()
  t.is(joiner.asked(), undefined)
  joiner.links.members = [B]
  joiner.clock.advance(300)
  const asked = joiner.asked()
  if (!asked) throw new Error('nobody was asked')
  joiner.answer(B, asked.message, { status: 'preparing' })
  t.is(joiner.asked(), undefined)
  joiner.clock.advance(200)
  t.is((await joiner.serve()).length, 4)
})

test('state transfer - once stopped nothing comes of it', async (t) => {
  const joiner = new Joiner()
  joiner.transfer.start()
  for (let asked = joiner.asked(); asked; asked = joiner.asked()) {
    joiner.answer(asked.to, asked.message)
  }
  joiner.transfer.stop()
  await settle()
  t.is(joiner.received, 0)
  t.ok(joiner.discarded > 0)
  t.is(joiner.clock.pending, 0)
})

/** A, which gives its state to B and C. */
class Source {
  readonly clock = new HandClock()
  readonly links = new NotedLinks([B, C])
  readonly logger = new NotedLogger()
  readonly copies: { discarded: boolean }[] = []
  mayGive = true
  hasRoom = true
  failure: Error | undefined
  readonly source = new StateSource({
    links: this.links,
    copy: async (): Promise<StateCopy> => {
      const copy = { discarded: false }
      if (this.failure) throw this.failure
      this.copies.push(copy)
      return {
        totalBytes: STATE.length,
        sha256: sha256(STATE),
        read: async (offset, length) => STATE.subarray(offset, offset + Math.min(length, 30)),
        discard: () => {
          copy.discarded = true
        }
      }
    },
    mayGive: () => this.mayGive,
    hasRoom: () => this.hasRoom,
    clock: this.clock,
    logger: this.logger
  })

  async ask(from: MemberId, copy: number, offset: number): Promise<BulkMessage | undefined> {
    this.source.onFetch(from, { type: 'fetch-state', copy, offset, length: 100 })
    await settle()
    return this.links.takeBulk().at(-1)?.message
  }
}

test('state source - prepares a copy, gives it in parts, forgets it at its end', async (t) => {
  const source = new Source()
  t.alike((await source.ask(B, 1, 0))?.type === 'state-part', true)
  const first = await source.ask(B, 1, 0)
  t.is(first?.type === 'state-part' && first.data.toString(), STATE.subarray(0, 30).toString())
  const last = await source.ask(B, 1, 30)
  t.is(last?.type === 'state-part' && last.data.toString(), STATE.subarray(30).toString())
  t.alike(source.copies, [{ discarded: true }])
  t.is(source.source.giving, 0)
  t.is(source.clock.pending, 0)
})

test('state source - refuses while it is not live, and more than two at once', async (t) => {
  const source = new Source()
  const statusOf = (message: BulkMessage | undefined) =>
    message?.type === 'state-part' ? message.status : undefined
  source.mayGive = false
  t.is(statusOf(await source.ask(B, 1, 0)), 'refused')
  source.mayGive = true
  t.is(statusOf(await source.ask(B, 2, 0)), 'preparing')
  t.is(statusOf(await source.ask(C, 1, 0)), 'preparing')
  t.is(statusOf(await source.ask(4 as MemberId, 1, 0)), 'refused')
  t.is(statusOf(await source.ask(B, 3, 0)), 'preparing', 'instead of its first one')
  t.ok(source.copies[0]?.discarded)
  source.source.gone(C)
  t.ok(source.copies[1]?.discarded)
  source.clock.advance(30_000)
  t.alike(source.copies[2], { discarded: true }, 'nobody asks for it any more')
})

test('state source - a copy that cannot be made is refused, and not made again at once', async (t) => {
  const source = new Source()
  const ask = async (copy: number) => {
    const message = await source.ask(B, copy, 0)
    return message?.type === 'state-part' && message.status
  }
  source.failure = Object.assign(new Error('full'), { code: 'ENOSPC' })
  t.is(await ask(1), 'refused', 'not for ever prepared')
  t.is(source.source.giving, 0)
  source.failure = undefined
  t.is(await ask(1), 'refused')
  t.is(await ask(2), 'refused')
  t.is(source.logger.lines.length, 1)
  source.clock.advance(60_000)
  t.is(await ask(3), 'preparing')
  t.is(source.clock.pending, 1)
})

test('state source - without room for a copy beside what is written none is begun', async (t) => {
  const source = new Source()
  source.hasRoom = false
  for (const copy of [1, 2]) {
    const message = await source.ask(B, copy, 0)
    t.is(message?.type === 'state-part' && message.status, 'refused')
  }
  t.is(source.logger.lines.length, 1, 'said once')
  source.hasRoom = true
  source.clock.advance(60_000)
  const message = await source.ask(B, 3, 0)
  t.is(message?.type === 'state-part' && message.status, 'preparing')
})

test('state source - one part at a time for each member', async (t) => {
  const source = new Source()
  await source.ask(B, 1, 0)
  source.links.hasRoom = false
  for (let i = 0; i < 3; i++) t.is(await source.ask(B, 1, 0), undefined)
  source.links.drain()
  await settle()
  t.is(source.links.takeBulk().length, 1)
})
