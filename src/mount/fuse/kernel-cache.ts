/**
 * What the kernel of this member caches of the volume, exactly as long as the token rule allows: a
 * member may cache what no other member holds exclusively. Owns the knowledge of what was given to
 * the kernel and not taken back. docs/caching.md has the argument; in short:
 *
 * - An answer is cacheable only if nothing it is about was dropped since its request arrived. The
 *   kernel took its attribute version and its epoch before it sent the request, so it refuses by
 *   itself what was on its way when the drop came (RULES 26) - but only where it compares them:
 *   attributes are given a validity in answers to LOOKUP, GETATTR and READDIRPLUS alone. How they
 *   are dropped: attribute-drops.ts.
 * - A drop, of attributes or names, waits for no other request: the note it belongs to is
 *   acknowledged at once (RULES 29, 30, 31). Names: kernel-names.ts.
 * - A validity never outlives the lease (RULES 23).
 * - What this mount itself changes is dropped before it is answered, where an older answer may
 *   still be on its way and the kernel does not compare.
 *
 * Only for kernels with NOTIFY_INC_EPOCH; with others nothing is cached.
 */
import { isAclName } from '../../fs/acl.ts'
import type { Attr, TimeSpec } from '../../fs/attr.ts'
import type { Op } from '../../fs/op.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { BareInodes } from '../channel/bare-inodes.ts'
import type { PlainHandleTable } from '../channel/plain-handles.ts'
import type { ReadyAttributes } from '../channel/ready-attributes.ts'
import { Opcode, OpenFlag, OpenReplyFlag, WriteFlag } from './abi.ts'
import { AttributeDrops } from './attribute-drops.ts'
import { DropLog } from './drop-log.ts'
import { DropTimes } from './drop-times.ts'
import { writeAttr } from './encode.ts'
import { KERNEL_CLOCK_MS, KernelNames } from './kernel-names.ts'
import { KnownInodes } from './known-inodes.ts'
import type { Listing } from './listing.ts'
import { ignoreUnmounted, isUnmounted, KernelNotifier } from './notify.ts'
import { PageDrops } from './page-drops.ts'
import type { CacheMark, CachePolicy, PolicyChannel } from './policy.ts'
import type { CreateReply, EntryReply, Reply } from './reply.ts'
import { changedDirectories } from './request-traits.ts'
import type { ServedRequest } from './served-request.ts'
import type { Session } from './session.ts'

export interface KernelCacheComponents {
  readonly clock: Clock
  readonly logger: Logger
  /** Milliseconds this member may still answer for, its margin taken off; 0 when it may not. */
  readonly leaseLeftMs: () => number
  /**
   * Something is mounted below this mount; looks anew each time. `everywhere`: in all mount
   * namespaces that can be seen, which takes longer.
   */
  readonly hasSubmounts: (everywhere: boolean) => boolean
  /** A file as this member knows it. */
  readonly inodeOf: (ino: Ino) => { readonly size: number; readonly ctime: TimeSpec } | undefined
  readonly attrOf: (ino: Ino) => Attr | undefined
  /** It has no extended attributes, as this member knows it. */
  readonly isBare: (ino: Ino) => boolean
}

/** Less is not worth the bookkeeping. */
const VALID_MIN_MS = 100
/** A file whose last change is this far back is read through the page cache. */
const QUIET_MS = 2000
const PAGE_BYTES = 4096
/** Drops under way at a time when all is dropped. */
const DROP_BATCH = 256

export class KernelCache implements CachePolicy {
  readonly #components: KernelCacheComponents
  /** Changes of other members. */
  readonly #drops = new DropLog()
  /** Changes of this mount's own that the kernel does not count itself. */
  readonly #changes = new DropLog()
  readonly #known = new KnownInodes()
  readonly #pages: PageDrops
  readonly #attributes: AttributeDrops
  readonly #dropTimes: DropTimes
  /** A part of what the kernel has: inodes without access control lists. */
  #bare: BareInodes | undefined
  /** Attributes that the channel gives when the kernel asks; they count as given. */
  #ready: ReadyAttributes | undefined
  /** It answers FLUSH of these as long as attributes may be given. */
  #plain: Pick<PlainHandleTable, 'answerUntil'> | undefined
  #notifier: KernelNotifier | undefined
  #names: KernelNames | undefined

  constructor(components: KernelCacheComponents) {
    const { clock, logger } = components
    this.#components = components
    this.#attributes = new AttributeDrops({ clock, logger, known: this.#known })
    this.#dropTimes = new DropTimes({ clock })
    this.#pages = new PageDrops({ invalidate: (ino) => this.#invalidatePages(ino) })
  }

  begin(session: Session, channel: PolicyChannel): void {
    if (!session.incEpoch) return
    const { clock, logger, hasSubmounts } = this.#components
    const notifier = new KernelNotifier(channel)
    this.#notifier = notifier
    this.#bare = channel.bareInodes
    this.#ready = channel.readyAttributes
    this.#plain = channel.plainHandles
    const validMs = (): number => this.#validMs()
    this.#names = new KernelNames({ clock, logger, notifier, hasSubmounts, validMs })
  }

  arrived(request: ServedRequest): void {
    const { body, nodeid } = request
    if (this.#notifier === undefined) return
    this.#names?.arrived(request)
    this.#pages.arrived(request)
    // The kernel keeps the list, or that there is none, until the attributes are dropped; a drop that
    // comes before it has the answer makes it refuse that.
    if (body.op === 'getxattr' && isAclName(body.name)) this.#known.giveAttributes(nodeid)
    if (body.op === 'write' && (body.writeFlags & WriteFlag.CACHE) !== 0) {
      this.#attributes.mapped(nodeid)
    }
  }

  mark(): CacheMark {
    return { drops: this.#drops.position, changes: this.#changes.position }
  }

  beforeAnswer(ino: Ino): Promise<void> | undefined {
    return this.#pages.dropping(ino)
  }

  beforeAttributes(ino: Ino): Promise<void> | undefined {
    const settled = this.#names?.settled(ino)
    const dropping = this.#pages.dropping(ino)
    if (settled === undefined) return dropping
    return Promise.all([settled, dropping]).then(() => undefined)
  }

  written(ino: Ino): Promise<void> | undefined {
    return this.#pages.drop(ino)
  }

  complete(request: ServedRequest, reply: Reply): void {
    this.#pages.answered(request)
    switch (reply.kind) {
      case 'entry':
      case 'create':
        this.#completeEntry(request, reply)
        break
      case 'absent':
        reply.entryValidMs = this.#nameValidMs(request)
        break
      case 'attr':
      case 'statx':
        if (request.opcode === Opcode.SETATTR) break
        reply.attrValidMs = this.#attrValidMs(request, request.nodeid)
        break
      case 'listing':
        this.#completeListing(request, reply.listing)
        break
      case 'open':
        if (reply.regular) reply.openFlags = this.#openFlags(request)
        break
      case 'ok':
      case 'written':
        this.#changed(request)
        break
    }
  }

  /** The state is asked behind the answer: then the answer does not wait for what the change costs there. */
  delivered(request: ServedRequest, reply: Reply): void {
    if (reply.kind === 'error' || reply.kind === 'absent') return
    for (const directory of changedDirectories(request)) this.#makeReady(request, directory)
    if (reply.kind === 'create') this.#makeReady(request, reply.attr.ino)
  }

  undelivered(reply: Reply): void {
    if (reply.kind === 'entry' || reply.kind === 'create') this.forgotten(reply.attr.ino, 1)
    if (reply.kind === 'listing') for (const ino of reply.listing.given) this.forgotten(ino, 1)
  }

  forgotten(ino: Ino, lookups: number): void {
    if (!this.#known.forgotten(ino, lookups)) return
    this.#bare?.remove(ino)
    this.#ready?.remove(ino)
    this.#names?.forgotten(ino)
    this.#attributes.forgotten(ino)
    this.#pages.forgotten(ino)
  }

  /**
   * Takes back what the kernel has of these inodes, because another member is about to change them.
   * When it returns, or its promise resolves, no system call is answered from it any more.
   */
  drop(inos: readonly Ino[]): void | Promise<void> {
    const waits: Promise<void>[] = []
    for (const ino of inos) {
      this.#drops.note(ino)
      this.#dropTimes.note(ino)
      for (const dropped of [this.#dropAttributes(ino), this.#pages.drop(ino)]) {
        if (dropped !== undefined) waits.push(dropped)
      }
    }
    const forgotten = this.#names?.drop(inos)
    if (forgotten !== undefined) waits.push(forgotten)
    if (waits.length > 0) return Promise.all(waits).then(() => undefined)
  }

  /** Takes back everything: the state of this member is about to be another one. */
  async dropAll(): Promise<void> {
    this.#drops.noteAll()
    this.#bare?.clear()
    this.#ready?.clear()
    if (this.#notifier === undefined) return
    // READs that hold pages are answered only after this: nobody waits for pages here.
    this.#pages.beginAll()
    await this.#names?.dropAll()
    const inos = this.#known.withAttributes()
    for (let at = 0; at < inos.length; at += DROP_BATCH) {
      const batch = inos.slice(at, at + DROP_BATCH)
      await Promise.all(batch.map((ino) => this.#dropAttributes(ino)))
    }
    await this.#attributes.settled()
  }

  /**
   * An op of this member was applied. What the kernel itself does not take for changed, or not in
   * all cases, is dropped; its request is answered after that.
   */
  submitted(op: Op): Promise<void> | undefined {
    if (this.#ready !== undefined) removeTouched(this.#ready, op)
    if (op.type === 'setxattr') this.#bare?.remove(op.ino)
    if (op.type !== 'rename') return undefined
    const waits: Promise<void>[] = []
    // A replaced inode may have come to its name without the kernel's knowledge.
    for (const ino of op.replaced === 0 ? [op.ino] : [op.ino, op.replaced]) {
      this.#changes.note(ino)
      const dropped = this.#dropAttributes(ino)
      if (dropped !== undefined) waits.push(dropped)
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined)
  }

  #completeEntry(request: ServedRequest, reply: EntryReply | CreateReply): void {
    const { ino } = reply.attr
    if (this.#notifier !== undefined) this.#known.lookedUp(ino)
    reply.entryValidMs = this.#nameValidMs(request)
    if (request.opcode === Opcode.LOOKUP) reply.attrValidMs = this.#attrValidMs(request, ino)
    else this.#changed(request)
    if (reply.kind !== 'create') return
    reply.openFlags = OpenReplyFlag.DIRECT_IO
  }

  /**
   * Only reading goes through the page cache (RULES 25), and only of files that are not being
   * changed: a read of several cached pages may see a change of another member in some of them.
   */
  #openFlags(request: ServedRequest): number {
    const { body, nodeid, cacheMark } = request
    const { DIRECT_IO, KEEP_CACHE } = OpenReplyFlag
    if (this.#notifier === undefined || body.op !== 'open') return DIRECT_IO
    if ((body.flags & (OpenFlag.WRONLY | OpenFlag.RDWR | OpenFlag.DIRECT)) !== 0) return DIRECT_IO
    if (
      this.#drops.droppedSince(nodeid, cacheMark.drops) ||
      this.#dropTimes.wasDroppedLately(nodeid)
    ) {
      return DIRECT_IO
    }
    return this.#isQuiet(nodeid) ? KEEP_CACHE : DIRECT_IO
  }

  #isQuiet(ino: Ino): boolean {
    const inode = this.#components.inodeOf(ino)
    if (inode === undefined) return false
    const { sec, nsec } = this.#components.clock.wall()
    const ageMs = (sec - inode.ctime.sec) * 1000 + (nsec - inode.ctime.nsec) / 1e6
    return inode.size <= PAGE_BYTES || Math.abs(ageMs) >= QUIET_MS
  }

  /**
   * Entries of a listing are given with all they need to be used without another question, or not at
   * all: then the kernel looks them up, one by one, when they are used.
   */
  #completeListing(request: ServedRequest, listing: Listing): void {
    const { body, nodeid } = request
    const names = this.#names
    if (names === undefined || body.op !== 'readdir') return
    const { isBare } = this.#components
    const { handle, cookie } = body
    const begins = cookie === 0
    const isAgain = names.isListedAgain(nodeid, handle, begins)
    const validMs = names.mayList(handle) ? this.#nameValidMs(request) : 0
    if (validMs === 0) return
    for (let index = 0; index < listing.inos.length; index++) {
      const ino = listing.inos[index]
      if (ino === undefined || (isAgain && this.#known.hasAttributes(ino))) continue
      if (!this.#isNewest(request, ino)) continue
      this.#known.lookedUp(ino)
      this.#known.giveAttributes(ino)
      if (isBare(ino)) this.#bare?.add(ino)
      listing.give(index, validMs, validMs)
    }
    if (listing.given.length === 0) return
    names.listing({ directory: nodeid, handle, thread: request.pid, validMs }, begins)
  }

  #attrValidMs(request: ServedRequest, ino: Ino): number {
    if (!this.#isNewest(request, ino)) return 0
    const validMs = this.#validMs()
    return validMs > 0 && this.#known.giveAttributes(ino) ? validMs : 0
  }

  /** What was found of the inode when the request was served may still be kept. */
  #isNewest({ passing, cacheMark }: ServedRequest, ino: Ino): boolean {
    if (passing || this.#names === undefined || this.#names.isSettling(ino)) return false
    if (this.#drops.droppedSince(ino, cacheMark.drops)) return false
    return !this.#changes.droppedSince(ino, cacheMark.changes)
  }

  #nameValidMs({ nodeid, cacheMark }: ServedRequest): number {
    if (this.#names === undefined || this.#drops.droppedSince(nodeid, cacheMark.drops)) return 0
    return this.#dropTimes.isContended(nodeid) ? 0 : this.#names.give(nodeid)
  }

  #validMs(): number {
    const { clock, leaseLeftMs } = this.#components
    const validMs = leaseLeftMs() - KERNEL_CLOCK_MS
    if (validMs < VALID_MIN_MS) return 0
    const endMs = clock.monotonicMs() + validMs
    this.#bare?.answerUntil(endMs)
    this.#ready?.answerUntil(endMs)
    this.#plain?.answerUntil(endMs)
    return validMs
  }

  /**
   * A request of this mount changed attributes of the inodes it names. The kernel marks most of that
   * as changed, but an older GETATTR still on its way would undo the mark; a drop makes the kernel
   * refuse it. The inodes are in use by the request, so the kernel never holds the drop.
   */
  #changed(request: ServedRequest): void {
    if (this.#notifier === undefined) return
    const { body, nodeid } = request
    for (const directory of changedDirectories(request)) this.#dropNow(directory)
    switch (body.op) {
      case 'rename':
        // An exchange moves names both ways.
        this.#names?.movedTo(body.newParent)
        this.#names?.movedTo(nodeid)
        break
      case 'setxattr':
      case 'removexattr':
      case 'fallocate':
        this.#dropNow(nodeid)
        break
      case 'write':
        // The mode may have changed, which the kernel does not expect; pages that are written back
        // may belong to an inode on its way out.
        if ((body.writeFlags & WriteFlag.CACHE) !== 0) break
        if ((body.writeFlags & WriteFlag.KILL_SUIDGID) !== 0) this.#dropNow(nodeid)
        break
    }
  }

  /**
   * The kernel will ask for the attributes before it uses the inode again: what this member knows of it now
   * is the newest, unless it was dropped since the request came, under which the inode was held.
   */
  #makeReady({ cacheMark }: ServedRequest, ino: Ino): void {
    const ready = this.#ready
    if (ready === undefined || this.#drops.droppedSince(ino, cacheMark.drops)) return
    if (this.#names === undefined || this.#names.isSettling(ino)) return
    const attr = this.#components.attrOf(ino)
    // One without a name may be gone for good before the kernel lets go of it.
    if (attr === undefined || attr.nlink === 0) return
    if (this.#validMs() === 0 || !this.#known.giveAttributes(ino)) return
    writeAttr(ready.bytes, attr, ready.place(ino))
  }

  #dropNow(ino: Ino): void {
    this.#changes.note(ino)
    const notifier = this.#notifier
    if (notifier === undefined || !this.#takeAttributes(ino)) return
    ignoreUnmounted(() => notifier.invalAttributesNow(ino))
  }

  /** True when attributes were given since the last time. */
  #takeAttributes(ino: Ino): boolean {
    this.#bare?.remove(ino)
    this.#ready?.remove(ino)
    return this.#known.takeAttributes(ino)
  }

  async #invalidatePages(ino: Ino): Promise<void> {
    try {
      await this.#notifier?.invalInode(ino, 0, 0)
    } catch (error) {
      if (!isUnmounted(error)) throw error
    }
  }

  /** Undefined when it is done, or nothing was given. */
  #dropAttributes(ino: Ino): Promise<void> | undefined {
    const notifier = this.#notifier
    if (notifier === undefined || !this.#takeAttributes(ino)) return this.#attributes.dropping(ino)
    return this.#attributes.drop(notifier, ino)
  }
}

/** What stood ready of the inodes that the op changes is not so any more; `submitted` has the replaced one. */
function removeTouched(ready: ReadyAttributes, op: Op): void {
  switch (op.type) {
    case 'rename':
      ready.remove(op.parent)
      ready.remove(op.newParent)
      break
    case 'create':
    case 'link':
    case 'unlink':
    case 'rmdir':
      ready.remove(op.parent)
      break
  }
  ready.remove(op.ino)
}
