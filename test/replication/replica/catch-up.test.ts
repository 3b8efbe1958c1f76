import test from 'brittle'
import { DecodeError } from '../../../src/fs/byte-codec.ts'
import type { Epoch, Incarnation, MemberId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { Admission } from '../../../src/replication/admission.ts'
import type { SealedEntry } from '../../../src/replication/entry.ts'
import { ENTRIES_PER_FETCH_MAX } from '../../../src/replication/message-codec.ts'
import type { EpochRecord, WriterInfo } from '../../../src/replication/record.ts'
import { CatchUp } from '../../../src/replication/replica/catch-up.ts'
import type { Intake } from '../../../src/replication/replica/intake.ts'
import { RecentEntries } from '../../../src/replication/replica/recent-entries.ts'
import { A, B, C, epochRecord } from '../records.ts'
import { HandClock, NotedLinks, NotedLogger, settle } from './support.ts'

const WB = makeWriterId(B, 1 as Incarnation)
const KIB = 1024

function recordOf(writers: readonly WriterInfo[]): EpochRecord {
  const live = writers.filter((w) => w.finalSeq === undefined).map((w) => w.writer)
  return epochRecord({ live, inSync: [], writers, history: [{ epoch: 1 as Epoch, cuts: [] }] })
}

function sealed(writer: WriterId, seq: number, headBytes = 10): SealedEntry {
  return { writer, seq: seq as Seq, head: Buffer.alloc(headBytes, seq), payload: Buffer.alloc(0) }
}

function vector(writer: WriterId, seq: number): Map<WriterId, Seq> {
  return new Map([[writer, seq as Seq]])
}

/** C's catch-up, with A as the authority. */
function make(options: { readonly applied?: number; readonly ended?: number } = {}) {
  const final = options.ended === undefined ? {} : { finalSeq: options.ended as Seq }
  const record = recordOf([{ writer: WB, coreKey: 'k', ...final }])
  const applied = vector(WB, options.applied ?? 0)
  const admission = new Admission({ record, applied, epoch: 0 })
  const links = new NotedLinks([A, B])
  const clock = new HandClock()
  const logger = new NotedLogger()
  const recent = new RecentEntries({ bytesMax: 64 * KIB * KIB })
  const shelf = new Map<number, Buffer>()
  const blocks = new Map<number, Buffer>()
  const received: string[] = []
  let failure: Error | undefined
  const intake = { isOpen: true, takes: true, costMs: 0 }
  const malformed: string[] = []
  const catchUp = new CatchUp({
    admission,
    intake: Object.assign(intake, {
      receive: (from: MemberId, entry: SealedEntry, fetched: boolean) => {
        if (entry.head.length === 0) throw new DecodeError('an empty head')
        received.push(`${from} ${entry.seq} ${fetched}`)
        clock.advance(intake.costMs)
        if (intake.takes) admission.noteOwn(entry.writer, entry.seq)
      }
    }) as unknown as Intake,
    links,
    recent,
    shelf: { get: (_writer, seq) => shelf.get(seq) },
    clock,
    logger,
    self: C,
    readBlock: async (_writer, seq) => {
      if (failure) throw failure
      return blocks.get(seq)
    },
    onMalformed: (from, error) => malformed.push(`${from}: ${error.message}`)
  })
  const fail = (error: Error): void => {
    failure = error
  }
  const asked = (): string[] =>
    links.takeControl().map(({ to, message }) => {
      if (message.type !== 'fetch-entries') return message.type
      return `${to}: ${message.from}-${message.to}`
    })
  const answer = (from: MemberId, first: number, seqs: readonly number[]): void => {
    const entries = seqs.map((seq) => sealed(WB, seq))
    catchUp.onEntries(from, { type: 'entries', writer: WB, from: first as Seq, entries })
  }
  const serve = async (from: number, to: number): Promise<readonly SealedEntry[] | undefined> => {
    const range = { from: from as Seq, to: to as Seq }
    await catchUp.serve(B, { type: 'fetch-entries', writer: WB, ...range })
    const message = links.takeControl()[0]?.message
    return message?.type === 'entries' ? message.entries : undefined
  }
  return {
    ...{ intake, admission, links, clock, logger, recent, shelf, blocks, received, catchUp },
    ...{ fail, asked, answer, serve, malformed }
  }
}

test('catch-up - a gap is fetched from the writer, one request at a time', (t) => {
  const { catchUp, asked, answer, received } = make({ applied: 2 })
  catchUp.pull()
  t.alike(asked(), [], 'nothing is known to exist')
  catchUp.heard(B, vector(WB, 5))
  t.is(catchUp.lag(), 3)
  catchUp.pull()
  catchUp.pull()
  t.alike(asked(), ['2: 3-5'])
  answer(B, 3, [3, 4])
  t.alike(received, ['2 3 true', '2 4 true'])
  t.alike(asked(), ['2: 5-5'], 'goes on where the answer ended')
  answer(B, 5, [5])
  t.alike(asked(), [])
  t.is(catchUp.lag(), 0)
})

test('catch-up - only the answer that was asked for is taken', (t) => {
  const { catchUp, asked, answer, received } = make()
  catchUp.heard(B, vector(WB, 5))
  answer(B, 1, [1])
  catchUp.pull()
  asked()
  answer(A, 1, [1])
  answer(B, 2, [2])
  t.alike(received, [])
  answer(B, 1, [1])
  t.alike(received, ['2 1 true'])
  answer(B, 1, [1])
  t.is(received.length, 1)
})

test('catch-up - who has nothing is not asked again for a moment', (t) => {
  const { catchUp, asked, answer, clock } = make()
  catchUp.heard(B, vector(WB, 5))
  catchUp.pull()
  asked()
  answer(B, 1, [])
  t.alike(asked(), ['1: 1-5'], 'the authority may have it')
  answer(A, 1, [])
  catchUp.pull()
  t.alike(asked(), [])
  clock.advance(500)
  catchUp.pull()
  t.alike(asked(), ['2: 1-5'])
})

test('catch-up - what cannot be taken now is not asked for again and again', (t) => {
  const { catchUp, asked, answer, intake, clock } = make()
  catchUp.heard(B, vector(WB, 5))
  intake.isOpen = false
  catchUp.pull()
  t.alike(asked(), [], 'before the journal is replayed')
  intake.isOpen = true
  intake.takes = false
  catchUp.pull()
  answer(B, 1, [1, 2])
  t.alike(asked(), ['2: 1-5', '1: 1-5'])
  answer(A, 1, [1, 2])
  t.alike(asked(), [], 'a pause')
  clock.advance(500)
  catchUp.pull()
  t.alike(asked(), ['2: 1-5'])
})

test('catch-up - silence and a lost connection end a request', (t) => {
  const { catchUp, asked, clock, links } = make()
  catchUp.heard(B, vector(WB, 5))
  catchUp.heard(A, vector(WB, 4))
  catchUp.pull()
  t.alike(asked(), ['2: 1-5'])
  clock.advance(5000)
  catchUp.pull()
  t.alike(asked(), ['1: 1-5'], 'another member')
  links.members = [B]
  catchUp.gone(A)
  clock.advance(500)
  catchUp.pull()
  t.alike(asked(), ['2: 1-5'])
  links.members = []
  catchUp.gone(B)
  t.is(catchUp.lag(), 0, 'what only they knew of is not known any more')
})

test('catch-up - an ended writer is wanted up to its end', (t) => {
  const { catchUp, asked } = make({ ended: 3 })
  t.is(catchUp.lag(), 3)
  catchUp.heard(B, vector(WB, 9))
  t.is(catchUp.lag(), 3)
  catchUp.pull()
  t.alike(asked(), ['2: 1-3'])
})

test('catch-up - answers from memory, the shelf, then the log, in order', async (t) => {
  const { recent, shelf, blocks, serve } = make({ applied: 5 })
  blocks.set(1, Buffer.from('log'))
  shelf.set(2, Buffer.from('shelf'))
  blocks.set(2, Buffer.from('not this'))
  recent.add({ ...sealed(WB, 3), payload: Buffer.from('payload') })
  shelf.set(3, Buffer.from('not this'))
  shelf.set(5, Buffer.from('behind a gap'))
  const entries = await serve(1, 9)
  t.alike(
    entries?.map((e) => e.seq),
    [1, 2, 3]
  )
  t.alike(entries?.map((e) => e.head.toString()).slice(0, 2), ['log', 'shelf'])
  t.alike(
    entries?.map((e) => e.payload.toString()),
    ['', '', 'payload']
  )
  t.alike(await serve(4, 9), [], 'nothing to be had is said')
})

test('catch-up - what is not applied here is not given away', async (t) => {
  const { blocks, serve } = make({ applied: 2 })
  for (let seq = 1; seq <= 4; seq++) blocks.set(seq, Buffer.from('b'))
  t.alike(
    (await serve(1, 4))?.map((e) => e.seq),
    [1, 2]
  )
})

test('catch-up - an answer is bounded in entries and bytes', async (t) => {
  const many = make({ applied: 5000 })
  for (let seq = 1; seq <= 5000; seq++) many.blocks.set(seq, Buffer.from('b'))
  t.is((await many.serve(1, 2 ** 52))?.length, ENTRIES_PER_FETCH_MAX)
  const large = make({ applied: 100 })
  for (let seq = 1; seq <= 100; seq++) large.blocks.set(seq, Buffer.alloc(512 * KIB))
  t.is((await large.serve(1, 100))?.length, 4)
})

test('catch-up - one answer at a time for a member, after its queue has room', async (t) => {
  const { links, blocks, catchUp } = make({ applied: 1 })
  blocks.set(1, Buffer.from('b'))
  links.hasRoom = false
  const question = { type: 'fetch-entries', writer: WB, from: 1 as Seq, to: 1 as Seq } as const
  const first = catchUp.serve(B, question)
  await catchUp.serve(B, question)
  await settle()
  t.is(links.takeControl().length, 0)
  links.drain()
  await first
  t.is(links.takeControl().length, 1)
})

test('catch-up - a log that cannot be read is reported, the next question is heard', async (t) => {
  const { logger, serve, fail } = make({ applied: 1 })
  fail(new Error('bad block'))
  t.is(await serve(1, 1), undefined)
  t.is(logger.lines.length, 1)
  t.is(await serve(1, 1), undefined)
  t.is(logger.lines.length, 2)
})

test('catch-up - the authority is asked without a word from it', (t) => {
  const { catchUp, asked, links } = make({ ended: 2 })
  links.members = [A]
  catchUp.pull()
  t.alike(asked(), ['1: 1-2'])
})

test('catch-up - a long answer is taken in turns, and nothing more asked for meanwhile', async (t) => {
  const { catchUp, clock, intake, received, asked, answer } = make()
  catchUp.heard(B, vector(WB, 9))
  catchUp.pull()
  asked()
  intake.costMs = 4
  answer(B, 1, [1, 2, 3, 4, 5, 6, 7])
  const taken = [received.length]
  while (clock.pending > 0) {
    catchUp.pull()
    t.alike(asked(), [], 'the rest is here already')
    clock.advance(0)
    await settle()
    taken.push(received.length)
  }
  t.alike(taken, [3, 6, 7], 'a turn is over after 10 ms')
  t.alike(asked(), ['2: 8-9'])
})

test('catch-up - what is malformed ends the answer and is told', (t) => {
  const { catchUp, received, asked, malformed } = make()
  catchUp.heard(B, vector(WB, 9))
  catchUp.pull()
  asked()
  const entries = [sealed(WB, 1), sealed(WB, 2, 0), sealed(WB, 3)]
  catchUp.onEntries(B, { type: 'entries', writer: WB, from: 1 as Seq, entries })
  t.alike(received, ['2 1 true'])
  t.alike(malformed, ['2: an empty head'])
})
