import type { Database, Statement } from 'better-sqlite3'
import { assert } from '../assert.ts'
import type { Attr, TimeSpec } from '../attr.ts'
import { isDirectory } from '../attr.ts'
import type { Ino } from '../primitives.ts'

/** A row of `inode`; a value, replaced as a whole when it changes. */
export interface Inode {
  readonly ino: Ino
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  readonly size: number
  /** Bytes of the file that hold data. */
  readonly bytes: number
  readonly atime: TimeSpec
  readonly mtime: TimeSpec
  readonly ctime: TimeSpec
  readonly btime: TimeSpec
  /** Directories: where their dentry is (the root: itself). Others: 0. */
  readonly parent: Ino | 0
  /** Directories: the largest readdir cookie ever used. */
  readonly lastCookie: number
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
const CACHE_MAX_INODES = 32768

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

/** The inode rows, written through a bounded cache of values. */
export class InodeTable {
  readonly #cache = new Map<Ino, Inode>()
  readonly #select: Statement
  readonly #insert: Statement
  readonly #update: Statement
  readonly #delete: Statement
  readonly #target: Statement
  readonly #orphans: Statement
  readonly #all: Statement

  constructor(database: Database) {
    this.#select = database.prepare(`SELECT ${COLUMNS} FROM inode WHERE ino = ?`).raw(true)
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

  /** The inode an op is about; that it exists is what every member agrees on. */
  need(ino: Ino): Inode {
    const inode = this.get(ino)
    assert(inode !== undefined, `op names inode ${ino}, which does not exist`)
    return inode
  }

  #remember(inode: Inode): void {
    if (this.#cache.size >= CACHE_MAX_INODES && !this.#cache.has(inode.ino)) this.#cache.clear()
    this.#cache.set(inode.ino, inode)
  }

  insert(inode: Inode, target: Uint8Array | null): void {
    const { atime, mtime, ctime, btime } = inode
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

  /** Replaces the row; ino, rdev, btime and target never change. */
  update(inode: Inode): void {
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
    this.#remember(inode)
  }

  delete(ino: Ino): void {
    this.#delete.run(ino)
    this.#cache.delete(ino)
  }

  target(ino: Ino): Uint8Array | undefined {
    return (this.#target.get(ino) as Uint8Array | null | undefined) ?? undefined
  }

  orphans(): Ino[] {
    return this.#orphans.all() as Ino[]
  }

  *all(): IterableIterator<Inode> {
    for (const row of this.#all.iterate()) yield fromColumns(row as InodeColumns)
  }
}
