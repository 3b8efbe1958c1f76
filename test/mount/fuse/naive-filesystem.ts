/** A filesystem in memory, as naive as possible: the other side of the FUSE layer in its tests. */
import { type Attr, isDirectory, S_IFDIR, S_IFLNK, S_IFREG } from '../../../src/fs/attr.ts'
import { FsError } from '../../../src/fs/errno.ts'
import type {
  AcceptEntry,
  CopyRequest,
  DirEntry,
  FilesystemApi,
  HandleId,
  LockInTheWay,
  RenameFlags,
  RequestContext,
  SetAttrRequest,
  StatFs
} from '../../../src/fs/filesystem-api.ts'
import type { LockRequest } from '../../../src/fs/ports/lock-service.ts'
import { type Ino, ROOT_INO } from '../../../src/fs/primitives.ts'

interface Node {
  readonly ino: Ino
  mode: number
  nlink: number
  uid: number
  gid: number
  rdev: number
  data: Buffer
  mtime: { sec: number; nsec: number }
  readonly entries: Map<string, { ino: Ino; cookie: number }>
  readonly xattrs: Map<string, Buffer>
  parent: Ino
}

function now(): { sec: number; nsec: number } {
  const ms = Date.now()
  return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 }
}

/** latin1 keeps every byte. */
function key(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1')
}

export class NaiveFilesystem implements FilesystemApi {
  readonly nodes = new Map<Ino, Node>()
  readonly openHandles = new Set<HandleId>()
  readonly droppedOwners: bigint[] = []
  fsyncs = 0
  #nextIno = 2
  #nextHandle = 1
  #nextCookie = 3

  constructor() {
    const root = this.#make(ROOT_INO, S_IFDIR | 0o755, 0, 0, ROOT_INO)
    root.nlink = 2
  }

  #make(ino: Ino, mode: number, uid: number, gid: number, parent: Ino): Node {
    const node: Node = {
      ino,
      mode,
      nlink: 1,
      uid,
      gid,
      rdev: 0,
      data: Buffer.alloc(0),
      mtime: now(),
      entries: new Map(),
      xattrs: new Map(),
      parent
    }
    this.nodes.set(ino, node)
    return node
  }

  #node(ino: Ino): Node {
    const node = this.nodes.get(ino)
    if (node === undefined) throw new FsError('ESTALE')
    return node
  }

  /** What the caches want to know of a file. */
  describe(ino: Ino): { readonly size: number; readonly ctime: Node['mtime'] } | undefined {
    const node = this.nodes.get(ino)
    return node && { size: node.data.length, ctime: node.mtime }
  }

  attr(ino: Ino): Attr | undefined {
    const node = this.nodes.get(ino)
    return node && this.#attr(node)
  }

  isBare(ino: Ino): boolean {
    return this.nodes.get(ino)?.xattrs.size === 0
  }

  #child(parent: Ino, name: Uint8Array): Node {
    const entry = this.#node(parent).entries.get(key(name))
    if (entry === undefined) throw new FsError('ENOENT')
    return this.#node(entry.ino)
  }

  #attr(node: Node): Attr {
    return {
      ino: node.ino,
      mode: node.mode,
      nlink: node.nlink,
      uid: node.uid,
      gid: node.gid,
      rdev: node.rdev,
      size: node.data.length,
      blocks: Math.ceil(node.data.length / 512),
      atime: node.mtime,
      mtime: node.mtime,
      ctime: node.mtime,
      btime: node.mtime
    }
  }

  #add(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number): Node {
    const directory = this.#node(parent)
    if (directory.entries.has(key(name))) throw new FsError('EEXIST')
    const node = this.#make(this.#nextIno++ as Ino, mode, ctx.uid, ctx.gid, parent)
    directory.entries.set(key(name), { ino: node.ino, cookie: this.#nextCookie++ })
    if (isDirectory(mode)) {
      node.nlink = 2
      directory.nlink += 1
    }
    return node
  }

  #handle(): HandleId {
    const handle = this.#nextHandle++ as HandleId
    this.openHandles.add(handle)
    return handle
  }

  #resize(node: Node, size: number): void {
    const data = Buffer.alloc(size)
    node.data.copy(data, 0, 0, Math.min(size, node.data.length))
    node.data = data
    node.mtime = now()
  }

  async lookup(_ctx: RequestContext, parent: Ino, name: Uint8Array): Promise<Attr | undefined> {
    const entry = this.#node(parent).entries.get(key(name))
    return entry && this.#attr(this.#node(entry.ino))
  }

  async getattr(_ctx: RequestContext, ino: Ino): Promise<Attr> {
    return this.#attr(this.#node(ino))
  }

  async setattr(_ctx: RequestContext, ino: Ino, request: SetAttrRequest): Promise<Attr> {
    const node = this.#node(ino)
    if (request.mode !== undefined) node.mode = (node.mode & ~0o7777) | request.mode
    if (request.uid !== undefined) node.uid = request.uid
    if (request.gid !== undefined) node.gid = request.gid
    if (request.size !== undefined) this.#resize(node, request.size)
    if (request.mtime !== undefined) node.mtime = request.mtime === 'now' ? now() : request.mtime
    return this.#attr(node)
  }

  async readlink(_ctx: RequestContext, ino: Ino): Promise<Uint8Array> {
    return this.#node(ino).data
  }

  async mknod(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    rdev: number
  ): Promise<Attr> {
    const node = this.#add(ctx, parent, name, mode)
    node.rdev = rdev
    return this.#attr(node)
  }

  async mkdir(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number): Promise<Attr> {
    return this.#attr(this.#add(ctx, parent, name, S_IFDIR | mode))
  }

  async symlink(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    target: Uint8Array
  ): Promise<Attr> {
    const node = this.#add(ctx, parent, name, S_IFLNK | 0o777)
    node.data = Buffer.from(target)
    return this.#attr(node)
  }

  async unlink(_ctx: RequestContext, parent: Ino, name: Uint8Array): Promise<void> {
    const node = this.#child(parent, name)
    this.#node(parent).entries.delete(key(name))
    node.nlink -= 1
  }

  async rmdir(_ctx: RequestContext, parent: Ino, name: Uint8Array): Promise<void> {
    const node = this.#child(parent, name)
    if (!isDirectory(node.mode)) throw new FsError('ENOTDIR')
    if (node.entries.size > 0) throw new FsError('ENOTEMPTY')
    this.#node(parent).entries.delete(key(name))
    this.#node(parent).nlink -= 1
  }

  async rename(
    _ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    newParent: Ino,
    newName: Uint8Array,
    flags: RenameFlags
  ): Promise<void> {
    const from = this.#node(parent).entries
    const to = this.#node(newParent).entries
    const moved = this.#child(parent, name)
    const target = to.get(key(newName))
    if (flags.noReplace && target !== undefined) throw new FsError('EEXIST')
    if (flags.exchange) {
      if (target === undefined) throw new FsError('ENOENT')
      from.set(key(name), { ino: target.ino, cookie: this.#nextCookie++ })
    } else {
      from.delete(key(name))
    }
    to.set(key(newName), { ino: moved.ino, cookie: this.#nextCookie++ })
    moved.parent = newParent
  }

  async link(_ctx: RequestContext, ino: Ino, newParent: Ino, newName: Uint8Array): Promise<Attr> {
    const node = this.#node(ino)
    const entries = this.#node(newParent).entries
    if (entries.has(key(newName))) throw new FsError('EEXIST')
    entries.set(key(newName), { ino, cookie: this.#nextCookie++ })
    node.nlink += 1
    return this.#attr(node)
  }

  async open(_ctx: RequestContext, ino: Ino, _flags: number): Promise<HandleId> {
    this.#node(ino)
    return this.#handle()
  }

  async create(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    _flags: number
  ): Promise<{ readonly attr: Attr; readonly handle: HandleId }> {
    const node = this.#add(ctx, parent, name, S_IFREG | mode)
    return { attr: this.#attr(node), handle: this.#handle() }
  }

  async tmpfile(
    ctx: RequestContext,
    directory: Ino,
    mode: number
  ): Promise<{ readonly attr: Attr; readonly handle: HandleId }> {
    const node = this.#make(this.#nextIno++ as Ino, S_IFREG | mode, ctx.uid, ctx.gid, directory)
    node.nlink = 0
    return { attr: this.#attr(node), handle: this.#handle() }
  }

  async copyRange(_ctx: RequestContext, request: CopyRequest): Promise<number> {
    const { source, sourceOffset, ino, offset, length } = request
    const data = this.#node(source).data.subarray(sourceOffset, sourceOffset + length)
    const node = this.#node(ino)
    if (node.data.length < offset + data.length) this.#resize(node, offset + data.length)
    data.copy(node.data, offset)
    return data.length
  }

  async read(
    _ctx: RequestContext,
    ino: Ino,
    _handle: HandleId,
    offset: number,
    length: number
  ): Promise<Uint8Array> {
    return this.#node(ino).data.subarray(offset, offset + length)
  }

  async write(
    _ctx: RequestContext,
    ino: Ino,
    _handle: HandleId,
    offset: number,
    data: Uint8Array,
    options: { readonly append: boolean; readonly killSuidGid: boolean }
  ): Promise<number> {
    const node = this.#node(ino)
    const at = options.append ? node.data.length : offset
    if (at + data.length > node.data.length) this.#resize(node, at + data.length)
    node.data.set(data, at)
    node.mtime = now()
    return data.length
  }

  /** Nobody else locks anything here. */
  async getlk(
    _ctx: RequestContext,
    _ino: Ino,
    _handle: HandleId,
    _request: LockRequest
  ): Promise<LockInTheWay | undefined> {
    return undefined
  }

  async setlk(
    _ctx: RequestContext,
    _ino: Ino,
    _handle: HandleId,
    _request: LockRequest,
    _options: { readonly wait: boolean }
  ): Promise<void> {}

  dropLocks(_ino: Ino, lockOwner: bigint): void {
    this.droppedOwners.push(lockOwner)
  }

  async flush(
    _ctx: RequestContext,
    _ino: Ino,
    _handle: HandleId,
    _lockOwner: bigint
  ): Promise<void> {}

  async fsync(): Promise<void> {
    this.fsyncs += 1
  }

  async release(_ino: Ino, handle: HandleId): Promise<void> {
    this.openHandles.delete(handle)
  }

  async opendir(_ctx: RequestContext, ino: Ino): Promise<HandleId> {
    this.#node(ino)
    return this.#handle()
  }

  async readdir(
    _ctx: RequestContext,
    ino: Ino,
    _handle: HandleId,
    cookie: number,
    accept: AcceptEntry
  ): Promise<void> {
    const node = this.#node(ino)
    const attributes = (of: Ino): Attr => this.#attr(this.#node(of))
    const self: DirEntry = { ino, name: Buffer.from('.'), type: S_IFDIR, cookie: 1 }
    const up: DirEntry = { ino: node.parent, name: Buffer.from('..'), type: S_IFDIR, cookie: 2 }
    if (cookie < 1 && !accept(self, attributes)) return
    if (cookie < 2 && !accept(up, attributes)) return
    for (const [name, entry] of node.entries) {
      if (entry.cookie <= cookie) continue
      const child = this.#node(entry.ino)
      const found: DirEntry = {
        ino: entry.ino,
        name: Buffer.from(name, 'latin1'),
        type: child.mode & 0o170000,
        cookie: entry.cookie
      }
      if (!accept(found, attributes)) return
    }
  }

  async fsyncdir(): Promise<void> {
    this.fsyncs += 1
  }

  async releasedir(_ino: Ino, handle: HandleId): Promise<void> {
    this.openHandles.delete(handle)
  }

  async statfs(): Promise<StatFs> {
    return {
      blockSize: 4096,
      blocks: 1000,
      blocksFree: 900,
      blocksAvailable: 800,
      files: 100,
      filesFree: 50,
      nameMax: 255
    }
  }

  async setxattr(
    _ctx: RequestContext,
    ino: Ino,
    name: Uint8Array,
    value: Uint8Array,
    flags: number
  ): Promise<void> {
    const { xattrs } = this.#node(ino)
    if (flags === 1 && xattrs.has(key(name))) throw new FsError('EEXIST')
    if (flags === 2 && !xattrs.has(key(name))) throw new FsError('ENODATA')
    xattrs.set(key(name), Buffer.from(value))
  }

  async getxattr(
    _ctx: RequestContext,
    ino: Ino,
    name: Uint8Array
  ): Promise<Uint8Array | undefined> {
    return this.#node(ino).xattrs.get(key(name))
  }

  async listxattr(_ctx: RequestContext, ino: Ino): Promise<readonly Uint8Array[]> {
    return [...this.#node(ino).xattrs.keys()].map((name) => Buffer.from(name, 'latin1'))
  }

  async removexattr(_ctx: RequestContext, ino: Ino, name: Uint8Array): Promise<void> {
    if (!this.#node(ino).xattrs.delete(key(name))) throw new FsError('ENODATA')
  }

  async fallocate(
    _ctx: RequestContext,
    ino: Ino,
    _handle: HandleId,
    mode: number,
    offset: number,
    length: number
  ): Promise<void> {
    const node = this.#node(ino)
    const end = offset + length
    if (mode === 0) {
      if (end > node.data.length) this.#resize(node, end)
    } else if (mode === 3) {
      node.data.fill(0, offset, Math.min(end, node.data.length))
    } else {
      throw new FsError('EOPNOTSUPP')
    }
  }

  async lseek(
    _ctx: RequestContext,
    ino: Ino,
    _handle: HandleId,
    offset: number,
    whence: number
  ): Promise<number> {
    const { data } = this.#node(ino)
    if (offset >= data.length) throw new FsError('ENXIO')
    return whence === 3 ? offset : data.length
  }
}
