import test from 'brittle'
import type {
  Epoch,
  Incarnation,
  Ino,
  MemberId,
  Seq,
  WriterId
} from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { decodeEntryHead, encodeEntryHead } from '../../../src/replication/entry-codec.ts'
import {
  inosBeyondCuts,
  republishOwn,
  scanHeld
} from '../../../src/replication/replica/recovery.ts'
import type {
  ReplicaJournal,
  ReplicaOwnLog
} from '../../../src/replication/replica/replica-ports.ts'
import { DamagedLogError } from '../../../src/replication/storage/log-failure.ts'
import { Turns } from '../../../src/replication/turns.ts'
import { A, epochRecord } from '../records.ts'
import { HandClock, NotedLogger } from './support.ts'

const A1 = makeWriterId(A, 1 as Incarnation)
const A2 = makeWriterId(A, 2 as Incarnation)
const B1 = makeWriterId(2 as MemberId, 1 as Incarnation)

type Pairs = readonly (readonly [WriterId, number])[]

const record = epochRecord({ live: [A1, B1], history: [{ epoch: 1 as Epoch, cuts: [] }] })

function turns(): Turns {
  return new Turns(new HandClock())
}

function headOf(writer: WriterId, seq: Seq): Buffer {
  const ops = [{ type: 'reap', ino: 5 as Ino }] as const
  return encodeEntryHead({ epoch: 1 as Epoch, writer, seq, deps: new Map(), ops })
}

function journalOf(...pairs: Pairs): Pick<ReplicaJournal, 'entries'> {
  return {
    *entries() {
      for (const [i, [writer, seq]] of pairs.entries()) {
        const head = headOf(writer, seq as Seq)
        const entry = { writer, seq: seq as Seq, head, payload: Buffer.alloc(0) }
        yield { entry, position: i + 1 }
      }
    }
  } as Pick<ReplicaJournal, 'entries'>
}

async function heldOf(journal: Pairs, applied: Pairs): Promise<[WriterId, number][]> {
  const state = new Map(applied.map(([w, seq]) => [w, seq as Seq]))
  const known = { record, applied: state, epoch: 0 as const }
  const held = await scanHeld(journalOf(...journal), known, () => true, turns())
  return [...held].sort(([a], [b]) => a - b)
}

test('recovery - held is the state and the chain behind it', async (t) => {
  const journal: Pairs = [
    [A1, 1],
    [B1, 4],
    [A1, 2],
    [B1, 5]
  ]
  t.alike(await heldOf(journal, [[B1, 3]]), [
    [A1, 2],
    [B1, 5]
  ])
  t.alike(
    await heldOf(journal, [[B1, 9]]),
    [
      [A1, 2],
      [B1, 9]
    ],
    'the state is ahead of the journal'
  )
  t.alike(await heldOf([], [[A1, 7]]), [[A1, 7]])
})

test('recovery - nothing behind a gap is held', async (t) => {
  const journal: Pairs = [
    [B1, 5],
    [A1, 1],
    [A1, 3],
    [A1, 4]
  ]
  t.alike(await heldOf(journal, [[B1, 3]]), [
    [A1, 1],
    [B1, 3]
  ])
  t.alike(await heldOf(journal, []), [[A1, 1]], 'of B nothing is there but what follows the gap')
})

test('recovery - a journal that begins below the state goes on behind it', async (t) => {
  const journal: Pairs = [
    [A1, 2],
    [A1, 3],
    [A1, 4]
  ]
  t.alike(await heldOf(journal, [[A1, 3]]), [[A1, 4]])
})

async function republish(journal: Pairs, refusing?: WriterId) {
  const calls: string[] = []
  const logger = new NotedLogger()
  const reopen = async (writer: WriterId): Promise<ReplicaOwnLog> => {
    const appendMissing = async (first: Seq, last: Seq, heads: Iterable<Buffer>) => {
      calls.push(
        `${writer} ${first}-${last}: ${[...heads].map((head) => decodeEntryHead(head).seq)}`
      )
      if (writer === refusing) throw new DamagedLogError(writer, 'another block')
      return 1
    }
    return { appendMissing } as unknown as ReplicaOwnLog
  }
  const parts = {
    journal: journalOf(...journal),
    logs: { reopen },
    self: A,
    record,
    logger,
    turns: turns()
  }
  return { calls, damage: await republishOwn(parts) }
}

test('recovery - own logs get the blocks of the journal, up to the first gap', async (t) => {
  const { calls } = await republish([
    [A1, 4],
    [B1, 1],
    [A1, 5],
    [A2, 1],
    [A1, 7],
    [A2, 2]
  ])
  t.alike(calls, [`${A1} 4-5: 4,5`, `${A2} 1-2: 1,2`])
})

test('recovery - a log that is not what it was is reported and left alone', async (t) => {
  const { calls, damage } = await republish(
    [
      [A1, 4],
      [A2, 1]
    ],
    A1
  )
  t.is(calls.length, 2, 'the others go on')
  t.alike(damage, [`log of writer ${A1}: damaged: another block`])
})

test('recovery - what entries beyond the cuts have changed', async (t) => {
  const ended = epochRecord({
    writers: [
      { writer: A1, coreKey: '', finalSeq: 2 as Seq },
      { writer: B1, coreKey: '' }
    ]
  })
  const lost = (...journal: Pairs) =>
    inosBeyondCuts(journalOf(...journal).entries(), ended, turns())
  t.alike(await lost([A1, 1], [A1, 2], [B1, 9]), new Map(), 'nothing beyond')
  t.alike(await lost([A1, 2], [A1, 3]), new Map([[5, false]]))
  t.alike(await lost([A1, 3]), new Map([[5, false]]), 'it begins right behind the cut')
  t.is(await lost([A1, 4]), 'any', 'what stood between is not known')
})
