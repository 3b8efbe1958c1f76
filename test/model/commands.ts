import type { Random } from './random.ts'

/** One step of a model run, in plain values: `node`, `parent`, `handle` are slots (taken modulo). */
export type Command =
  | {
      kind: 'create'
      parent: number
      name: string
      mode: number
      excl: boolean
      uid: number
      umask: number
    }
  | { kind: 'tmpfile'; parent: number; mode: number; excl: boolean; umask: number }
  | { kind: 'mknod'; parent: number; name: string; type: 'file' | 'fifo' | 'chr'; mode: number }
  | { kind: 'mkdir'; parent: number; name: string; mode: number; uid: number; umask: number }
  | { kind: 'symlink'; parent: number; name: string; target: string }
  | { kind: 'link'; node: number; parent: number; name: string }
  | { kind: 'unlink' | 'rmdir' | 'lookup'; parent: number; name: string }
  | {
      kind: 'rename'
      parent: number
      name: string
      newParent: number
      newName: string
      flag: RenameFlag
    }
  | { kind: 'getattr' | 'readlink' | 'listxattr' | 'readdir'; node: number }
  | { kind: 'chmod'; node: number; mode: number }
  | { kind: 'chown'; node: number; uid: number; gid: number }
  | { kind: 'utimens'; node: number; atime: number | undefined; mtime: number | undefined }
  | { kind: 'truncate'; node: number; size: number; kill: boolean }
  | { kind: 'open'; node: number; flags: number }
  | { kind: 'close'; handle: number }
  | {
      kind: 'write'
      handle: number
      offset: number
      length: number
      fill: number
      append: boolean
      kill: boolean
    }
  | { kind: 'read'; handle: number; offset: number; length: number }
  | { kind: 'fallocate'; handle: number; mode: number; offset: number; length: number }
  | {
      kind: 'copy'
      source: number
      sourceOffset: number
      handle: number
      offset: number
      length: number
      uid: number
    }
  | { kind: 'setacl'; node: number; default: boolean; acl: AclText; kill: boolean }
  | { kind: 'lseek'; handle: number; offset: number; data: boolean }
  | { kind: 'setxattr'; node: number; name: string; value: string; flags: number }
  | { kind: 'getxattr' | 'removexattr'; node: number; name: string }
  | { kind: 'commit' }

export type RenameFlag = 'none' | 'noReplace' | 'exchange' | 'both' | 'whiteout' | 'swapWhiteout'

/**
 * A list as the naive filesystem keeps it: rwx bits of owner, group, others, of the mask (-1: none)
 * and of user 1000 (-1: none). Without a mask nobody is named. 'none' takes the list away.
 */
export type AclText = readonly [number, number, number, number, number] | 'none'

const NAMES = ['a', 'b', 'c', '\xff', 'n'.repeat(255)]
const HOSTILE_NAMES = ['.', '..', '', 'n'.repeat(256), 'a/b']
const XATTRS = ['user.a', 'user.b', 'trusted.t', 'security.s', 'user.', 'system.other']
const UMASKS = [0, 0o022, 0o077, 0o777]
const MODES = [0o644, 0o755, 0o4755, 0o2755, 0o2644, 0o6711, 0o1777, 0, 0o7777]
export const FILE_MAX_BYTES = 6000

const WEIGHTS: readonly (readonly [Command['kind'], number])[] = [
  ['create', 10],
  ['mknod', 2],
  ['mkdir', 6],
  ['symlink', 2],
  ['link', 4],
  ['unlink', 10],
  ['rmdir', 10],
  ['rename', 12],
  ['tmpfile', 3],
  ['copy', 8],
  ['setacl', 5],
  ['lookup', 5],
  ['getattr', 3],
  ['readlink', 1],
  ['readdir', 2],
  ['chmod', 3],
  ['chown', 3],
  ['utimens', 3],
  ['truncate', 4],
  ['open', 8],
  ['close', 6],
  ['write', 14],
  ['read', 8],
  ['fallocate', 5],
  ['lseek', 3],
  ['setxattr', 6],
  ['getxattr', 2],
  ['removexattr', 5],
  ['listxattr', 1],
  ['commit', 0.1]
]
const WEIGHT_TOTAL = WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0)

function pickKind(random: Random): Command['kind'] {
  let at = random.next() * WEIGHT_TOTAL
  for (const [kind, weight] of WEIGHTS) {
    at -= weight
    if (at < 0) return kind
  }
  return 'getattr'
}

/** Offsets near page and file ends matter more than others. */
function offset(random: Random): number {
  return random.chance(0.3) ? random.pick([0, 511, 512, 4095, 4096, 4097]) : random.below(4500)
}

export function randomCommand(random: Random): Command {
  const kind = pickKind(random)
  const slot = () => random.below(1 << 24)
  const name = () => (random.chance(0.03) ? random.pick(HOSTILE_NAMES) : random.pick(NAMES))
  const uid = random.pick([0, 1000, 1001])
  switch (kind) {
    case 'create':
      return {
        kind,
        parent: slot(),
        name: name(),
        mode: random.pick(MODES),
        excl: random.chance(0.3),
        uid,
        umask: random.pick(UMASKS)
      }
    case 'tmpfile': {
      const mode = random.pick(MODES)
      return { kind, parent: slot(), mode, excl: random.chance(0.3), umask: random.pick(UMASKS) }
    }
    case 'mknod': {
      const type = random.pick(['file', 'fifo', 'chr'] as const)
      return { kind, parent: slot(), name: name(), type, mode: random.pick(MODES) }
    }
    case 'mkdir':
      return {
        kind,
        parent: slot(),
        name: name(),
        mode: random.pick(MODES),
        uid,
        umask: random.pick(UMASKS)
      }
    case 'symlink':
      return { kind, parent: slot(), name: name(), target: random.pick(['x', '/a/b', '']) }
    case 'link':
      return { kind, node: slot(), parent: slot(), name: name() }
    case 'unlink':
    case 'rmdir':
    case 'lookup':
      return { kind, parent: slot(), name: name() }
    case 'rename': {
      const parent = slot()
      const newParent = random.chance(0.4) ? parent : slot()
      const flag = random.pick([
        'none',
        'none',
        'none',
        'noReplace',
        'exchange',
        'exchange',
        'both',
        'whiteout',
        'whiteout',
        'swapWhiteout'
      ] as const)
      return { kind, parent, name: name(), newParent, newName: name(), flag }
    }
    case 'chmod':
      return { kind, node: slot(), mode: random.pick(MODES) }
    case 'chown':
      return { kind, node: slot(), uid, gid: random.pick([0, 1000]) }
    case 'utimens': {
      const time = () => (random.chance(0.7) ? random.below(2 ** 31) - 2 ** 29 : undefined)
      return { kind, node: slot(), atime: time(), mtime: time() }
    }
    case 'truncate':
      return { kind, node: slot(), size: offset(random), kill: random.chance(0.3) }
    case 'open':
      return { kind, node: slot(), flags: random.pick([0, 1, 2, 2, 2, 0o1002]) }
    case 'close':
      return { kind, handle: slot() }
    case 'write': {
      const length = random.chance(0.05) ? 0 : 1 + random.below(1400)
      const append = random.chance(0.2)
      const kill = random.chance(0.2)
      return {
        kind,
        handle: slot(),
        offset: offset(random),
        length,
        fill: random.below(256),
        append,
        kill
      }
    }
    case 'read':
      return { kind, handle: slot(), offset: offset(random), length: random.below(5000) }
    case 'fallocate': {
      const mode = random.pick([0, 1, 2, 3, 3, 3, 16, 17, 4])
      return { kind, handle: slot(), mode, offset: offset(random), length: random.below(1400) }
    }
    case 'lseek':
      return { kind, handle: slot(), offset: offset(random), data: random.chance(0.5) }
    case 'copy': {
      const place = { sourceOffset: offset(random), offset: offset(random) }
      const length = random.chance(0.05) ? 0 : random.below(3000)
      return { kind, source: slot(), handle: slot(), ...place, length, uid }
    }
    case 'setacl': {
      const perm = () => random.below(8)
      const named = random.chance(0.7)
      const named1000 = random.chance(0.7) ? perm() : -1
      const acl: AclText = random.chance(0.15)
        ? 'none'
        : [perm(), perm(), perm(), named ? perm() : -1, named ? named1000 : -1]
      return { kind, node: slot(), default: random.chance(0.4), acl, kill: random.chance(0.3) }
    }
    case 'setxattr': {
      const value = 'v'.repeat(random.below(20))
      return { kind, node: slot(), name: random.pick(XATTRS), value, flags: random.below(3) }
    }
    case 'getxattr':
    case 'removexattr':
      return { kind, node: slot(), name: random.pick(XATTRS.slice(0, 3)) }
    case 'commit':
      return { kind }
    default:
      return { kind, node: slot() }
  }
}
