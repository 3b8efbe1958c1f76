/** The same commands on the naive filesystem: what the real one has to answer. */
import type { Command } from './commands.ts'
import type { ModelSlots } from './model-slots.ts'
import {
  ACCESS_LIST,
  content,
  contextOf,
  DEFAULT_LIST,
  type HandleCommand,
  listBytes,
  type NodeCommand,
  nodeText,
  renameFlags,
  TYPE_BITS,
  text
} from './model-text.ts'
import type { NaiveFilesystem, NaiveNode } from './naive-filesystem.ts'
import { NaiveError } from './naive-filesystem.ts'

export class NaiveAnswers {
  readonly #naive: NaiveFilesystem
  readonly #slots: ModelSlots

  constructor(naive: NaiveFilesystem, slots: ModelSlots) {
    this.#naive = naive
    this.#slots = slots
  }

  answer(command: Command): string {
    const naive = this.#naive
    const caller = contextOf(command)
    switch (command.kind) {
      case 'create': {
        const parent = this.#slots.parent(command.parent).node
        const exists = command.excl ? 'EEXIST' : 'ESTALE'
        const node = naive.make(caller, parent, command.name, 'file', command.mode, { exists })
        node.opens++
        this.#slots.remember(node)
        return nodeText(node)
      }
      case 'tmpfile': {
        const parent = this.#slots.parent(command.parent).node
        const node = naive.tmpfile(caller, parent, command.mode, command.excl)
        node.opens++
        this.#slots.remember(node)
        return nodeText(node)
      }
      case 'mknod':
      case 'mkdir': {
        const parent = this.#slots.parent(command.parent).node
        const type = command.kind === 'mkdir' ? 'dir' : command.type
        const node = naive.make(caller, parent, command.name, type, command.mode, { rdev: 259 })
        this.#slots.remember(node)
        return nodeText(node)
      }
      case 'symlink': {
        const { target } = command
        const parent = this.#slots.parent(command.parent).node
        const node = naive.make(caller, parent, command.name, 'symlink', 0o777, { target })
        this.#slots.remember(node)
        return nodeText(node)
      }
      case 'link': {
        const { node } = this.#slots.node(command.node)
        naive.link(node, this.#slots.parent(command.parent).node, command.name)
        return nodeText(node)
      }
      case 'unlink':
      case 'rmdir':
        naive.remove(
          this.#slots.parent(command.parent).node,
          command.name,
          command.kind === 'rmdir'
        )
        return 'ok'
      case 'lookup':
        return nodeText(naive.lookup(this.#slots.parent(command.parent).node, command.name))
      case 'rename': {
        const from = this.#slots.parent(command.parent).node
        const to = this.#slots.parent(command.newParent).node
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
    const { node } = this.#slots.node(command.node)
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
        this.#slots.remember(node)
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
    const known = this.#slots.handle(command.handle)
    if (known === undefined) return 'no handle'
    const naive = this.#naive
    const { node } = known
    switch (command.kind) {
      case 'close':
        naive.close(node)
        this.#slots.handles.splice(this.#slots.handles.indexOf(known), 1)
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
        const from = (this.#slots.handle(command.source) ?? known).node
        const { sourceOffset, offset, length, uid } = command
        return String(naive.copy(from, sourceOffset, node, offset, length, uid !== 0))
      }
    }
  }
}
