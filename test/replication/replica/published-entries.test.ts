import Database from 'better-sqlite3'
import test from 'brittle'
import type { Incarnation, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { EntryShelf } from '../../../src/replication/replica/entry-shelf.ts'
import { PublishedEntries } from '../../../src/replication/replica/published-entries.ts'
import { A, B } from '../records.ts'

const WA = makeWriterId(A, 1 as Incarnation)
const WB = makeWriterId(B, 1 as Incarnation)

/** A shelf with five entries of each writer; a flush makes durable what the test says. */
function shelved() {
  const shelf = new EntryShelf(new Database(':memory:'))
  for (const writer of [WA, WB]) {
    for (let seq = 1; seq <= 5; seq++) {
      shelf.put(writer, seq as Seq, Buffer.from(`${writer}/${seq}`))
    }
  }
  const flush = { durable: new Map<WriterId, Seq>(), during: (): void => {} }
  const logs = {
    flush: async () => {
      flush.during()
      return flush.durable
    }
  }
  const seqs = (writer: WriterId) => shelf.oldest(writer, 10).map(({ seq }) => Number(seq))
  return { shelf, flush, seqs, published: new PublishedEntries({ logs, shelf }) }
}

test('published entries - stay on the shelf until their log is durable', async (t) => {
  const { published, flush, seqs } = shelved()
  published.add(WA, 4 as Seq)
  published.add(WA, 2 as Seq)
  published.add(WB, 1 as Seq)
  t.alike(seqs(WA), [1, 2, 3, 4, 5])
  flush.durable = new Map([[WA, 3 as Seq]])
  await published.release()
  t.alike(seqs(WA), [4, 5])
  t.alike(seqs(WB), [1, 2, 3, 4, 5])
  t.ok(published.areWaiting)
  flush.durable = new Map([
    [WA, 5 as Seq],
    [WB, 5 as Seq]
  ])
  await published.release()
  t.alike(seqs(WA), [5], 'what is durable but was not compared stays')
  t.alike(seqs(WB), [2, 3, 4, 5])
  t.absent(published.areWaiting)
})

test('published entries - what is compared during a flush waits for the next', async (t) => {
  const { published, flush, seqs } = shelved()
  published.add(WA, 2 as Seq)
  flush.durable = new Map([[WA, 2 as Seq]])
  flush.during = () => published.add(WA, 3 as Seq)
  await published.release()
  t.alike(seqs(WA), [3, 4, 5])
  t.ok(published.areWaiting)
})

test('published entries - of a forgotten writer none are left', async (t) => {
  const { published, flush, seqs } = shelved()
  published.add(WA, 2 as Seq)
  flush.during = () => published.forget(WA)
  flush.durable = new Map([[WA, 2 as Seq]])
  await published.release()
  t.alike(seqs(WA), [])
  t.alike(seqs(WB), [1, 2, 3, 4, 5])
  t.absent(published.areWaiting)
})
