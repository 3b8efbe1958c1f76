/**
 * Which inodes this member has open, and through which handles. Keeps RULES 27: once this member
 * has said that an orphan is closed here for good, no open of it succeeds in this incarnation, and no
 * other operation on it (ops/core.ts). Keeps the local half of RULES 4 and 5: a poisoned handle answers
 * EIO until it is closed; that bytes of a file were lost which nobody had open any more is told to the next
 * one here who gives it a name, once. Knows which lock owners came through which handle, for close and poison.
 */
import { assert } from './assert.ts'
import { FsError } from './errno.ts'
import type { HandleId } from './filesystem-api.ts'
import type { LockKind, LostLock } from './ports/lock-service.ts'
import type { Ino } from './primitives.ts'

export interface OpenFile {
  readonly handle: HandleId
  readonly ino: Ino
  readonly directory: boolean
  /** open(2) flags. */
  readonly flags: number
}

/** An owner that may hold locks it asked for through a handle. */
export interface HandleLock {
  readonly kind: LockKind
  readonly owner: bigint
}

interface OpenFileState extends OpenFile {
  poisoned: boolean
  /** Few: one for each process that locks through the handle, and the open file itself. */
  locks: readonly HandleLock[]
}

/**
 * Handles of files whose FLUSH has nothing to do but to succeed: good ones, on inodes of which nobody has asked for
 * a lock here since the first of their handles was opened, and of this incarnation.
 */
export interface PlainHandles {
  add(handle: HandleId): void
  remove(handle: HandleId): void
  clear(): void
}

export interface OpenFilesOptions {
  /** Kept to the letter: what leaves it is gone when the call returns. */
  readonly plain?: PlainHandles
}

/** Of more files that lost bytes the oldest are not told of. */
const UNTOLD_MAX = 65_536

const NO_LOCKS: readonly HandleLock[] = []

export class OpenFiles {
  readonly #handles = new Map<HandleId, OpenFileState>()
  readonly #byInode = new Map<Ino, Set<OpenFileState>>()
  readonly #closedForGood = new Set<Ino>()
  /** Open files made without a name that may still get one. */
  readonly #nameless = new Set<Ino>()
  /** Owners of record locks that were lost, of open inodes. */
  readonly #lostOwners = new Map<Ino, Set<bigint>>()
  /** Bytes of them were lost, and nobody was told. */
  readonly #untold = new Set<Ino>()
  readonly #plain: PlainHandles | undefined
  #nextHandle = 1

  constructor(options: OpenFilesOptions = {}) {
    this.#plain = options.plain
  }

  /** Throws ESTALE for an inode that was declared closed for good. */
  open(ino: Ino, flags: number, directory: boolean): HandleId {
    if (this.#closedForGood.has(ino)) throw new FsError('ESTALE', `inode ${ino} is being removed`)
    const handle = this.#nextHandle++ as HandleId
    const file: OpenFileState = {
      handle,
      ino,
      directory,
      flags,
      poisoned: false,
      locks: NO_LOCKS
    }
    this.#handles.set(handle, file)
    const files = this.#byInode.get(ino)
    if (!directory && !this.#isLocked(ino)) this.#plain?.add(handle)
    if (files === undefined) this.#byInode.set(ino, new Set([file]))
    else files.add(file)
    return handle
  }

  /** Some owner may hold, or has lost, a lock that came through a handle that is open. */
  #isLocked(ino: Ino): boolean {
    if (this.#lostOwners.has(ino)) return true
    for (const file of this.#byInode.get(ino) ?? []) if (file.locks.length > 0) return true
    return false
  }

  /**
   * The open file. EBADF when the handle is not one of `ino`; EIO when it is poisoned, or when
   * `lockOwner`, who uses it, has lost a record lock of the inode that came through any handle.
   */
  get(ino: Ino, handle: HandleId, lockOwner?: bigint): OpenFile {
    const file = this.#handles.get(handle)
    if (file === undefined || file.ino !== ino) {
      throw new FsError('EBADF', `handle ${handle} is not open on inode ${ino}`)
    }
    if (file.poisoned) {
      throw new FsError('EIO', `handle ${handle} lost writes or locks at an epoch change`)
    }
    if (lockOwner !== undefined && this.#lostOwners.get(ino)?.has(lockOwner)) {
      throw new FsError('EIO', `a lock of inode ${ino} was lost at an epoch change`)
    }
    return file
  }

  /** Throws EBADF for an unknown handle. */
  close(ino: Ino, handle: HandleId): void {
    const file = this.#handles.get(handle)
    if (file === undefined || file.ino !== ino) {
      throw new FsError('EBADF', `handle ${handle} is not open on inode ${ino}`)
    }
    const files = this.#byInode.get(ino)
    assert(files !== undefined, 'open inode has no handles')
    assert(files.delete(file), 'open file is missing in its inode')
    this.#handles.delete(handle)
    this.#plain?.remove(handle)
    if (files.size > 0) return
    this.#byInode.delete(ino)
    this.#nameless.delete(ino)
    this.#lostOwners.delete(ino)
  }

  /** The owner may hold locks through this handle from now on. The handle must be good. */
  noteLock(ino: Ino, handle: HandleId, { kind, owner }: HandleLock): void {
    const file = this.#handles.get(handle)
    assert(file !== undefined && file.ino === ino, 'lock through a handle that is not open')
    if (file.locks.some((lock) => lock.owner === owner && lock.kind === kind)) return
    file.locks = [...file.locks, { kind, owner }]
    for (const other of this.#byInode.get(ino) ?? []) this.#plain?.remove(other.handle)
  }

  /** The record locks of `owner` on the inode end, whichever handle they came through. */
  forgetRecordOwner(ino: Ino, owner: bigint): boolean {
    this.#lostOwners.get(ino)?.delete(owner)
    let found = false
    for (const file of this.#byInode.get(ino) ?? []) {
      const isMeant = (lock: HandleLock): boolean => lock.owner === owner && lock.kind === 'record'
      if (!file.locks.some(isMeant)) continue
      found = true
      file.locks = file.locks.filter((lock) => !isMeant(lock))
    }
    return found
  }

  /** What may still be locked through the handle. */
  locksOf(handle: HandleId): readonly HandleLock[] {
    return this.#handles.get(handle)?.locks ?? NO_LOCKS
  }

  /**
   * The handles a lost lock came through answer EIO until they are closed, and so does every use of
   * the inode by the owner of a record lock, until it closes any of its handles of it (RULES 5).
   */
  poisonLock({ ino, kind, owner }: LostLock): void {
    for (const file of this.#byInode.get(ino) ?? []) {
      const held = file.locks.some((lock) => lock.owner === owner && lock.kind === kind)
      if (!held) continue
      this.#poison(file)
      if (kind === 'record') this.#noteLost(ino, owner)
    }
  }

  #noteLost(ino: Ino, owner: bigint): void {
    const lost = this.#lostOwners.get(ino)
    if (lost === undefined) this.#lostOwners.set(ino, new Set([owner]))
    else lost.add(owner)
  }

  /** The open inode was made without a name and may be given one. */
  noteNameless(ino: Ino): void {
    this.#nameless.add(ino)
  }

  isNameless(ino: Ino): boolean {
    return this.#nameless.has(ino)
  }

  /** It has a name now: when that goes it is an orphan like any other. */
  named(ino: Ino): void {
    this.#nameless.delete(ino)
  }

  openInodes(): Ino[] {
    return [...this.#byInode.keys()]
  }

  get handleCount(): number {
    return this.#handles.size
  }

  /** Those of `inos` that are not open here; from now on they cannot be opened here. */
  closedForGood(inos: readonly Ino[]): Ino[] {
    const closed = inos.filter((ino) => !this.#byInode.has(ino))
    for (const ino of closed) this.#closedForGood.add(ino)
    return closed
  }

  isClosedForGood(ino: Ino): boolean {
    return this.#closedForGood.has(ino)
  }

  /**
   * What this member has said of closed inodes is void with its incarnation: their removal is in what the
   * next one has applied before it serves, or never was, and neither may be that they lost their names.
   */
  incarnationEnded(): void {
    this.#closedForGood.clear()
    this.#plain?.clear()
  }

  /** The inode does not exist any more (its number is never used again): nothing to remember. */
  forget(ino: Ino): void {
    this.#closedForGood.delete(ino)
    this.#untold.delete(ino)
  }

  /** All handles now open on the inode answer EIO until they are closed. */
  poisonInode(ino: Ino): void {
    for (const file of this.#byInode.get(ino) ?? []) this.#poison(file)
  }

  #poison(file: OpenFileState): void {
    file.poisoned = true
    this.#plain?.remove(file.handle)
  }

  /** Bytes of the file were lost: as `poisonInode`, and for nobody's handle see `assertTold`. */
  poisonData(ino: Ino): void {
    if (this.#byInode.has(ino)) this.poisonInode(ino)
    else this.#noteUntold(ino)
  }

  /** All bytes of the file are replaced from now on: those that were lost are not missed. */
  rewritten(ino: Ino): void {
    this.#untold.delete(ino)
  }

  /**
   * For whoever gives the file a name, perhaps that of a whole one. Throws EIO, once, when bytes of it were
   * lost while nobody here had it open.
   */
  assertTold(ino: Ino): void {
    if (this.#untold.delete(ino)) throw new FsError('EIO', `bytes of inode ${ino} were lost`)
  }

  #noteUntold(ino: Ino): void {
    this.#untold.add(ino)
    if (this.#untold.size <= UNTOLD_MAX) return
    const oldest = this.#untold.keys().next()
    if (!oldest.done) this.#untold.delete(oldest.value)
  }

  /** Everything that is open now: what was lost is not known. */
  poisonAll(): void {
    for (const file of this.#handles.values()) this.#poison(file)
  }

  poisonHandle(handle: HandleId): void {
    const file = this.#handles.get(handle)
    if (file !== undefined) this.#poison(file)
  }
}
