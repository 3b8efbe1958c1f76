/**
 * Tables of the state database. `inode`, `dentry`, `extent`, `shared_slice`, `xattr` are replicated:
 * equal on equal members and part of the digest. `freed_batch`, `position`, `meta` are this member's own.
 *
 * - A directory's `parent` is where its one dentry lives (0 for other inodes, 1 for the root).
 *   `last_cookie` only grows, so a readdir cookie is never used twice in a directory.
 * - `bytes` of an inode is the sum of its extents' lengths. Extents of an inode never overlap and
 *   never reach beyond its size. An extent keeps the coordinates of its whole slice (that is what
 *   crc32 and sha256 are about) and the `delta` at which its part begins inside the slice.
 * - An inode with nlink 0 is an orphan: it waits for its reap op.
 */
import type { Database } from 'better-sqlite3'
import type { FreedSlice } from '../ports/state-machine.ts'
import type { SegmentId } from '../primitives.ts'
import { FreedBatchTable } from './freed-batch-table.ts'
import { LIMIT_PARAMETER } from './limit-parameter.ts'

export const SCHEMA_VERSION = 3
/** 'tdfs', so that no other program's database is taken for ours. */
export const APPLICATION_ID = 0x74646673
/** Cookies 1 and 2 stand for "." and "..". */
export const FIRST_COOKIE = 3

/** Came with version 2. */
const SHARED_SLICE = `
CREATE TABLE shared_slice (
  segment INTEGER NOT NULL, slice_offset INTEGER NOT NULL,
  ino INTEGER NOT NULL, base INTEGER NOT NULL,
  PRIMARY KEY (segment, slice_offset, ino, base)
) STRICT, WITHOUT ROWID;
`

/** Came with version 3, in the place of `freed_slice`, which had a row for each slice. */
const FREED_BATCH = `
CREATE TABLE freed_batch (id INTEGER PRIMARY KEY, slices BLOB NOT NULL) STRICT;
`

const TABLES = `
CREATE TABLE inode (
  ino INTEGER PRIMARY KEY,
  mode INTEGER NOT NULL, nlink INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
  rdev INTEGER NOT NULL, size INTEGER NOT NULL, bytes INTEGER NOT NULL,
  atime_sec INTEGER NOT NULL, atime_nsec INTEGER NOT NULL,
  mtime_sec INTEGER NOT NULL, mtime_nsec INTEGER NOT NULL,
  ctime_sec INTEGER NOT NULL, ctime_nsec INTEGER NOT NULL,
  btime_sec INTEGER NOT NULL, btime_nsec INTEGER NOT NULL,
  parent INTEGER NOT NULL, last_cookie INTEGER NOT NULL,
  target BLOB
) STRICT;
CREATE INDEX orphan ON inode (ino) WHERE nlink = 0;
CREATE TABLE dentry (
  parent INTEGER NOT NULL, name BLOB NOT NULL,
  ino INTEGER NOT NULL, type INTEGER NOT NULL, cookie INTEGER NOT NULL,
  PRIMARY KEY (parent, name)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX dentry_cookie ON dentry (parent, cookie);
CREATE TABLE extent (
  ino INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  segment INTEGER NOT NULL, slice_offset INTEGER NOT NULL, slice_length INTEGER NOT NULL,
  delta INTEGER NOT NULL, crc32 INTEGER NOT NULL, sha256 BLOB NOT NULL,
  PRIMARY KEY (ino, offset)
) STRICT, WITHOUT ROWID;
${SHARED_SLICE}
CREATE TABLE xattr (
  ino INTEGER NOT NULL, name BLOB NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (ino, name)
) STRICT, WITHOUT ROWID;
${FREED_BATCH}
CREATE TABLE position (writer INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('epoch', 0), ('inodes', 1), ('data_bytes', 0);
INSERT INTO inode VALUES (1, ${0o40755}, 2, 0, 0, 0, 4096, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, NULL);
`

/** Makes the tables and the root directory (mode 0755, uid 0, times 0) in an empty database. */
export function createSchema(database: Database): void {
  database.transaction(() => {
    database.exec(TABLES)
    database.pragma(`application_id = ${APPLICATION_ID}`)
    database.pragma(`user_version = ${SCHEMA_VERSION}`)
  })()
}

/** Brings a database of version `from` to this one, if it is older. */
export function upgradeSchema(database: Database, from: number): void {
  if (from >= SCHEMA_VERSION) return
  database.transaction(() => {
    // Nothing shared slices before.
    if (from < 2) database.exec(SHARED_SLICE)
    if (from < 3) gatherFreed(database)
    database.pragma(`user_version = ${SCHEMA_VERSION}`)
  })()
}

const ROWS_PER_STEP = 4096

function gatherFreed(database: Database): void {
  database.exec(FREED_BATCH)
  const batches = new FreedBatchTable(database)
  const after = database.prepare(
    `SELECT id, segment, offset, length FROM freed_slice WHERE id > ? ORDER BY id ${LIMIT_PARAMETER}`
  )
  after.raw(true)
  let last = -1
  for (;;) {
    const rows = after.all(last, ROWS_PER_STEP) as [number, SegmentId, number, number][]
    for (const [id, segment, offset, length] of rows) {
      batches.add({ segment, offset, length } satisfies FreedSlice)
      last = id
    }
    if (rows.length === 0) break
  }
  batches.flush()
  database.exec('DROP TABLE freed_slice')
}
