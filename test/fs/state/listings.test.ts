import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import type { Dentry } from '../../../src/fs/state/dentry-table.ts'
import { Listings } from '../../../src/fs/state/listings.ts'

const DIRECTORY = 5 as Ino
const OTHER = 6 as Ino

function open(counts: Record<number, number>, entriesMax?: number) {
  const reads: string[] = []
  const read = (parent: Ino, after: number, limit: number): Dentry[] => {
    reads.push(`${parent}>${after}`)
    const list: Dentry[] = []
    const last = (counts[parent] ?? 0) * 2 + 1
    const first = Math.max(3, after % 2 === 0 ? after + 1 : after + 2)
    for (let cookie = first; cookie <= last && list.length < limit; cookie += 2) {
      list.push({ parent, name: Buffer.from(`${cookie}`), ino: 9 as Ino, type: 0, cookie })
    }
    return list
  }
  return { listings: new Listings(read, entriesMax), reads, read }
}

function all(listings: Listings, directory: Ino, from = 2, limit = 100): number[] {
  const cookies: number[] = []
  let after = from
  for (;;) {
    const batch = listings.list(directory, after, limit)
    if (batch.length === 0) return cookies
    for (const { cookie } of batch) cookies.push(cookie)
    after = cookies.at(-1) ?? after
  }
}

test('listings - all entries in order, read once', (t) => {
  const counts: Record<number, number> = { [DIRECTORY]: 3000, [OTHER]: 0 }
  const { listings, reads } = open(counts)
  const cookies = all(listings, DIRECTORY)
  t.is(cookies.length, 3000)
  t.alike(
    cookies,
    [...cookies].sort((a, b) => a - b)
  )
  t.is(reads.length, 3)
  t.alike(all(listings, DIRECTORY, 2, 7), cookies)
  t.alike(
    all(listings, DIRECTORY, 4000),
    cookies.filter((cookie) => cookie > 4000)
  )
  t.alike(all(listings, DIRECTORY, 9999), [])
  t.is(reads.length, 3, 'nothing was read again')
  t.alike(all(listings, OTHER), [])
})

test('listings - a change is seen by the next answer', (t) => {
  const counts: Record<number, number> = { [DIRECTORY]: 10 }
  const { listings, reads } = open(counts)
  t.is(all(listings, DIRECTORY).length, 10)
  counts[DIRECTORY] = 12
  listings.changed(DIRECTORY)
  t.alike(all(listings, DIRECTORY, 19), [21, 23, 25], 'begun in the middle')
  t.is(all(listings, DIRECTORY).length, 12, 'begun anew before it')
  const before = reads.length
  t.is(all(listings, DIRECTORY, 11).length, 7)
  t.is(reads.length, before)
})

test('listings - bounded: the oldest go, what does not fit is read each time', (t) => {
  const counts: Record<number, number> = { [DIRECTORY]: 5000, [OTHER]: 1000 }
  const { listings, reads } = open(counts, 3000)
  t.is(all(listings, OTHER).length, 1000)
  t.is(all(listings, DIRECTORY).length, 5000)
  t.is(all(listings, DIRECTORY, 2, 1000).length, 5000)
  const before = reads.length
  t.is(all(listings, OTHER).length, 1000)
  t.ok(reads.length > before, 'it had to go')
})

test('listings - bounded in directories, too, however little is in them', (t) => {
  const { listings, reads } = open({}, 3000)
  for (let i = 0; i < 6000; i++) listings.list((100 + i) as Ino, 2, 10)
  t.is(reads.length, 6000)
  listings.list((100 + 5999) as Ino, 2, 10)
  t.is(reads.length, 6000, 'the newest are kept')
  listings.list(100 as Ino, 2, 10)
  t.is(reads.length, 6001)
})
