import { crc32 } from 'node:zlib'
import test from 'brittle'
import type { Slice } from '../../../src/fs/op.ts'
import type { SegmentId } from '../../../src/fs/primitives.ts'
import { SliceBacklog } from '../../../src/replication/replica/slice-backlog.ts'
import type { FetchOutcome } from '../../../src/replication/replica/slice-fetches.ts'
import { sha256 } from '../../../src/replication/storage/segment-store.ts'
import { A, B } from '../records.ts'
import { HandClock, NotedLinks, NotedLogger, settle } from './support.ts'

const SEGMENT = 7 as SegmentId
const BYTES = 40_000

function bytesOf(i: number): Buffer {
  return Buffer.alloc(BYTES, i + 1)
}

/** Slices of 40,000 bytes one behind the other. */
function sliceOf(i: number): Slice {
  const data = bytesOf(i)
  const place = { segment: SEGMENT, offset: i * BYTES, length: BYTES }
  return { ...place, crc32: crc32(data), sha256: sha256(data) }
}

class Desk {
  readonly clock = new HandClock()
  readonly links = new NotedLinks([A])
  readonly stored = new Map<number, Buffer>()
  readonly unjournaled: SegmentId[] = []
  readonly unsynced: SegmentId[] = []
  readonly fetchedAlone: number[] = []
  readonly logger = new NotedLogger()
  failure: Error | undefined
  outcome: FetchOutcome = 'here'
  fatal: unknown
  readonly left: Slice[]
  readonly backlog: SliceBacklog

  constructor(slices: Slice[], onDisk: readonly number[] = []) {
    this.left = slices
    const total = () => ({ slices: this.left.length, bytes: this.left.length * BYTES })
    const left = this.left
    this.backlog = new SliceBacklog({
      due: {
        get left() {
          return total()
        },
        after: (place, limit) =>
          left.filter(({ offset }) => offset > (place?.offset ?? -1)).slice(0, limit),
        settle: (slice) => {
          left.splice(left.indexOf(slice), 1)
        }
      },
      segments: {
        writeAt: (_segment, offset, data) => {
          if (this.failure) throw this.failure
          this.stored.set(offset, Buffer.from(data))
        },
        verifySha: ({ offset }) => (onDisk.includes(offset / BYTES) ? 'ok' : 'missing'),
        markUnsynced: (segment) => {
          this.unsynced.push(segment)
        }
      },
      slices: {
        fetch: async ({ offset }) => {
          this.fetchedAlone.push(offset / BYTES)
          return this.outcome
        },
        noteUnjournaled: (segment) => {
          this.unjournaled.push(segment)
        }
      },
      links: this.links,
      inSync: () => [A],
      hadAll: (member) => member === A,
      clock: this.clock,
      logger: this.logger,
      onFatal: (reason) => {
        this.fatal = reason
      }
    })
  }

  /** Whatever is asked for is answered rightly, until nothing is. */
  async serve(): Promise<void> {
    for (let asked = this.asked(); asked.length > 0; asked = this.asked()) {
      for (const { from, count } of asked) {
        const numbers = Array.from({ length: count }, (_, i) => from + i)
        await this.reply(from, Buffer.concat(numbers.map(bytesOf)))
      }
    }
  }

  /** The places asked for, in slices. */
  asked(): { from: number; count: number }[] {
    return this.links.takeBulk().flatMap(({ message }) => {
      if (message.type !== 'fetch-slice') return []
      return [{ from: message.offset / BYTES, count: message.length / BYTES }]
    })
  }

  async reply(from: number, data: Buffer | undefined, count?: number): Promise<boolean> {
    const length = count === undefined ? (data?.length ?? BYTES) : count * BYTES
    const place = { segment: SEGMENT, offset: from * BYTES, length }
    const taken = this.backlog.onReply(A, { type: 'slice-reply', ...place, data })
    await settle()
    return taken
  }
}

test('slice backlog - neighbours come together, what is on the disk is not fetched', async (t) => {
  const desk = new Desk([0, 1, 2, 3, 4, 6].map(sliceOf), [1])
  desk.backlog.start()
  await settle()
  t.alike(desk.asked(), [
    { from: 0, count: 1 },
    { from: 2, count: 3 },
    { from: 6, count: 1 }
  ])
  t.absent(await desk.reply(2, bytesOf(2)), 'the answer to another question at that place')
  t.ok(await desk.reply(2, Buffer.concat([2, 3, 4].map(bytesOf))))
  t.is(desk.stored.get(2 * BYTES)?.length, 3 * BYTES)
  t.absent(await desk.reply(3, bytesOf(3)), 'nobody asked for that')
  await desk.reply(0, bytesOf(0))
  await desk.reply(6, bytesOf(6))
  t.alike(desk.backlog.left, { slices: 0, bytes: 0 })
  t.is(desk.unjournaled.length, 6, 'each waits for its sync')
  t.alike(desk.unsynced, [SEGMENT], 'also what was found: nobody knows whether it was ever synced')
  t.is(desk.clock.pending, 0)
})

test('slice backlog - what comes wrong or not at all is fetched slice by slice', async (t) => {
  const desk = new Desk([0, 1, 3, 5].map(sliceOf))
  desk.backlog.start()
  await settle()
  await desk.reply(0, Buffer.concat([bytesOf(0), bytesOf(9)]))
  t.alike(desk.fetchedAlone, [0, 1])
  t.is(desk.stored.size, 0, 'nothing of it was written')
  await desk.reply(3, undefined)
  desk.backlog.gone(A)
  await settle()
  t.alike(desk.fetchedAlone, [0, 1, 3, 5])
  t.is(desk.backlog.left.slices, 0)
})

test('slice backlog - what nobody has now stays due and is tried again', async (t) => {
  const desk = new Desk([sliceOf(0)])
  desk.outcome = 'unavailable'
  desk.links.members = [B]
  desk.backlog.start()
  await settle()
  t.alike(desk.asked(), [], 'only members in sync hold everything')
  t.alike(desk.fetchedAlone, [0])
  t.is(desk.backlog.left.slices, 1)
  desk.outcome = 'dead'
  desk.clock.advance(1000)
  await settle()
  t.is(desk.backlog.left.slices, 0)
})

test('slice backlog - once stopped nothing is written', async (t) => {
  const desk = new Desk([sliceOf(0)])
  desk.backlog.start()
  await settle()
  desk.backlog.stop()
  await desk.reply(0, bytesOf(0))
  t.is(desk.stored.size, 0)
  t.is(desk.clock.pending, 0)
})

test('slice backlog - a full disk is said once and tried again, another failure ends it', async (t) => {
  const desk = new Desk([0, 2, 4].map(sliceOf))
  desk.failure = Object.assign(new Error('full'), { code: 'ENOSPC' })
  desk.backlog.start()
  await settle()
  const tryAgain = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) {
      await desk.serve()
      desk.clock.advance(1000)
      await settle()
    }
  }
  await tryAgain()
  t.is(desk.backlog.left.slices, 3)
  t.is(desk.logger.lines.length, 1)
  desk.failure = undefined
  await tryAgain()
  t.is(desk.backlog.left.slices, 0)
  t.is(desk.fatal, undefined)
  const other = new Desk([sliceOf(0)])
  other.failure = new Error('broken')
  other.backlog.start()
  await settle()
  await other.serve()
  t.is(other.fatal, other.failure)
})
