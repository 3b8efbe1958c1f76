/** One readable line for each request and reply, for --fuse-debug. */

import type { Attr } from '../../fs/attr.ts'
import { Errno } from '../../fs/errno.ts'
import { LOCK_END, type LockType } from '../../fs/ports/lock-service.ts'
import {
  InitFlag,
  InitFlag2,
  OpenFlag,
  OpenReplyFlag,
  opcodeName,
  ReleaseFlag,
  RenameFlag,
  WriteFlag
} from './abi.ts'
import type { Reply } from './reply.ts'
import type { FuseRequest, RequestBody, RequestHeader } from './request.ts'

type FlagTable = Readonly<Record<string, number>>

const errnoNames = new Map<number, string>(Object.entries(Errno).map(([name, n]) => [n, name]))

/** `A|B|0x8000`: names of the known bits, the rest in hexadecimal; `0` for none. */
export function flagNames(flags: number, table: FlagTable): string {
  const names: string[] = []
  let rest = flags >>> 0
  for (const [name, bit] of Object.entries(table)) {
    if ((rest & bit) === 0) continue
    names.push(name)
    rest = (rest & ~bit) >>> 0
  }
  if (rest !== 0) names.push(`0x${rest.toString(16)}`)
  return names.length === 0 ? '0' : names.join('|')
}

function openFlagNames(flags: number): string {
  const access = flags & 3
  const accessName = access === 0 ? 'RDONLY' : access === 1 ? 'WRONLY' : 'RDWR'
  const { WRONLY, RDWR, ...others } = OpenFlag
  const rest = flags & ~(WRONLY | RDWR)
  return rest === 0 ? accessName : `${accessName}|${flagNames(rest, others)}`
}

/** In quotes, with control and non-ASCII bytes escaped, so that a line stays one line. */
function quoted(bytes: Uint8Array): string {
  return JSON.stringify(Buffer.from(bytes).toString('latin1')).replace(
    /[\x7f-\uffff]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16)}`
  )
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`
}

function unique(header: Pick<RequestHeader, 'uniqueLow' | 'uniqueHigh'>): string {
  return String((BigInt(header.uniqueHigh) << 32n) | BigInt(header.uniqueLow))
}

export function printRequest({ header, body }: FuseRequest): string {
  const who = `uid=${header.uid} gid=${header.gid} pid=${header.pid}`
  const fields = printBody(body)
  const line = `> ${unique(header)} ${opcodeName(header.opcode)} ino=${header.nodeid} ${who}`
  return fields === '' ? line : `${line} ${fields}`
}

function printBody(body: RequestBody): string {
  switch (body.op) {
    case 'init':
      return printInit(body)
    case 'interrupt':
      return `unique=${unique(body)}`
    case 'forget':
      return `lookups=${body.lookups}`
    case 'batchForget':
      return body.forgotten.map(({ ino, lookups }) => `${ino}:${lookups}`).join(' ')
    case 'setattr':
      return `changes=${JSON.stringify(body.changes)}`
    case 'symlink':
      return `name=${quoted(body.name)} target=${quoted(body.target)}`
    case 'mknod':
      return `name=${quoted(body.name)} ${printModes(body)} rdev=${body.rdev}`
    case 'mkdir':
      return `name=${quoted(body.name)} ${printModes(body)}`
    case 'rename':
      return (
        `name=${quoted(body.name)} parent=${body.newParent} newName=${quoted(body.newName)}` +
        ` flags=${flagNames(body.flags, RenameFlag)}`
      )
    case 'link':
      return `target=${body.target} name=${quoted(body.name)}`
    case 'create':
      return `name=${quoted(body.name)} ${printModes(body)} flags=${openFlagNames(body.flags)}`
    case 'tmpfile':
      return `${printModes(body)} flags=${openFlagNames(body.flags)}`
    case 'setxattr':
      return `name=${quoted(body.name)} bytes=${body.value.length} flags=${body.flags}`
    case 'lookup':
    case 'unlink':
    case 'rmdir':
    case 'removexattr':
      return `name=${quoted(body.name)}`
    case 'getxattr':
      return `name=${quoted(body.name)} size=${body.size}`
    case 'listxattr':
      return `size=${body.size}`
    case 'open':
    case 'opendir':
      return `flags=${openFlagNames(body.flags)}`
    default:
      return printFileBody(body)
  }
}

function printModes({ mode, umask }: { readonly mode: number; readonly umask: number }): string {
  return `mode=${octal(mode)} umask=${octal(umask)}`
}

function printFileBody(body: RequestBody): string {
  switch (body.op) {
    case 'read':
      return `fh=${body.handle} offset=${body.offset} size=${body.size}`
    case 'write':
      return (
        `fh=${body.handle} offset=${body.offset} size=${body.data.length}` +
        ` writeFlags=${flagNames(body.writeFlags, WriteFlag)} flags=${openFlagNames(body.flags)}`
      )
    case 'flush':
      return `fh=${body.handle} owner=0x${body.lockOwner.toString(16)}`
    case 'fsync':
    case 'fsyncdir':
      return `fh=${body.handle} dataOnly=${body.dataOnly}`
    case 'release':
      return (
        `fh=${body.handle} flags=${openFlagNames(body.flags)}` +
        ` releaseFlags=${flagNames(body.releaseFlags, ReleaseFlag)}`
      )
    case 'releasedir':
      return `fh=${body.handle} flags=${openFlagNames(body.flags)}`
    case 'readdir':
      return `fh=${body.handle} cookie=${body.cookie} size=${body.size}`
    case 'fallocate':
      return `fh=${body.handle} offset=${body.offset} length=${body.length} mode=${body.mode}`
    case 'getlk':
    case 'setlk': {
      const { kind, owner, pid } = body.request
      const who = `kind=${kind} owner=0x${owner.toString(16)} lockPid=${pid}`
      return `fh=${body.handle} ${printLock(body.request)} ${who}`
    }
    case 'copy':
      return (
        `fh=${body.sourceHandle} offset=${body.sourceOffset} to=${body.target}` +
        ` toFh=${body.handle} toOffset=${body.offset} length=${body.length}`
      )
    case 'lseek':
      return `fh=${body.handle} offset=${body.offset} whence=${body.whence === 3 ? 'DATA' : 'HOLE'}`
    default:
      return ''
  }
}

function printLock(lock: {
  readonly type: LockType | 'unlock'
  readonly start: bigint
  readonly end: bigint
}): string {
  return `lock=${lock.type} range=${lock.start}-${lock.end === LOCK_END ? 'EOF' : lock.end}`
}

function printInit(init: {
  readonly minor: number
  readonly major: number
  readonly flags: number
  readonly flags2: number
  readonly maxReadahead: number
}): string {
  return (
    `version=${init.major}.${init.minor} maxReadahead=${init.maxReadahead}` +
    ` flags=${flagNames(init.flags, InitFlag)} flags2=${flagNames(init.flags2, InitFlag2)}`
  )
}

function printAttr(attr: Attr): string {
  return (
    `ino=${attr.ino} mode=${octal(attr.mode)} nlink=${attr.nlink} uid=${attr.uid}` +
    ` gid=${attr.gid} size=${attr.size}`
  )
}

export function printReply(
  header: Pick<RequestHeader, 'opcode' | 'uniqueLow' | 'uniqueHigh'>,
  reply: Reply
): string {
  return `< ${unique(header)} ${opcodeName(header.opcode)} ${printReplyBody(reply)}`
}

function printReplyBody(reply: Reply): string {
  switch (reply.kind) {
    case 'error':
      return errnoNames.get(reply.errno) ?? `errno ${reply.errno}`
    case 'ok':
      return 'ok'
    case 'data':
      return `bytes=${reply.data.length}`
    case 'listing':
      return `bytes=${reply.listing.bytes().length} given=${reply.listing.given.length}`
    case 'written':
    case 'xattrSize':
      return `size=${reply.sizeBytes}`
    case 'position':
      return `offset=${reply.offset}`
    case 'lock': {
      const { conflict } = reply
      return conflict === undefined ? 'free' : `${printLock(conflict)} lockPid=${conflict.pid}`
    }
    case 'statfs':
      return `blocks=${reply.statfs.blocks} free=${reply.statfs.blocksFree}`
    case 'init':
      return `${printInit(reply)} maxWrite=${reply.maxWrite} maxBackground=${reply.maxBackground}`
    case 'entry':
      return `${printAttr(reply.attr)} entryMs=${reply.entryValidMs} attrMs=${reply.attrValidMs}`
    case 'absent':
      return `ENOENT entryMs=${reply.entryValidMs}`
    case 'attr':
    case 'statx':
      return `${printAttr(reply.attr)} attrMs=${reply.attrValidMs}`
    case 'open':
      return `fh=${reply.handle} openFlags=${flagNames(reply.openFlags, OpenReplyFlag)}`
    case 'create':
      return (
        `${printAttr(reply.attr)} entryMs=${reply.entryValidMs} fh=${reply.handle}` +
        ` openFlags=${flagNames(reply.openFlags, OpenReplyFlag)}`
      )
  }
}
