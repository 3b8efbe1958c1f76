/**
 * Messages to the kernel that drop what it caches. Mechanism only: when to send which is the
 * business of whoever keeps RULES 29-31. The channel sends them off the event loop, because the
 * kernel may hold one until other requests are answered.
 */
import { assert } from '../../fs/assert.ts'
import { Errno } from '../../fs/errno.ts'
import { NAME_MAX_BYTES } from '../../fs/op.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { FuseChannel } from '../channel/channel.ts'
import { ChannelError } from '../channel/channel-error.ts'
import { InvalEntryFlag, NotifyCode, Size } from './abi.ts'
import { writeOutHeader, writeU64 } from './encode.ts'

const BODY = Size.OUT_HEADER

function message(code: number, bodyBytes: number): Buffer {
  const buffer = Buffer.alloc(BODY + bodyBytes)
  writeOutHeader(buffer, buffer.length, code, 0, 0)
  return buffer
}

function assertName(name: Uint8Array): void {
  assert(name.length > 0 && name.length <= NAME_MAX_BYTES, 'name length')
}

/** Drops the attributes of `ino`, and its cached pages of [offset, offset + length). */
export function encodeInvalInode(ino: Ino, offset: number, length: number): Buffer {
  assert(offset >= 0 && length >= 0, 'range of pages')
  const buffer = message(NotifyCode.INVAL_INODE, 24)
  writeU64(buffer, ino, BODY)
  writeU64(buffer, offset, BODY + 8)
  writeU64(buffer, length, BODY + 16)
  return buffer
}

/** Drops only the attributes: does not wait for pages. */
export function encodeInvalAttributes(ino: Ino): Buffer {
  const buffer = message(NotifyCode.INVAL_INODE, 24)
  writeU64(buffer, ino, BODY)
  buffer.writeBigInt64LE(-1n, BODY + 8)
  return buffer
}

/** Drops the name, or with `expireOnly` only makes it be looked up again. */
export function encodeInvalEntry(parent: Ino, name: Uint8Array, expireOnly: boolean): Buffer {
  assertName(name)
  const buffer = message(NotifyCode.INVAL_ENTRY, 16 + name.length + 1)
  writeU64(buffer, parent, BODY)
  buffer.writeUInt32LE(name.length, BODY + 8)
  buffer.writeUInt32LE(expireOnly ? InvalEntryFlag.EXPIRE_ONLY : 0, BODY + 12)
  buffer.set(name, BODY + 16)
  return buffer
}

/** Says that `name`, which led to `child`, was removed (inotify sees it). */
export function encodeDelete(parent: Ino, child: Ino, name: Uint8Array): Buffer {
  assertName(name)
  const buffer = message(NotifyCode.DELETE, 24 + name.length + 1)
  writeU64(buffer, parent, BODY)
  writeU64(buffer, child, BODY + 8)
  buffer.writeUInt32LE(name.length, BODY + 16)
  buffer.set(name, BODY + 24)
  return buffer
}

/** Makes every name of the mount be looked up again. */
export function encodeIncEpoch(): Buffer {
  return message(NotifyCode.INC_EPOCH, 0)
}

/**
 * Takes the directory's lock, and does nothing: no name is longer than NAME_MAX_BYTES, and the kernel
 * refuses those above 1024 only.
 */
export function encodePassLock(directory: Ino): Buffer {
  const length = NAME_MAX_BYTES + 1
  const buffer = message(NotifyCode.INVAL_ENTRY, 16 + length + 1)
  writeU64(buffer, directory, BODY)
  buffer.writeUInt32LE(length, BODY + 8)
  buffer.fill('x', BODY + 16, BODY + 16 + length)
  return buffer
}

/** Methods resolve when the kernel has done it: false when nothing of it was cached there. */
export class KernelNotifier {
  readonly #channel: Pick<FuseChannel, 'notify' | 'notifyNow'>

  constructor(channel: Pick<FuseChannel, 'notify' | 'notifyNow'>) {
    this.#channel = channel
  }

  invalInode(ino: Ino, offset: number, length: number): Promise<boolean> {
    return this.#channel.notify(encodeInvalInode(ino, offset, length))
  }

  invalAttributes(ino: Ino): Promise<boolean> {
    return this.#channel.notify(encodeInvalAttributes(ino))
  }

  /** At once; only for an inode that cannot be on its way out of the kernel's memory. */
  invalAttributesNow(ino: Ino): boolean {
    return this.#channel.notifyNow(encodeInvalAttributes(ino))
  }

  invalEntry(parent: Ino, name: Uint8Array): Promise<boolean> {
    return this.#channel.notify(encodeInvalEntry(parent, name, false))
  }

  /** Only where Session.expireOnly. */
  expireEntry(parent: Ino, name: Uint8Array): Promise<boolean> {
    return this.#channel.notify(encodeInvalEntry(parent, name, true))
  }

  deleteEntry(parent: Ino, child: Ino, name: Uint8Array): Promise<boolean> {
    return this.#channel.notify(encodeDelete(parent, child, name))
  }

  /** Resolves when the directory's lock was had exclusively, or nobody can hold it. */
  async passLock(directory: Ino): Promise<void> {
    try {
      await this.#channel.notify(encodePassLock(directory))
    } catch (error) {
      if (!isUnmounted(error)) throw error
    }
  }

  /** Only where Session.incEpoch. The kernel only counts, so it is done at once. */
  incEpochNow(): boolean {
    return this.#channel.notifyNow(encodeIncEpoch())
  }
}

/** A kernel without the mount has nothing cached any more. */
export function isUnmounted(error: unknown): boolean {
  const errno = error instanceof ChannelError ? error.errno : 0
  return errno === Errno.ENOTCONN || errno === Errno.ENODEV
}

export function ignoreUnmounted(notify: () => void): void {
  try {
    notify()
  } catch (error) {
    if (!isUnmounted(error)) throw error
  }
}
