/**
 * Runs commands on the real filesystem and on the naive one and compares what both say: result or
 * errno of every command, and now and then the whole tree.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Attr, TimeSpec } from '../../src/fs/attr.ts'
import { checkState } from '../../src/fs/check.ts'
import { FsError } from '../../src/fs/errno.ts'
import type { HandleId, RequestContext } from '../../src/fs/filesystem-api.ts'
import { decodeOps, encodeOps } from '../../src/fs/op-codec.ts'
import type { Epoch, Ino } from '../../src/fs/primitives.ts'
import { openState } from '../../src/fs/state/open-state.ts'
import type { Fixture } from '../fs/fixture.ts'
import { openFixture, reapOrphans, StepClock, WRITER } from '../fs/fixture.ts'
import type { Command, RenameFlag } from './commands.ts'
import { FILE_MAX_BYTES, randomCommand } from './commands.ts'
import type { NaiveNode, NodeType } from './naive-filesystem.ts'
import { NaiveError, NaiveFilesystem } from './naive-filesystem.ts'
import { Random } from './random.ts'

const TREE_EVERY = 250
const LINK_MAX = 5
const ACCESS_LIST = 'system.posix_acl_access'
const DEFAULT_LIST = 'system.posix_acl_default'
const BUSY_DIRECTORIES = 8
const TYPE_BITS: Record<NodeType, number> = {
  file: 0o100000,
  dir: 0o040000,
  symlink: 0o120000,
  fifo: 0o010000,
  chr: 0o020000
}

interface Known {
  readonly ino: Ino
  readonly node: NaiveNode
}

interface KnownHandle extends Known {
  readonly handle: HandleId
}

/** Time that stands still during a command. */
class ModelClock extends StepClock {
  #now: TimeSpec = { sec: 0, nsec: 0 }

  set(now: TimeSpec): void {
    this.#now = now
  }

  override wall(): TimeSpec {
    return this.#now
  }
}

export class ModelRun {
  readonly #directory = mkdtempSync(join(tmpdir(), 'tandemfs-model-'))
  readonly #fixture: Fixture
  readonly #naive = new NaiveFilesystem(LINK_MAX)
  readonly #clock = new ModelClock()
  readonly #nodes: Known[] = []
  readonly #handles: KnownHandle[] = []
  #step = 0

  constructor() {
    this.#fixture = openFixture(
      this.#directory,
      { linkMax: LINK_MAX },
      this.#clock,
      // So few that rows are written back and read again all the time.
      { cachedInodes: 5 }
    )
    this.#fixture.log.record = true
    this.#nodes.push({ ino: 1 as Ino, node: this.#naive.root })
  }

  close(): void {
    this.#fixture.state.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** Undefined when both agree, else what differs. */
  async step(command: Command): Promise<string | undefined> {
    this.#step++
    const now = { sec: 1_700_000_000 + this.#step, nsec: (this.#step * 7919) % 1e9 }
    this.#clock.set(now)
    this.#naive.now = timeText(now)
    const real = await this.#outcome(() => this.#real(command))
    const expected = await this.#outcome(async () => this.#expected(command))
    await reapOrphans(this.#fixture)
    this.#punch()
    if (real !== expected) return `real ${real}\n  naive ${expected}`
    if (this.#fixture.tokens.held !== 0) return `${this.#fixture.tokens.held} guards not released`
    if (this.#step % TREE_EVERY !== 0) return undefined
    return this.compareAll()
  }

  async #outcome(run: () => Promise<string>): Promise<string> {
    try {
      return await run()
    } catch (error) {
      if (error instanceof FsError || error instanceof NaiveError) return error.code
      throw error
    }
  }

  /** Takes away what was freed, so that any further use of it is an error. */
  #punch(): void {
    const freed = this.#fixture.state.freedSlices(1000)
    for (const slice of freed) this.#fixture.slices.punch(slice.offset)
    this.#fixture.state.forgetFreed(freed)
  }

  async compareAll(): Promise<string | undefined> {
    const problems = checkState(this.#fixture.state)
    if (problems.length > 0) return `state: ${problems.join('; ')}`
    for (let slot = 0; slot < this.#nodes.length; slot++) {
      for (const kind of ['getattr', 'readdir', 'listxattr'] as const) {
        const command: Command = { kind, node: slot }
        const real = await this.#outcome(() => this.#real(command))
        const expected = await this.#outcome(async () => this.#expected(command))
        if (real !== expected) return `slot ${slot} ${kind}: real ${real}\n  naive ${expected}`
      }
    }
    for (let handle = 0; handle < this.#handles.length; handle++) {
      const command: Command = { kind: 'read', handle, offset: 0, length: FILE_MAX_BYTES * 2 }
      const real = await this.#outcome(() => this.#real(command))
      const expected = await this.#outcome(async () => this.#expected(command))
      if (real !== expected) return `handle ${handle}: content differs`
    }
    return undefined
  }

  /** How many ops of each type the commands so far came to. */
  opCounts(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { type } of this.#fixture.log.ops) counts.set(type, (counts.get(type) ?? 0) + 1)
    return counts
  }

  /** The ops, encoded and decoded, give an equal state in another store. */
  replayDiffers(): string | undefined {
    const copy = openState(join(this.#directory, 'copy.db'))
    try {
      const { ops } = this.#fixture.log
      for (let at = 0; at < ops.length; at += 100) {
        for (const op of decodeOps(encodeOps(ops.slice(at, at + 100)))) {
          copy.apply(op, { writer: WRITER, seq: this.#fixture.log.seq })
        }
      }
      const same = copy.digest() === this.#fixture.state.digest()
      return same ? undefined : 'digest differs after replay'
    } finally {
      copy.close()
    }
  }

  /** Mostly an inode that exists; one time in ten any that ever did. */
  #node(slot: number): Known {
    return this.#pick(slot, (node) => !node.gone)
  }

  /** Mostly one of a few directories in the tree; one time in ten anything. */
  #parent(slot: number): Known {
    let directories = 0
    return this.#pick(slot, (node) => {
      return node.type === 'dir' && node.nlink > 0 && directories++ < BUSY_DIRECTORIES
    })
  }

  #pick(slot: number, wanted: (node: NaiveNode) => boolean): Known {
    const some = slot % 10 === 0 ? this.#nodes : this.#nodes.filter(({ node }) => wanted(node))
    return some[Math.floor(slot / 10) % some.length] as Known
  }

  #handle(slot: number): KnownHandle | undefined {
    return this.#handles[slot % this.#handles.length]
  }

  async #real(command: Command): Promise<string> {
    const { fs } = this.#fixture
    const ctx = contextOf(command)
    switch (command.kind) {
      case 'create': {
        const { ino } = this.#parent(command.parent)
        const flags = command.excl ? 0o302 : 0o102
        const { attr, handle } = await fs.create(ctx, ino, bytes(command.name), command.mode, flags)
        this.#pending = { ino: attr.ino, handle }
        return attrText(attr)
      }
      case 'tmpfile': {
        const { ino } = this.#parent(command.parent)
        const flags = command.excl ? 0o20200202 : 0o20200002
        const { attr, handle } = await fs.tmpfile(ctx, ino, command.mode, flags)
        this.#pending = { ino: attr.ino, handle }
        return attrText(attr)
      }
      case 'mknod': {
        const { ino } = this.#parent(command.parent)
        const mode = TYPE_BITS[command.type] | command.mode
        return this.#made(await fs.mknod(ctx, ino, bytes(command.name), mode, 259))
      }
      case 'mkdir': {
        const { ino } = this.#parent(command.parent)
        return this.#made(await fs.mkdir(ctx, ino, bytes(command.name), command.mode))
      }
      case 'symlink': {
        const { ino } = this.#parent(command.parent)
        return this.#made(await fs.symlink(ctx, ino, bytes(command.name), bytes(command.target)))
      }
      case 'link': {
        const parent = this.#parent(command.parent).ino
        return attrText(
          await fs.link(ctx, this.#node(command.node).ino, parent, bytes(command.name))
        )
      }
      case 'unlink':
      case 'rmdir':
        await fs[command.kind](ctx, this.#parent(command.parent).ino, bytes(command.name))
        return 'ok'
      case 'lookup':
        return attrText(await fs.lookup(ctx, this.#parent(command.parent).ino, bytes(command.name)))
      case 'rename': {
        const { parent, name, newParent, newName, flag } = command
        const from = this.#parent(parent).ino
        const to = this.#parent(newParent).ino
        await fs.rename(ctx, from, bytes(name), to, bytes(newName), renameFlags(flag))
        return 'ok'
      }
      case 'commit':
        this.#fixture.state.commit({
          epoch: 1 as Epoch,
          applied: new Map([[WRITER, this.#fixture.log.seq]])
        })
        return 'ok'
      case 'close':
      case 'write':
      case 'read':
      case 'fallocate':
      case 'lseek':
      case 'copy':
        return this.#realHandle(command, ctx)
      default:
        return this.#realNode(command, ctx)
    }
  }

  #pending: { ino: Ino; handle?: HandleId } | undefined

  #made(attr: Attr): string {
    this.#pending = { ino: attr.ino }
    return attrText(attr)
  }

  async #realNode(command: NodeCommand, ctx: RequestContext): Promise<string> {
    const { fs } = this.#fixture
    const { ino } = this.#node(command.node)
    switch (command.kind) {
      case 'getattr':
        return attrText(await fs.getattr(ctx, ino))
      case 'readlink':
        return text(await fs.readlink(ctx, ino))
      case 'chmod':
        return attrText(await fs.setattr(ctx, ino, { mode: command.mode }))
      case 'chown':
        return attrText(await fs.setattr(ctx, ino, { uid: command.uid, gid: command.gid }))
      case 'utimens': {
        const { atime, mtime } = command
        const request = {
          ...(atime === undefined ? { atime: 'now' as const } : { atime: { sec: atime, nsec: 5 } }),
          ...(mtime === undefined ? {} : { mtime: { sec: mtime, nsec: 6 } })
        }
        return attrText(await fs.setattr(ctx, ino, request))
      }
      case 'truncate': {
        const { size, kill } = command
        return attrText(await fs.setattr(ctx, ino, { size, killSuidGid: kill }))
      }
      case 'open':
        this.#pending = { ino, handle: await fs.open(ctx, ino, command.flags) }
        return 'ok'
      case 'setacl':
        await this.#setacl(ctx, ino, command)
        return 'ok'
      case 'setxattr':
        await fs.setxattr(ctx, ino, bytes(command.name), bytes(command.value), command.flags)
        return 'ok'
      case 'getxattr':
        return text(await this.#getxattr(ctx, ino, command.name))
      case 'removexattr':
        await fs.removexattr(ctx, ino, bytes(command.name))
        return 'ok'
      case 'listxattr':
        return this.#listxattr(ctx, ino)
      case 'readdir':
        return this.#readdir(ctx, ino)
    }
  }

  async #setacl(ctx: RequestContext, ino: Ino, command: SetAclCommand): Promise<void> {
    const { fs } = this.#fixture
    const name = bytes(command.default ? DEFAULT_LIST : ACCESS_LIST)
    if (command.acl === 'none') await fs.removexattr(ctx, ino, name)
    else await fs.setxattr(ctx, ino, name, listBytes(command.acl), 0, command.kill)
  }

  async #readdir(ctx: RequestContext, ino: Ino): Promise<string> {
    const { fs } = this.#fixture
    const handle = await fs.opendir(ctx, ino)
    const names: string[] = []
    try {
      let cookie = 0
      for (;;) {
        let taken = 0
        await fs.readdir(ctx, ino, handle, cookie, (entry) => {
          if (taken === 3) return false
          taken++
          cookie = entry.cookie
          names.push(`${text(entry.name)}:${entry.type}`)
          return true
        })
        if (taken === 0) return names.join(' ')
      }
    } finally {
      await fs.releasedir(ino, handle)
    }
  }

  async #realHandle(command: HandleCommand, ctx: RequestContext): Promise<string> {
    const known = this.#handle(command.handle)
    if (known === undefined) return 'no handle'
    const { fs } = this.#fixture
    const { ino, handle } = known
    switch (command.kind) {
      case 'close':
        await fs.flush(ctx, ino, handle, 0n)
        await fs.release(ino, handle)
        return 'ok'
      case 'write': {
        const { offset, append, kill } = command
        const data = content(command)
        return String(await fs.write(ctx, ino, handle, offset, data, { append, killSuidGid: kill }))
      }
      case 'read':
        return text(await fs.read(ctx, ino, handle, command.offset, command.length))
      case 'fallocate':
        await fs.fallocate(ctx, ino, handle, command.mode, command.offset, command.length)
        return 'ok'
      case 'lseek':
        return String(await fs.lseek(ctx, ino, handle, command.offset, command.data ? 3 : 4))
      case 'copy': {
        const from = this.#handle(command.source) ?? known
        const source = { source: from.ino, sourceHandle: from.handle }
        const { sourceOffset, offset, length } = command
        const range = { ...source, sourceOffset, ino, handle, offset, length }
        return String(await fs.copyRange({ ...ctx, uid: command.uid }, range))
      }
    }
  }

  async #getxattr(ctx: RequestContext, ino: Ino, name: string): Promise<Uint8Array> {
    const value = await this.#fixture.fs.getxattr(ctx, ino, bytes(name))
    if (value === undefined) throw new FsError('ENODATA')
    return value
  }

  /** The names, access control lists with their values. */
  async #listxattr(ctx: RequestContext, ino: Ino): Promise<string> {
    const { fs } = this.#fixture
    const shown: string[] = []
    for (const name of (await fs.listxattr(ctx, ino)).map(text)) {
      if (name !== ACCESS_LIST && name !== DEFAULT_LIST) shown.push(name)
      else shown.push(`${name}=${text(await this.#getxattr(ctx, ino, name))}`)
    }
    return shown.sort().join(',')
  }

  #remember(node: NaiveNode): void {
    const pending = this.#pending
    this.#pending = undefined
    if (pending === undefined) return
    const known = this.#nodes.find((one) => one.node === node)
    if (known === undefined) this.#nodes.push({ ino: pending.ino, node })
    if (pending.handle !== undefined) {
      this.#handles.push({ ino: pending.ino, node, handle: pending.handle })
    }
  }

  #expected(command: Command): string {
    const naive = this.#naive
    const caller = contextOf(command)
    switch (command.kind) {
      case 'create': {
        const parent = this.#parent(command.parent).node
        const exists = command.excl ? 'EEXIST' : 'ESTALE'
        const node = naive.make(caller, parent, command.name, 'file', command.mode, { exists })
        node.opens++
        this.#remember(node)
        return nodeText(node)
      }
      case 'tmpfile': {
        const parent = this.#parent(command.parent).node
        const node = naive.tmpfile(caller, parent, command.mode, command.excl)
        node.opens++
        this.#remember(node)
        return nodeText(node)
      }
      case 'mknod':
      case 'mkdir': {
        const parent = this.#parent(command.parent).node
        const type = command.kind === 'mkdir' ? 'dir' : command.type
        const node = naive.make(caller, parent, command.name, type, command.mode, { rdev: 259 })
        this.#remember(node)
        return nodeText(node)
      }
      case 'symlink': {
        const { target } = command
        const parent = this.#parent(command.parent).node
        const node = naive.make(caller, parent, command.name, 'symlink', 0o777, { target })
        this.#remember(node)
        return nodeText(node)
      }
      case 'link': {
        const { node } = this.#node(command.node)
        naive.link(node, this.#parent(command.parent).node, command.name)
        return nodeText(node)
      }
      case 'unlink':
      case 'rmdir':
        naive.remove(this.#parent(command.parent).node, command.name, command.kind === 'rmdir')
        return 'ok'
      case 'lookup':
        return nodeText(naive.lookup(this.#parent(command.parent).node, command.name))
      case 'rename': {
        const from = this.#parent(command.parent).node
        const to = this.#parent(command.newParent).node
        naive.rename(from, command.name, to, command.newName, renameFlags(command.flag))
        return 'ok'
      }
      case 'commit':
        return 'ok'
      case 'close':
      case 'write':
      case 'read':
      case 'fallocate':
      case 'lseek':
      case 'copy':
        return this.#expectedHandle(command)
      default:
        return this.#expectedNode(command)
    }
  }

  #expectedNode(command: NodeCommand): string {
    const naive = this.#naive
    const { node } = this.#node(command.node)
    switch (command.kind) {
      case 'chmod':
        naive.chmod(node, command.mode)
        return nodeText(node)
      case 'chown':
        naive.chown(node, command.uid, command.gid)
        return nodeText(node)
      case 'utimens': {
        const { atime, mtime } = command
        const modified = mtime === undefined ? undefined : `${mtime}.6`
        naive.utimens(node, atime === undefined ? naive.now : `${atime}.5`, modified)
        return nodeText(node)
      }
      case 'truncate':
        naive.truncate(node, command.size, command.kill)
        return nodeText(node)
      case 'open':
        naive.open(node, (command.flags & 3) !== 0, (command.flags & 0o1000) !== 0)
        this.#remember(node)
        return 'ok'
      case 'setacl': {
        const acl = command.acl === 'none' ? undefined : command.acl
        naive.setacl(node, command.default, acl, command.kill)
        return 'ok'
      }
      case 'setxattr':
        naive.setxattr(node, command.name, command.value, command.flags)
        return 'ok'
      case 'removexattr':
        naive.removexattr(node, command.name)
        return 'ok'
      default:
        return this.#expectedRead(command.kind, node, command)
    }
  }

  #expectedRead(kind: string, node: NaiveNode, command: NodeCommand): string {
    if (node.gone) throw new NaiveError('ESTALE')
    if (kind === 'getattr') return nodeText(node)
    if (kind === 'readlink') {
      if (node.type !== 'symlink') throw new NaiveError('EINVAL')
      return node.target
    }
    if (kind === 'listxattr') {
      const lists = [...node.xattrs.keys()]
      const add = (name: string, acl: readonly number[] | undefined) => {
        if (acl !== undefined) lists.push(`${name}=${text(listBytes(acl))}`)
      }
      add(ACCESS_LIST, node.access)
      add(DEFAULT_LIST, node.inherited)
      return lists.sort().join(',')
    }
    if (command.kind === 'getxattr') {
      const value = node.xattrs.get(command.name)
      if (value === undefined) throw new NaiveError('ENODATA')
      return value
    }
    if (node.type !== 'dir') throw new NaiveError('ENOTDIR')
    if (node.nlink === 0) return ''
    const dots = [`.:${TYPE_BITS.dir}`, `..:${TYPE_BITS.dir}`]
    const entries = [...node.entries].map(([name, child]) => `${name}:${TYPE_BITS[child.type]}`)
    return [...dots, ...entries].join(' ')
  }

  #expectedHandle(command: HandleCommand): string {
    const known = this.#handle(command.handle)
    if (known === undefined) return 'no handle'
    const naive = this.#naive
    const { node } = known
    switch (command.kind) {
      case 'close':
        naive.close(node)
        this.#handles.splice(this.#handles.indexOf(known), 1)
        return 'ok'
      case 'write': {
        const data = content(command)
        const { append, kill } = command
        naive.write(node, command.offset, data, { append, killSuidGid: kill })
        return String(data.length)
      }
      case 'read':
        return text(naive.read(node, command.offset, command.length))
      case 'fallocate':
        naive.fallocate(node, command.mode, command.offset, command.length)
        return 'ok'
      case 'lseek':
        return String(naive.seek(node, command.offset, command.data))
      case 'copy': {
        const from = (this.#handle(command.source) ?? known).node
        const { sourceOffset, offset, length, uid } = command
        return String(naive.copy(from, sourceOffset, node, offset, length, uid !== 0))
      }
    }
  }
}

type HandleCommand = Extract<
  Command,
  { kind: 'close' | 'write' | 'read' | 'fallocate' | 'lseek' | 'copy' }
>
type SetAclCommand = Extract<Command, { kind: 'setacl' }>
type NodeCommand =
  Extract<Command, { node: number }> extends infer C
    ? C extends { kind: 'link' }
      ? never
      : C
    : never

function contextOf(command: Command): RequestContext {
  const uid = command.kind === 'create' || command.kind === 'mkdir' ? command.uid : 0
  const umask = 'umask' in command ? command.umask : 0
  return { uid, gid: uid, pid: 1, umask }
}

function renameFlags(flag: RenameFlag): {
  noReplace: boolean
  exchange: boolean
  whiteout: boolean
} {
  return {
    noReplace: flag === 'noReplace' || flag === 'both',
    exchange: flag === 'exchange' || flag === 'both' || flag === 'swapWhiteout',
    whiteout: flag === 'whiteout' || flag === 'swapWhiteout'
  }
}

/** linux/posix_acl_xattr.h: version 2, then tag, permissions and id of each entry. */
function listBytes(acl: readonly number[]): Buffer {
  const [owner = 0, group = 0, others = 0, mask = -1, named = -1] = acl
  const entries: number[][] = [[1, owner]]
  if (named >= 0) entries.push([2, named, 1000])
  entries.push([4, group])
  if (mask >= 0) entries.push([16, mask])
  entries.push([32, others])
  const list = Buffer.alloc(4 + 8 * entries.length)
  list.writeUInt32LE(2, 0)
  for (const [at, [tag = 0, perm = 0, id = 0xffffffff]] of entries.entries()) {
    list.writeUInt16LE(tag, 4 + at * 8)
    list.writeUInt16LE(perm, 6 + at * 8)
    list.writeUInt32LE(id, 8 + at * 8)
  }
  return list
}

function content(command: { length: number; fill: number }): Uint8Array {
  return Buffer.alloc(command.length, command.fill)
}

function bytes(value: string): Uint8Array {
  return Buffer.from(value, 'latin1')
}

function text(value: Uint8Array): string {
  return Buffer.from(value).toString('latin1')
}

function timeText(time: TimeSpec): string {
  return `${time.sec}.${time.nsec}`
}

function attrText(attr: Attr): string {
  const { mode, nlink, uid, gid, rdev, size, blocks } = attr
  const times = [attr.atime, attr.mtime, attr.ctime].map(timeText)
  return [mode.toString(8), nlink, uid, gid, rdev, size, blocks, ...times].join(' ')
}

function nodeText(node: NaiveNode): string {
  const sizes = { file: node.data.length, dir: 4096, symlink: node.target.length, fifo: 0, chr: 0 }
  const dataBytes = node.written.reduce((sum, one) => sum + one, 0)
  const blocks = node.type === 'dir' ? 8 : Math.ceil(dataBytes / 512)
  const mode = TYPE_BITS[node.type] | node.permissions
  const times = [node.atime, node.mtime, node.ctime]
  return [
    mode.toString(8),
    node.nlink,
    node.uid,
    node.gid,
    node.rdev,
    sizes[node.type],
    blocks,
    ...times
  ].join(' ')
}

/** What differs when these commands are run from an empty filesystem. */
export async function runCommands(commands: readonly Command[]): Promise<string | undefined> {
  const run = new ModelRun()
  try {
    for (const [at, command] of commands.entries()) {
      const difference = await run.step(command)
      if (difference !== undefined)
        return `command ${at} ${JSON.stringify(command)}:\n  ${difference}`
    }
    return (await run.compareAll()) ?? run.replayDiffers()
  } finally {
    run.close()
  }
}

export function randomCommands(seed: number, count: number): Command[] {
  const random = new Random(seed)
  return Array.from({ length: count }, () => randomCommand(random))
}

/** Leaves out what is not needed for the run to fail, in ever smaller pieces. */
export async function shrink(commands: readonly Command[]): Promise<readonly Command[]> {
  let failing = commands
  for (let size = Math.ceil(failing.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < failing.length; ) {
      const shorter = [...failing.slice(0, at), ...failing.slice(at + size)]
      if (await fails(shorter)) failing = shorter
      else at += size
    }
  }
  return failing
}

async function fails(commands: readonly Command[]): Promise<boolean> {
  try {
    return (await runCommands(commands)) !== undefined
  } catch {
    return true
  }
}
