import type { Database, Statement } from 'better-sqlite3'
import { assert } from '../assert.ts'
import type { Attr } from '../attr.ts'
import { isDirectory } from '../attr.ts'
import type { Ino } from '../primitives.ts'

/** A row of `inode`; a value, replaced as a whole when it changes. */
export interface Inode extends Omit<Attr, 'blocks'> {
  /** Bytes of the file that hold data. */
  readonly bytes: number
  /** Directories: where their dentry is (the root: itself). Others: 0. */
  readonly parent: Ino | 0
  /** Directories: the largest readdir cookie ever used. */
  readonly lastCookie: number
}

/** With what a write changes. Field by field: a spread of so many costs a microsecond. */
export function withData(
  inode: Inode,
  data: Pick<Inode, 'size' | 'bytes' | 'mtime' | 'ctime'>
): Inode {
  return {
    ino: inode.ino,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    size: data.size,
    bytes: data.bytes,
    atime: inode.atime,
    mtime: data.mtime,
    ctime: data.ctime,
    btime: inode.btime,
    parent: inode.parent,
    lastCookie: inode.lastCookie
  }
}

type InodeChanges = {
  readonly [Field in keyof Omit<Inode, 'ino' | 'rdev' | 'btime'>]?: Inode[Field] | undefined
}

/** With what another op changes; field by field for the same reason. */
export function withChanges(inode: Inode, changes: InodeChanges): Inode {
  return {
    ino: inode.ino,
    mode: changes.mode ?? inode.mode,
    nlink: changes.nlink ?? inode.nlink,
    uid: changes.uid ?? inode.uid,
    gid: changes.gid ?? inode.gid,
    rdev: inode.rdev,
    size: changes.size ?? inode.size,
    bytes: changes.bytes ?? inode.bytes,
    atime: changes.atime ?? inode.atime,
    mtime: changes.mtime ?? inode.mtime,
    ctime: changes.ctime ?? inode.ctime,
    btime: inode.btime,
    parent: changes.parent ?? inode.parent,
    lastCookie: changes.lastCookie ?? inode.lastCookie
  }
}

export const DIRECTORY_SIZE_BYTES = 4096
const BLOCK_BYTES = 512

export function toAttr(inode: Inode): Attr {
  const bytes = isDirectory(inode.mode) ? DIRECTORY_SIZE_BYTES : inode.bytes
  return {
    ino: inode.ino,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    size: inode.size,
    blocks: Math.ceil(bytes / BLOCK_BYTES),
    atime: inode.atime,
    mtime: inode.mtime,
    ctime: inode.ctime,
    btime: inode.btime
  }
}

type InodeColumns = readonly number[]

const COLUMNS =
  'ino, mode, nlink, uid, gid, rdev, size, bytes, atime_sec, atime_nsec, mtime_sec, mtime_nsec, ' +
  'ctime_sec, ctime_nsec, btime_sec, btime_nsec, parent, last_cookie'
const DEFAULT_CACHED_INODES = 32768
/** Bounds the pause in which changed rows are written. */
const CHANGED_MAX_INODES = 512
/** Rows are read together where inode numbers wanted lie at most this far apart. */
const READ_AHEAD_STEP = 2

function fromColumns(row: InodeColumns): Inode {
  const at = (i: number): number => {
    const value = row[i]
    assert(typeof value === 'number', 'inode row is short')
    return value
  }
  return {
    ino: at(0) as Ino,
    mode: at(1),
    nlink: at(2),
    uid: at(3),
    gid: at(4),
    rdev: at(5),
    size: at(6),
    bytes: at(7),
    atime: { sec: at(8), nsec: at(9) },
    mtime: { sec: at(10), nsec: at(11) },
    ctime: { sec: at(12), nsec: at(13) },
    btime: { sec: at(14), nsec: at(15) },
    parent: at(16) as Ino,
    lastCookie: at(17)
  }
}

export interface InodeTableOptions {
  /** Most inodes kept in memory; default 32768. */
  readonly cachedInodes?: number
}

/**
 * The inode rows behind a bounded cache of values. New rows are written at once; changed ones are
 * gathered, because the same directory or file changes many times in a row, and written when there
 * are many, before anything reads the table itself, and at the latest by `flush` before a commit.
 */
export class InodeTable {
  readonly #cache = new Map<Ino, Inode>()
  /** Inodes whose value in the cache is newer than their row. */
  readonly #changed = new Set<Ino>()
  readonly #select: Statement
  readonly #range: Statement
  readonly #insert: Statement
  readonly #update: Statement
  readonly #delete: Statement
  readonly #target: Statement
  readonly #orphans: Statement
  readonly #all: Statement
  readonly #cachedInodes: number
  /** False: no inode lost its last link since there was none without. */
  #mayHaveOrphans = true

  constructor(database: Database, options: InodeTableOptions = {}) {
    this.#cachedInodes = options.cachedInodes ?? DEFAULT_CACHED_INODES
    this.#select = database.prepare(`SELECT ${COLUMNS} FROM inode WHERE ino = ?`).raw(true)
    this.#range = database
      .prepare(`SELECT ${COLUMNS} FROM inode WHERE ino BETWEEN ? AND ?`)
      .raw(true)
    this.#insert = database.prepare(
      `INSERT INTO inode (${COLUMNS}, target) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
    )
    this.#update = database.prepare(
      'UPDATE inode SET mode=?, nlink=?, uid=?, gid=?, size=?, bytes=?, atime_sec=?, ' +
        'atime_nsec=?, mtime_sec=?, mtime_nsec=?, ctime_sec=?, ctime_nsec=?, parent=?, ' +
        'last_cookie=? WHERE ino=?'
    )
    this.#delete = database.prepare('DELETE FROM inode WHERE ino = ?')
    this.#target = database.prepare('SELECT target FROM inode WHERE ino = ?').pluck(true)
    this.#orphans = database.prepare('SELECT ino FROM inode WHERE nlink = 0 ORDER BY ino').pluck()
    this.#all = database.prepare(`SELECT ${COLUMNS} FROM inode ORDER BY ino`).raw(true)
  }

  get(ino: Ino): Inode | undefined {
    const cached = this.#cache.get(ino)
    if (cached !== undefined) return cached
    const row = this.#select.get(ino) as InodeColumns | undefined
    if (row === undefined) return undefined
    const inode = fromColumns(row)
    this.#remember(inode)
    return inode
  }

  /**
   * Reads inodes that are about to be asked for. Those of one directory mostly follow each other, and
   * a row of many costs half of one that is looked for alone.
   */
  readAhead(inos: readonly Ino[]): void {
    const missing = inos.filter((ino) => !this.#cache.has(ino)).sort((one, other) => one - other)
    let from = 0
    for (let at = 1; at <= missing.length; at++) {
      const ino = missing[at]
      const last = missing[at - 1]
      if (ino !== undefined && last !== undefined && ino - last <= READ_AHEAD_STEP) continue
      // One alone is read when it is asked for.
      if (at - from > 1) this.#readRange(missing[from], last)
      from = at
    }
  }

  #readRange(first: Ino | undefined, last: Ino | undefined): void {
    const rows = this.#range.all(first, last) as InodeColumns[]
    // A value in the cache may be newer than its row; remembering may empty the cache.
    const inodes = rows.map(fromColumns).filter(({ ino }) => !this.#cache.has(ino))
    for (const inode of inodes) this.#remember(inode)
  }

  /** The inode an op is about; that it exists is what every member agrees on. */
  need(ino: Ino): Inode {
    const inode = this.get(ino)
    assert(inode !== undefined, () => `op names inode ${ino}, which does not exist`)
    return inode
  }

  #remember(inode: Inode): void {
    if (this.#cache.size >= this.#cachedInodes && !this.#cache.has(inode.ino)) {
      this.flush()
      this.#cache.clear()
    }
    this.#cache.set(inode.ino, inode)
  }

  insert(inode: Inode, target: Uint8Array | null): void {
    const { atime, mtime, ctime, btime } = inode
    if (inode.nlink === 0) this.#mayHaveOrphans = true
    this.#insert.run(
      inode.ino,
      inode.mode,
      inode.nlink,
      inode.uid,
      inode.gid,
      inode.rdev,
      inode.size,
      inode.bytes,
      atime.sec,
      atime.nsec,
      mtime.sec,
      mtime.nsec,
      ctime.sec,
      ctime.nsec,
      btime.sec,
      btime.nsec,
      inode.parent,
      inode.lastCookie,
      target
    )
    this.#remember(inode)
  }

  /** Replaces the value; ino, rdev, btime and target never change. */
  update(inode: Inode): void {
    if (inode.nlink === 0) this.#mayHaveOrphans = true
    this.#remember(inode)
    this.#changed.add(inode.ino)
    if (this.#changed.size >= CHANGED_MAX_INODES) this.flush()
  }

  /** Writes the rows of all changed inodes. */
  flush(): void {
    for (const ino of this.#changed) {
      const inode = this.#cache.get(ino)
      assert(inode !== undefined, () => `changed inode ${ino} is not in the cache`)
      this.#write(inode)
    }
    this.#changed.clear()
  }

  #write(inode: Inode): void {
    const { atime, mtime, ctime } = inode
    this.#update.run(
      inode.mode,
      inode.nlink,
      inode.uid,
      inode.gid,
      inode.size,
      inode.bytes,
      atime.sec,
      atime.nsec,
      mtime.sec,
      mtime.nsec,
      ctime.sec,
      ctime.nsec,
      inode.parent,
      inode.lastCookie,
      inode.ino
    )
  }

  delete(ino: Ino): void {
    this.#delete.run(ino)
    this.#changed.delete(ino)
    this.#cache.delete(ino)
  }

  target(ino: Ino): Uint8Array | undefined {
    return (this.#target.get(ino) as Uint8Array | null | undefined) ?? undefined
  }

  orphans(): Ino[] {
    if (!this.#mayHaveOrphans) return []
    this.flush()
    const orphans = this.#orphans.all() as Ino[]
    this.#mayHaveOrphans = orphans.length > 0
    return orphans
  }

  *all(): IterableIterator<Inode> {
    this.flush()
    for (const row of this.#all.iterate()) yield fromColumns(row as InodeColumns)
  }
}
