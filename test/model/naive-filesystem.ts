/**
 * A filesystem as simple as can be: objects that point to each other, file content as one array of
 * bytes with a mask of what was written. It knows nothing of ops, extents or inode numbers, so that
 * it does not share the mistakes of the real one.
 */
export type NodeType = 'file' | 'dir' | 'symlink' | 'fifo' | 'chr'

export class NaiveError extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}

export interface NaiveNode {
  type: NodeType
  permissions: number
  uid: number
  gid: number
  rdev: number
  nlink: number
  parent: NaiveNode | undefined
  /** In the order in which the names came. */
  entries: Map<string, NaiveNode>
  data: Uint8Array
  written: Uint8Array
  target: string
  xattrs: Map<string, string>
  /** Bits of owner, group, others, mask, user 1000; see AclText. */
  access: readonly number[] | undefined
  inherited: readonly number[] | undefined
  atime: string
  mtime: string
  ctime: string
  opens: number
  gone: boolean
  /** Made without a name and without O_EXCL. */
  nameable: boolean
}

export interface Caller {
  readonly uid: number
  readonly gid: number
  readonly umask?: number
}

const SETUID = 0o4000
const SETGID = 0o2000
const GROUP_EXEC = 0o010

export class NaiveFilesystem {
  readonly root: NaiveNode
  now = ''
  readonly linkMax: number

  constructor(linkMax: number) {
    this.linkMax = linkMax
    this.now = '0.0'
    this.root = this.#node('dir', 0o755, { uid: 0, gid: 0 })
    this.root.parent = this.root
  }

  #node(type: NodeType, permissions: number, caller: Caller): NaiveNode {
    return {
      type,
      permissions,
      uid: caller.uid,
      gid: caller.gid,
      rdev: 0,
      nlink: type === 'dir' ? 2 : 1,
      parent: undefined,
      entries: new Map(),
      data: new Uint8Array(0),
      written: new Uint8Array(0),
      target: '',
      xattrs: new Map(),
      atime: this.now,
      mtime: this.now,
      ctime: this.now,
      opens: 0,
      gone: false,
      nameable: false,
      access: undefined,
      inherited: undefined
    }
  }

  #alive(node: NaiveNode): void {
    if (node.gone) throw new NaiveError('ESTALE')
  }

  #directory(node: NaiveNode): void {
    this.#alive(node)
    if (node.type !== 'dir') throw new NaiveError('ENOTDIR')
    if (node.nlink === 0) throw new NaiveError('ENOENT')
  }

  #name(name: string): void {
    if (name.length > 255) throw new NaiveError('ENAMETOOLONG')
    if (name === '') throw new NaiveError('ENOENT')
    if (name === '.' || name === '..' || name.includes('/')) throw new NaiveError('EINVAL')
  }

  #touch(directory: NaiveNode): void {
    directory.mtime = this.now
    directory.ctime = this.now
  }

  #collect(node: NaiveNode): void {
    if (node.nlink === 0 && node.opens === 0) node.gone = true
  }

  lookup(parent: NaiveNode, name: string): NaiveNode {
    this.#alive(parent)
    if (parent.type !== 'dir') throw new NaiveError('ENOTDIR')
    if (name === '.') return parent
    if (name === '..') {
      const up = parent.parent as NaiveNode
      this.#alive(up)
      return up
    }
    this.#name(name)
    const node = parent.entries.get(name)
    if (node === undefined) throw new NaiveError('ENOENT')
    return node
  }

  make(
    caller: Caller,
    parent: NaiveNode,
    name: string,
    type: NodeType,
    permissions: number,
    options: { exists?: string; target?: string; rdev?: number } = {}
  ): NaiveNode {
    if (type === 'symlink' && options.target === '') throw new NaiveError('ENOENT')
    this.#directory(parent)
    this.#name(name)
    if (parent.entries.has(name)) throw new NaiveError(options.exists ?? 'EEXIST')
    if (type === 'dir' && parent.nlink >= this.linkMax) throw new NaiveError('EMLINK')
    const node = this.#child(caller, parent, type, permissions)
    node.target = options.target ?? ''
    node.rdev = type === 'chr' ? (options.rdev ?? 0) : 0
    if (type === 'dir') {
      node.parent = parent
      parent.nlink++
    }
    parent.entries.set(name, node)
    this.#touch(parent)
    return node
  }

  #child(caller: Caller, parent: NaiveNode, type: NodeType, permissions: number): NaiveNode {
    const node = this.#node(type, permissions, caller)
    if (type !== 'symlink') this.#inherit(caller, parent, node)
    if (parent.permissions & SETGID) {
      node.gid = parent.gid
      if (type === 'dir') node.permissions |= SETGID
    }
    return node
  }

  /** acl(5), "object creation and default ACLs". */
  #inherit(caller: Caller, parent: NaiveNode, node: NaiveNode): void {
    if (parent.inherited === undefined) {
      node.permissions &= ~(caller.umask ?? 0)
      return
    }
    const [owner = 0, group = 0, others = 0, mask = -1, named = -1] = parent.inherited
    const asked = [(node.permissions >> 6) & 7, (node.permissions >> 3) & 7, node.permissions & 7]
    const [o = 0, g = 0, t = 0] = asked
    if (mask < 0) {
      node.permissions = (node.permissions & ~0o777) | ((o & owner) << 6)
      node.permissions |= ((g & group) << 3) | (t & others)
    } else {
      node.access = [o & owner, group, t & others, g & mask, named]
      node.permissions = (node.permissions & ~0o777) | ((o & owner) << 6)
      node.permissions |= ((g & mask) << 3) | (t & others)
    }
    if (node.type === 'dir') node.inherited = parent.inherited
  }

  tmpfile(caller: Caller, parent: NaiveNode, permissions: number, excl: boolean): NaiveNode {
    this.#directory(parent)
    const node = this.#child(caller, parent, 'file', permissions)
    node.nlink = 0
    node.nameable = !excl
    return node
  }

  setacl(
    node: NaiveNode,
    isDefault: boolean,
    acl: readonly number[] | undefined,
    kill: boolean
  ): void {
    this.#alive(node)
    if (acl === undefined) {
      const had = isDefault ? node.inherited : node.access
      if (isDefault) node.inherited = undefined
      else node.access = undefined
      if (had !== undefined) node.ctime = this.now
      return
    }
    if (node.type === 'symlink') throw new NaiveError('EOPNOTSUPP')
    if (isDefault && node.type !== 'dir') throw new NaiveError('EACCES')
    node.ctime = this.now
    if (isDefault) {
      node.inherited = acl
      return
    }
    const [owner = 0, group = 0, others = 0, mask = -1] = acl
    node.access = mask < 0 ? undefined : acl
    const kept = node.permissions & (kill ? 0o5000 : 0o7000)
    node.permissions = kept | (owner << 6) | ((mask < 0 ? group : mask) << 3) | others
  }

  link(node: NaiveNode, parent: NaiveNode, name: string): void {
    this.#alive(node)
    this.#directory(parent)
    this.#name(name)
    if (parent.entries.has(name)) throw new NaiveError('EEXIST')
    if (node.type === 'dir') throw new NaiveError('EPERM')
    if (node.nlink === 0 && !node.nameable) throw new NaiveError('ENOENT')
    if (node.nlink >= this.linkMax) throw new NaiveError('EMLINK')
    node.nlink++
    node.nameable = false
    node.ctime = this.now
    parent.entries.set(name, node)
    this.#touch(parent)
  }

  remove(parent: NaiveNode, name: string, directory: boolean): void {
    this.#directory(parent)
    this.#name(name)
    const node = parent.entries.get(name)
    if (node === undefined) throw new NaiveError('ENOENT')
    if (!directory && node.type === 'dir') throw new NaiveError('EISDIR')
    if (directory && node.type !== 'dir') throw new NaiveError('ENOTDIR')
    if (directory && node.entries.size > 0) throw new NaiveError('ENOTEMPTY')
    parent.entries.delete(name)
    node.ctime = this.now
    if (directory) {
      node.nlink = 0
      parent.nlink--
    } else node.nlink--
    this.#touch(parent)
    this.#collect(node)
  }

  rename(
    from: NaiveNode,
    name: string,
    to: NaiveNode,
    newName: string,
    flags: { noReplace: boolean; exchange: boolean; whiteout: boolean }
  ): void {
    if ((flags.noReplace || flags.whiteout) && flags.exchange) throw new NaiveError('EINVAL')
    this.#directory(from)
    this.#directory(to)
    this.#name(name)
    this.#name(newName)
    const node = from.entries.get(name)
    const other = to.entries.get(newName)
    if (node === undefined) throw new NaiveError('ENOENT')
    if (other !== undefined && flags.noReplace) throw new NaiveError('EEXIST')
    if (other === undefined && flags.exchange) throw new NaiveError('ENOENT')
    if (other === node) return
    if (this.#isAbove(node, to)) throw new NaiveError('EINVAL')
    if (other !== undefined && this.#isAbove(other, from)) {
      throw new NaiveError(flags.exchange ? 'EINVAL' : 'ENOTEMPTY')
    }
    if (other !== undefined && !flags.exchange) {
      if (node.type === 'dir' && other.type !== 'dir') throw new NaiveError('ENOTDIR')
      if (node.type !== 'dir' && other.type === 'dir') throw new NaiveError('EISDIR')
      if (other.entries.size > 0) throw new NaiveError('ENOTEMPTY')
    }
    if (from !== to) this.#assertRoom(from, to, node, other)
    from.entries.delete(name)
    to.entries.delete(newName)
    to.entries.set(newName, node)
    node.ctime = this.now
    if (other !== undefined) other.ctime = this.now
    if (node.type === 'dir') {
      from.nlink--
      to.nlink++
      node.parent = to
    }
    if (other !== undefined && other.type === 'dir') to.nlink--
    if (other !== undefined && flags.exchange) {
      from.entries.set(name, other)
      if (other.type === 'dir') {
        from.nlink++
        other.parent = from
      }
    } else if (other !== undefined) {
      other.nlink = other.type === 'dir' ? 0 : other.nlink - 1
      this.#collect(other)
    }
    if (flags.whiteout) from.entries.set(name, this.#node('chr', 0, { uid: 0, gid: 0 }))
    this.#touch(from)
    this.#touch(to)
  }

  #assertRoom(from: NaiveNode, to: NaiveNode, node: NaiveNode, other: NaiveNode | undefined): void {
    const comes = node.type === 'dir' ? 1 : 0
    const leaves = other?.type === 'dir' ? 1 : 0
    if (comes > leaves && to.nlink >= this.linkMax) throw new NaiveError('EMLINK')
    if (leaves > comes && from.nlink >= this.linkMax) throw new NaiveError('EMLINK')
  }

  #isAbove(node: NaiveNode, below: NaiveNode): boolean {
    if (node.type !== 'dir') return false
    for (let at = below; ; at = at.parent as NaiveNode) {
      if (at === node) return true
      if (at === this.root) return false
    }
  }

  chmod(node: NaiveNode, permissions: number): void {
    this.#alive(node)
    node.permissions = permissions
    if (node.access !== undefined) {
      const [, group = 0, , , named = -1] = node.access
      const bits = [(permissions >> 6) & 7, (permissions >> 3) & 7, permissions & 7] as const
      node.access = [bits[0], group, bits[2], bits[1], named]
    }
    node.ctime = this.now
  }

  chown(node: NaiveNode, uid: number, gid: number): void {
    this.#alive(node)
    node.uid = uid
    node.gid = gid
    if (node.type !== 'dir') this.#dropSetId(node)
    node.ctime = this.now
  }

  #dropSetId(node: NaiveNode): void {
    node.permissions &= ~SETUID
    if (node.permissions & GROUP_EXEC) node.permissions &= ~SETGID
  }

  utimens(node: NaiveNode, atime: string | undefined, mtime: string | undefined): void {
    this.#alive(node)
    if (atime !== undefined) node.atime = atime
    if (mtime !== undefined) node.mtime = mtime
    node.ctime = this.now
  }

  truncate(node: NaiveNode, size: number, killSuidGid: boolean): void {
    this.#alive(node)
    this.#file(node)
    this.#resize(node, size)
    if (killSuidGid) this.#dropSetId(node)
    this.#touch(node)
  }

  #file(node: NaiveNode): void {
    if (node.type === 'dir') throw new NaiveError('EISDIR')
    if (node.type !== 'file') throw new NaiveError('EINVAL')
  }

  #resize(node: NaiveNode, size: number): void {
    const data = new Uint8Array(size)
    const written = new Uint8Array(size)
    data.set(node.data.subarray(0, size))
    written.set(node.written.subarray(0, size))
    node.data = data
    node.written = written
  }

  open(node: NaiveNode, writes: boolean, truncate: boolean): void {
    this.#alive(node)
    if (node.type === 'symlink') throw new NaiveError('ELOOP')
    if (node.type === 'dir' && writes) throw new NaiveError('EISDIR')
    node.opens++
    if (truncate && writes && node.type === 'file') {
      node.data = new Uint8Array(0)
      node.written = new Uint8Array(0)
      this.#touch(node)
    }
  }

  close(node: NaiveNode): void {
    node.opens--
    this.#collect(node)
  }

  write(
    node: NaiveNode,
    offset: number,
    bytes: Uint8Array,
    options: { append: boolean; killSuidGid: boolean }
  ): void {
    this.#file(node)
    if (bytes.length === 0) return
    const at = options.append ? node.data.length : offset
    if (at + bytes.length > node.data.length) this.#resize(node, at + bytes.length)
    node.data.set(bytes, at)
    node.written.fill(1, at, at + bytes.length)
    if (options.killSuidGid) this.#dropSetId(node)
    node.mtime = this.now
    node.ctime = this.now
  }

  /** How many bytes were copied. */
  copy(
    source: NaiveNode,
    sourceOffset: number,
    node: NaiveNode,
    offset: number,
    length: number,
    kill: boolean
  ): number {
    if (length === 0) return 0
    this.#file(node)
    this.#file(source)
    if (source === node && Math.abs(offset - sourceOffset) < length) throw new NaiveError('EINVAL')
    const data = source.data.slice(sourceOffset, sourceOffset + length)
    if (data.length === 0) return 0
    const written = source.written.slice(sourceOffset, sourceOffset + length)
    const end = offset + data.length
    if (end > node.data.length) this.#resize(node, end)
    node.data.set(data, offset)
    node.written.set(written, offset)
    if (kill) this.#dropSetId(node)
    node.mtime = this.now
    node.ctime = this.now
    return data.length
  }

  read(node: NaiveNode, offset: number, length: number): Uint8Array {
    this.#file(node)
    return node.data.slice(offset, offset + length)
  }

  fallocate(node: NaiveNode, mode: number, offset: number, length: number): void {
    if (node.type !== 'file') throw new NaiveError('ENODEV')
    if (length <= 0) throw new NaiveError('EINVAL')
    const keep = (mode & 1) !== 0
    const action = mode & ~1
    const end = offset + length
    if (action === 0) {
      if (keep || end <= node.data.length) return
      this.#resize(node, end)
      this.#touch(node)
      return
    }
    if (action !== 16 && (action !== 2 || !keep)) throw new NaiveError('EOPNOTSUPP')
    if (!keep && end > node.data.length) this.#resize(node, end)
    node.data.fill(0, offset, end)
    node.written.fill(0, offset, end)
    this.#touch(node)
  }

  seek(node: NaiveNode, offset: number, data: boolean): number {
    this.#file(node)
    if (offset >= node.data.length) throw new NaiveError('ENXIO')
    const found = node.written.indexOf(data ? 1 : 0, offset)
    if (found >= 0) return found
    if (data) throw new NaiveError('ENXIO')
    return node.data.length
  }

  setxattr(node: NaiveNode, name: string, value: string, flags: number): void {
    if (!/^(user|trusted|security)\./.test(name)) throw new NaiveError('EOPNOTSUPP')
    if (/^[a-z]+\.$/.test(name)) throw new NaiveError('EINVAL')
    this.#alive(node)
    if (flags === 1 && node.xattrs.has(name)) throw new NaiveError('EEXIST')
    if (flags === 2 && !node.xattrs.has(name)) throw new NaiveError('ENODATA')
    node.xattrs.set(name, value)
    node.ctime = this.now
  }

  removexattr(node: NaiveNode, name: string): void {
    this.#alive(node)
    if (!node.xattrs.delete(name)) throw new NaiveError('ENODATA')
    node.ctime = this.now
  }
}
