import Database from 'better-sqlite3'
import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import {
  type Inode,
  InodeTable,
  type InodeTableOptions,
  withChanges
} from '../../../src/fs/state/inode-table.ts'
import { createSchema } from '../../../src/fs/state/schema.ts'

const TIME = { sec: 1, nsec: 2 }

function makeInode(number: number): Inode {
  return {
    ino: number as Ino,
    mode: 0o100644,
    nlink: 1,
    uid: 3,
    gid: 4,
    rdev: 0,
    size: number,
    bytes: 0,
    atime: TIME,
    mtime: TIME,
    ctime: TIME,
    btime: TIME,
    parent: 0,
    lastCookie: 0
  }
}

/** A table with these inodes, none of which it has in memory, and its database. */
function tableOf(numbers: readonly number[], options: InodeTableOptions = {}) {
  const database = new Database(':memory:')
  createSchema(database)
  const filling = new InodeTable(database)
  for (const number of numbers) filling.insert(makeInode(number), null)
  return { database, table: new InodeTable(database, options) }
}

function inos(...numbers: number[]): Ino[] {
  return numbers.map((number) => number as Ino)
}

test('inodes - read ahead, those that follow each other are in memory', (t) => {
  const { database, table } = tableOf([10, 11, 12, 14, 100, 200, 201])
  table.readAhead(inos(14, 10, 201, 11, 100, 200, 12))
  database.exec('UPDATE inode SET uid = 99')
  for (const ino of inos(10, 11, 12, 14, 200, 201)) {
    t.alike(table.get(ino), makeInode(ino), `${ino} as it was`)
  }
  t.is(table.get(100 as Ino)?.uid, 99, 'one alone is read when it is asked for')
  database.close()
})

test('inodes - read ahead, what is in memory and newer stays', (t) => {
  const { database, table } = tableOf([10, 11, 12])
  const newer = withChanges(makeInode(11), { size: 77 })
  table.update(newer)
  table.readAhead(inos(10, 12))
  t.alike(table.get(11 as Ino), newer)
  t.is(database.prepare('SELECT size FROM inode WHERE ino = 11').pluck().get(), 11)
  table.flush()
  t.is(database.prepare('SELECT size FROM inode WHERE ino = 11').pluck().get(), 77)
  database.close()
})

test('inodes - read ahead, what is newer stays when memory is full meanwhile', (t) => {
  const { database, table } = tableOf([10, 11, 12, 13, 14], { cachedInodes: 3 })
  const newer = withChanges(makeInode(13), { size: 77 })
  table.update(newer)
  table.readAhead(inos(10, 11, 12, 14))
  t.alike(table.get(13 as Ino), newer)
  database.close()
})

test('inodes - read ahead, none at all and none that exists', (t) => {
  const { database, table } = tableOf([10])
  table.readAhead([])
  table.readAhead(inos(40, 41, 42))
  t.absent(table.get(41 as Ino))
  t.ok(table.get(10 as Ino))
  database.close()
})
