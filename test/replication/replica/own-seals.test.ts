import test from 'brittle'
import type { Epoch, Incarnation, MemberId, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { Admission } from '../../../src/replication/admission.ts'
import type { SealedMessage } from '../../../src/replication/messages.ts'
import { type Ballot, ballotAbove, NO_BALLOT } from '../../../src/replication/register/ballot.ts'
import { OwnSeals } from '../../../src/replication/replica/own-seals.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { A, B, epochRecord } from '../records.ts'
import { HandClock, settle } from './support.ts'

const EMPTY: Vector = new Map()
const WA = makeWriterId(A, 1 as Incarnation)
const record = epochRecord({
  live: [WA],
  writers: [{ writer: WA, coreKey: 'k' }],
  history: [{ epoch: 1 as Epoch, cuts: [] }]
})
const LOWER = ballotAbove(NO_BALLOT, A)
const HIGHER = ballotAbove(LOWER, B)

/** B, which has applied three entries of A. */
class Desk {
  readonly steps: string[] = []
  readonly limits: (Vector | undefined)[] = []
  readonly answers: SealedMessage[] = []
  /** Ends the sync under way. */
  synced: () => void = () => {}
  readonly seals = new OwnSeals({
    admission: new Admission({ record, applied: new Map([[WA, 3 as Seq]]), epoch: 0 }),
    catchUp: { pull: () => {}, lag: () => 0 },
    clock: new HandClock(),
    mayAnswer: () => true,
    stopServing: () => {
      this.steps.push('stop')
      return Promise.resolve()
    },
    sync: async () => {
      this.steps.push('sync')
      await new Promise<void>((resolve) => {
        this.synced = resolve
      })
      return new Map([[WA, 3 as Seq]])
    },
    waitApplied: async () => {
      this.steps.push('applied')
    },
    limitIntake: (limit) => {
      this.limits.push(limit && new Map(limit))
      this.steps.push('limit')
    },
    fetchSlices: () => {},
    answer: (_to, message) => {
      this.answers.push(message)
      this.steps.push('answer')
    }
  })

  give(round: number, { ballot = LOWER, from = A, cuts = EMPTY, epoch = 2 }: Given = {}): boolean {
    const message = { type: 'seal', ballot, epoch: epoch as Epoch, round, cuts } as const
    return this.seals.take(from, message) !== undefined
  }

  async end(): Promise<void> {
    await settle()
    this.synced()
    await settle()
  }
}

interface Given {
  readonly ballot?: Ballot
  readonly from?: MemberId
  readonly cuts?: Vector
  readonly epoch?: number
}

test('own seals - it stops, takes nothing more, makes it durable, and only then answers', async (t) => {
  const desk = new Desk()
  t.ok(desk.give(1))
  await settle()
  t.alike(desk.steps, ['stop', 'limit', 'applied', 'limit', 'sync'])
  t.alike(desk.limits, [undefined, new Map([[WA, 3]])], 'what is on its way first, then nothing')
  t.alike(desk.answers, [], 'not before it is on the disk')
  await desk.end()
  t.alike(desk.answers, [{ type: 'sealed', epoch: 2, round: 1, held: new Map([[WA, 3]]) }])
})

test('own seals - a seal with cuts lets in what they name and no more', async (t) => {
  const desk = new Desk()
  t.ok(desk.give(1, { cuts: new Map([[WA, 5 as Seq]]) }))
  await desk.end()
  t.alike(desk.limits, [new Map([[WA, 5]]), new Map([[WA, 5]])])
})

test('own seals - void, repeated and overtaken ones', async (t) => {
  const desk = new Desk()
  t.absent(desk.give(1, { epoch: 3 }), 'of another epoch')
  t.ok(desk.give(1, { ballot: HIGHER, from: B }))
  t.absent(desk.give(1, { ballot: HIGHER, from: B }), 'it is being carried out')
  t.absent(desk.give(7, { ballot: LOWER }), 'of a leader that lost the ballot')
  await desk.end()
  t.is(desk.answers.length, 1)
  t.absent(desk.give(1, { ballot: HIGHER, from: B }))
  t.alike(desk.answers[1], desk.answers[0], 'the same again: it was lost on the way')
  t.ok(desk.give(2, { ballot: HIGHER, from: B }))
  await desk.end()
  t.alike(
    desk.answers.map(({ round }) => round),
    [1, 1, 2]
  )
})

test('own seals - what was given by a leader that gives up is withdrawn, that of another is not', async (t) => {
  const desk = new Desk()
  desk.give(1)
  await settle()
  desk.seals.withdraw(B)
  t.is(desk.limits.length, 2)
  desk.seals.withdraw(A)
  t.is(desk.limits.at(-1), undefined)
  await desk.end()
  t.alike(desk.answers, [])
})

test('own seals - a record ends the seal before it, not the one behind it', async (t) => {
  const desk = new Desk()
  desk.give(1)
  await settle()
  desk.seals.recordCame(1)
  t.ok(desk.seals.isGiven)
  t.ok(desk.seals.announcedAfter(1))
  desk.seals.recordCame(2)
  t.absent(desk.seals.isGiven)
  await desk.end()
  t.alike(desk.answers, [])
})
