import test from 'brittle'
import type { Epoch, Ino, MemberId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { ORPHANS_PER_QUERY_MAX } from '../../../src/replication/message-codec.ts'
import type { OrphanQueryMessage } from '../../../src/replication/messages.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { Reaper } from '../../../src/replication/replica/reaper.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { settle } from './support.ts'

const A = 1 as MemberId
const B = 2 as MemberId
const C = 3 as MemberId
const W = 0x2000001 as WriterId

function inos(...numbers: number[]): Ino[] {
  return numbers as Ino[]
}

class Desk {
  readonly sent: { readonly to: MemberId; readonly message: OrphanQueryMessage }[] = []
  readonly reaped: Ino[][] = []
  readonly openHere = new Set<Ino>()
  readonly reaper: Reaper
  /** Resolvers of the vectors that are waited for; undefined: all are applied. */
  waits: (() => void)[] | undefined
  epoch = 1 as Epoch
  orphans: Ino[] = []
  others: MemberId[] = [B, C]

  constructor() {
    this.reaper = new Reaper({
      self: A,
      record: () => ({ epoch: this.epoch }) as EpochRecord,
      others: () => this.others,
      orphans: () => this.orphans,
      closeForGood: (asked) => asked.filter((ino) => !this.openHere.has(ino)),
      send: (to, message) => this.sent.push({ to, message }),
      waitApplied: () => this.#wait(),
      reap: async (gone) => {
        this.reaped.push([...gone])
        this.orphans = this.orphans.filter((ino) => !gone.includes(ino))
      }
    })
  }

  #wait(): Promise<void> {
    const { waits } = this
    if (!waits) return Promise.resolve()
    return new Promise((resolve) => waits.push(resolve))
  }

  answer(from: MemberId, closed: Ino[], query = this.sent.at(-1)?.message.query ?? 0) {
    const applied: Vector = new Map([[W, 5 as Seq]])
    const { epoch } = this
    return this.reaper.onAnswer(from, { type: 'orphan-answer', epoch, query, closed, applied })
  }

  takeSent(): string[] {
    return this.sent.splice(0).map(({ to, message }) => `${to}: ${message.inos}`)
  }
}

test('reaper - removes what is open nowhere, once all have promised', async (t) => {
  const desk = new Desk()
  desk.orphans = inos(5, 6, 7)
  desk.openHere.add(6 as Ino)
  await desk.reaper.round()
  t.alike(
    desk.sent.map((s) => s.to),
    [B, C]
  )
  t.alike(desk.sent[0]?.message.inos, inos(5, 7), 'what is open here is not asked about')
  await desk.answer(B, inos(5, 7))
  await desk.answer(B, inos(5, 7))
  t.alike(desk.reaped, [], 'one answer of each member is needed')
  await desk.answer(C, inos(7, 99))
  t.alike(desk.reaped, [inos(7)], 'open at C, and nothing that was not asked')
})

test('reaper - one round at a time; what is open comes after what is new', async (t) => {
  const desk = new Desk()
  desk.others = [B]
  desk.orphans = inos(5)
  await desk.reaper.round()
  await desk.reaper.round()
  t.is(desk.takeSent().length, 1)
  await desk.answer(B, [], 1)
  desk.orphans = inos(5, 8)
  await desk.reaper.round()
  t.alike(desk.takeSent(), ['2: 8'])
  await desk.answer(B, inos(8), 2)
  await desk.reaper.round()
  t.alike(desk.takeSent(), ['2: 5'], 'asked again when nothing is new')
})

test('reaper - what was open has its turn also while new ones keep coming', async (t) => {
  const desk = new Desk()
  desk.others = []
  desk.orphans = inos(5)
  desk.openHere.add(5 as Ino)
  await desk.reaper.round()
  desk.openHere.clear()
  for (let round = 1; round <= 10; round++) {
    desk.orphans = [...desk.orphans, (100 + round) as Ino]
    await desk.reaper.round()
  }
  t.alike(desk.orphans, [], 'the one that was closed meanwhile is gone as well')
})

test('reaper - alone it needs no answer', async (t) => {
  const desk = new Desk()
  desk.others = []
  desk.orphans = inos(5)
  await desk.reaper.round()
  t.alike(desk.reaped, [inos(5)])
})

test('reaper - the last writes of a member are applied before the removal', async (t) => {
  const desk = new Desk()
  desk.others = [B]
  desk.orphans = inos(5)
  desk.waits = []
  await desk.reaper.round()
  const done = desk.answer(B, inos(5))
  await settle()
  t.alike(desk.reaped, [])
  desk.waits[0]?.()
  await done
  t.alike(desk.reaped, [inos(5)])
})

test('reaper - an epoch change in between makes the answers void', async (t) => {
  const desk = new Desk()
  desk.others = [B]
  desk.orphans = inos(5)
  await desk.reaper.round()
  desk.epoch = 2 as Epoch
  desk.reaper.reset()
  await desk.answer(B, inos(5))
  t.alike(desk.reaped, [])
  await desk.reaper.round()
  desk.waits = []
  const done = desk.answer(B, inos(5))
  await settle()
  desk.epoch = 3 as Epoch
  desk.reaper.reset()
  desk.waits[0]?.()
  await done
  t.alike(desk.reaped, [], 'also while it waits for the writes')
  desk.waits = undefined
  await desk.reaper.round()
  await desk.answer(B, inos(5))
  t.alike(desk.reaped, [inos(5)], 'asked again in the new epoch')
})

test('reaper - many orphans go in rounds of a bounded size', async (t) => {
  const desk = new Desk()
  desk.others = []
  desk.orphans = Array.from({ length: ORPHANS_PER_QUERY_MAX + 3 }, (_, i) => (i + 2) as Ino)
  await desk.reaper.round()
  t.alike(
    desk.reaped.map((gone) => gone.length),
    [ORPHANS_PER_QUERY_MAX, 3]
  )
})
