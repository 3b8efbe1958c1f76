/** Commands on the real filesystem. */
import type { Attr } from '../../src/fs/attr.ts'
import { FsError } from '../../src/fs/errno.ts'
import type { RequestContext } from '../../src/fs/filesystem-api.ts'
import type { Epoch, Ino } from '../../src/fs/primitives.ts'
import type { Fixture } from '../fs/fixture.ts'
import { found, WRITER } from '../fs/fixture.ts'
import type { Command } from './commands.ts'
import type { ModelSlots } from './model-slots.ts'
import {
  ACCESS_LIST,
  attrText,
  bytes,
  content,
  contextOf,
  DEFAULT_LIST,
  type HandleCommand,
  listBytes,
  type NodeCommand,
  renameFlags,
  type SetAclCommand,
  TYPE_BITS,
  text
} from './model-text.ts'

export class RealAnswers {
  readonly #fixture: Fixture
  readonly #slots: ModelSlots

  constructor(fixture: Fixture, slots: ModelSlots) {
    this.#fixture = fixture
    this.#slots = slots
  }

  async answer(command: Command): Promise<string> {
    const { fs } = this.#fixture
    const ctx = contextOf(command)
    switch (command.kind) {
      case 'create': {
        const { ino } = this.#slots.parent(command.parent)
        const flags = command.excl ? 0o302 : 0o102
        const { attr, handle } = await fs.create(ctx, ino, bytes(command.name), command.mode, flags)
        this.#slots.pending = { ino: attr.ino, handle }
        return attrText(attr)
      }
      case 'tmpfile': {
        const { ino } = this.#slots.parent(command.parent)
        const flags = command.excl ? 0o20200202 : 0o20200002
        const { attr, handle } = await fs.tmpfile(ctx, ino, command.mode, flags)
        this.#slots.pending = { ino: attr.ino, handle }
        return attrText(attr)
      }
      case 'mknod': {
        const { ino } = this.#slots.parent(command.parent)
        const mode = TYPE_BITS[command.type] | command.mode
        return this.#made(await fs.mknod(ctx, ino, bytes(command.name), mode, 259))
      }
      case 'mkdir': {
        const { ino } = this.#slots.parent(command.parent)
        return this.#made(await fs.mkdir(ctx, ino, bytes(command.name), command.mode))
      }
      case 'symlink': {
        const { ino } = this.#slots.parent(command.parent)
        return this.#made(await fs.symlink(ctx, ino, bytes(command.name), bytes(command.target)))
      }
      case 'link': {
        const parent = this.#slots.parent(command.parent).ino
        return attrText(
          await fs.link(ctx, this.#slots.node(command.node).ino, parent, bytes(command.name))
        )
      }
      case 'unlink':
      case 'rmdir':
        await fs[command.kind](ctx, this.#slots.parent(command.parent).ino, bytes(command.name))
        return 'ok'
      case 'lookup':
        return attrText(
          await found(fs.lookup(ctx, this.#slots.parent(command.parent).ino, bytes(command.name)))
        )
      case 'rename': {
        const { parent, name, newParent, newName, flag } = command
        const from = this.#slots.parent(parent).ino
        const to = this.#slots.parent(newParent).ino
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

  #made(attr: Attr): string {
    this.#slots.pending = { ino: attr.ino }
    return attrText(attr)
  }

  async #realNode(command: NodeCommand, ctx: RequestContext): Promise<string> {
    const { fs } = this.#fixture
    const { ino } = this.#slots.node(command.node)
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
        this.#slots.pending = { ino, handle: await fs.open(ctx, ino, command.flags) }
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
    const known = this.#slots.handle(command.handle)
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
        const from = this.#slots.handle(command.source) ?? known
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
}
