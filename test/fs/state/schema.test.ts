/** Databases as older versions made them. */
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import test from 'brittle'
import { checkState } from '../../../src/fs/check.ts'
import type { Epoch } from '../../../src/fs/primitives.ts'
import { BATCH_SLICES } from '../../../src/fs/state/freed-batch-table.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { SCHEMA_VERSION } from '../../../src/fs/state/schema.ts'
import { freedSlices, WRITER } from '../fixture.ts'

const VERSION_1 = `
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
CREATE TABLE xattr (
  ino INTEGER NOT NULL, name BLOB NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (ino, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE freed_slice (
  id INTEGER PRIMARY KEY,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  writer INTEGER NOT NULL, seq INTEGER NOT NULL,
  UNIQUE (segment, offset)
) STRICT;
CREATE TABLE position (writer INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA application_id = ${0x74646673};
PRAGMA user_version = 1;
`
const VERSION_2 = `${VERSION_1}
CREATE TABLE shared_slice (
  segment INTEGER NOT NULL, slice_offset INTEGER NOT NULL,
  ino INTEGER NOT NULL, base INTEGER NOT NULL,
  PRIMARY KEY (segment, slice_offset, ino, base)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
`

/** A file of ten bytes, and more freed slices than a batch has, freed from the last one to the first. */
const FREED = BATCH_SLICES + 100
const SEGMENT = 2 ** 44
const ROWS = `
INSERT INTO meta VALUES ('epoch', 3), ('inodes', 2), ('data_bytes', 10);
INSERT INTO inode VALUES (1, ${0o40755}, 2, 0, 0, 0, 4096, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, NULL),
  (9, ${0o100644}, 1, 0, 0, 0, 10, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL);
INSERT INTO dentry VALUES (1, x'66', 9, ${0o100000}, 3);
INSERT INTO extent VALUES (9, 0, 10, ${SEGMENT}, 0, 10, 0, 1, zeroblob(32));
INSERT INTO position VALUES (${WRITER}, 5);
WITH RECURSIVE n(i) AS (SELECT ${FREED} UNION ALL SELECT i - 1 FROM n WHERE i > 1)
  INSERT INTO freed_slice (segment, offset, length, writer, seq)
  SELECT ${SEGMENT}, i * 10, 10, ${WRITER}, 4 FROM n;
`

for (const [version, tables] of [
  [1, VERSION_1],
  [2, VERSION_2]
] as const) {
  test(`schema - a database of version ${version} keeps everything`, async (t) => {
    const file = join(await t.tmp(), 'state.db')
    new BetterSqlite3(file)
      .exec('PRAGMA journal_mode = WAL')
      .exec(tables + ROWS)
      .close()
    for (let round = 0; round < 2; round++) {
      const state = openState(file)
      t.is(state.database.pragma('user_version', { simple: true }), SCHEMA_VERSION)
      t.alike(state.position(), { epoch: 3, applied: new Map([[WRITER, 5]]) })
      t.alike(checkState(state), [])
      const offsets = freedSlices(state).map(({ segment, offset, length }) => {
        return segment === SEGMENT && length === 10 ? offset : -1
      })
      t.alike(
        offsets.sort((a, b) => a - b),
        Array.from({ length: FREED }, (_, i) => (i + 1) * 10)
      )
      t.is(state.freedBatches(1)[0]?.slices[0]?.offset, (FREED - BATCH_SLICES + 1) * 10, 'first')
      state.commit({ epoch: 3 as Epoch, applied: state.position().applied })
      state.close()
    }
    const left = new BetterSqlite3(file)
    t.absent(left.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'freed_slice'").get())
    left.close()
  })
}
