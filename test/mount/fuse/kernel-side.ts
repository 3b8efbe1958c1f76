/** The kernel's side of the protocol for tests: makes requests, holds replies, fakes a channel. */
import { readFileSync } from 'node:fs'
import type { TimeSpec } from '../../../src/fs/attr.ts'
import type { Clock, Timer } from '../../../src/fs/ports/clock.ts'
import type { LogFields, Logger } from '../../../src/fs/ports/logger.ts'
import type { FuseChannel, FuseChannelEvents } from '../../../src/mount/channel/channel.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'

export interface HeaderOptions {
  readonly unique?: bigint
  readonly nodeid?: bigint
  readonly uid?: number
  readonly gid?: number
  readonly pid?: number
}

/** One request as the kernel writes it. */
export function message(opcode: number, body: Uint8Array, options: HeaderOptions = {}): Buffer {
  const header = Buffer.alloc(40)
  header.writeUInt32LE(40 + body.length, 0)
  header.writeUInt32LE(opcode, 4)
  header.writeBigUInt64LE(options.unique ?? 2n, 8)
  header.writeBigUInt64LE(options.nodeid ?? 1n, 16)
  header.writeUInt32LE(options.uid ?? 1000, 24)
  header.writeUInt32LE(options.gid ?? 100, 28)
  header.writeUInt32LE(options.pid ?? 77, 32)
  return Buffer.concat([header, body])
}

export function u32(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4)
  values.forEach((value, index) => {
    buffer.writeUInt32LE(value >>> 0, index * 4)
  })
  return buffer
}

export function u64(...values: (bigint | number)[]): Buffer {
  const buffer = Buffer.alloc(values.length * 8)
  values.forEach((value, index) => {
    buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), index * 8)
  })
  return buffer
}

/** Strings, each ended by NUL. */
export function strings(...values: string[]): Buffer {
  return Buffer.from(values.map((value) => `${value}\0`).join(''), 'latin1')
}

export function bodyOf(...parts: Uint8Array[]): Buffer {
  return Buffer.concat(parts)
}

/** struct fuse_init_in of Linux 6.18 that offers everything. */
export function initBody(major = 7, minor = 45): Buffer {
  return bodyOf(u32(major, minor, 131072, 0x7fffffff, 0xffffffff), Buffer.alloc(44))
}

export function initMessage(): Buffer {
  return message(Opcode.INIT, initBody(), { unique: 1n << 40n, nodeid: 0n })
}

export function writeBody(options: {
  readonly handle: number
  readonly offset: bigint | number
  readonly data: Uint8Array
  readonly writeFlags?: number
  readonly flags?: number
}): Buffer {
  return bodyOf(
    u64(options.handle, options.offset),
    u32(options.data.length, options.writeFlags ?? 0),
    u64(0),
    u32(options.flags ?? 1, 0),
    options.data
  )
}

export function readBody(handle: number, offset: bigint | number, size: number): Buffer {
  return bodyOf(u64(handle, offset), u32(size, 0), u64(0), u32(0, 0))
}

export interface ParsedReply {
  readonly unique: bigint
  /** Positive errno, 0 for success. */
  readonly errno: number
  readonly body: Buffer
}

export class FakeChannel implements FuseChannel {
  readonly kind = 'native'
  readonly replies: ParsedReply[] = []
  readonly notifications: Buffer[] = []
  buffersHeld = 0
  /** Thrown by the next `reply`. */
  failNext: Error | undefined
  #events: FuseChannelEvents | undefined
  #waiters: { readonly unique: bigint; readonly resolve: (reply: ParsedReply) => void }[] = []

  start(events: FuseChannelEvents): void {
    this.#events = events
  }

  reply(parts: readonly Uint8Array[]): void {
    const fail = this.failNext
    this.failNext = undefined
    if (fail !== undefined) throw fail
    const bytes = Buffer.concat(parts)
    if (bytes.readUInt32LE(0) !== bytes.length) throw new Error('length of the reply is wrong')
    const reply: ParsedReply = {
      unique: bytes.readBigUInt64LE(8),
      errno: -bytes.readInt32LE(4),
      body: bytes.subarray(16)
    }
    this.replies.push(reply)
    for (const waiter of this.#waiters) if (waiter.unique === reply.unique) waiter.resolve(reply)
    this.#waiters = this.#waiters.filter((waiter) => waiter.unique !== reply.unique)
  }

  async notify(notification: Uint8Array): Promise<boolean> {
    return this.notifyNow(notification)
  }

  notifyNow(notification: Uint8Array): boolean {
    this.notifications.push(Buffer.from(notification))
    return true
  }

  async close(): Promise<void> {
    this.#events?.onClose(undefined)
  }

  send(request: Buffer): void {
    this.buffersHeld += 1
    let released = false
    const own = Buffer.from(request)
    this.#events?.onRequest(own, () => {
      if (released) throw new Error('released twice')
      released = true
      this.buffersHeld -= 1
      // What still looks at the buffer from here on sees garbage.
      own.fill(0xee)
    })
  }

  /** Sends a request and waits for the reply with its unique. */
  ask(request: Buffer): Promise<ParsedReply> {
    const unique = request.readBigUInt64LE(8)
    return new Promise((resolve) => {
      this.#waiters.push({ unique, resolve })
      this.send(request)
    })
  }

  repliesTo(unique: bigint): ParsedReply[] {
    return this.replies.filter((reply) => reply.unique === unique)
  }
}

export interface LogLine {
  readonly level: string
  readonly fields: LogFields
  readonly message: string
}

export class MemoryLogger implements Logger {
  readonly lines: LogLine[] = []

  debug(fields: LogFields, text: string): void {
    this.lines.push({ level: 'debug', fields, message: text })
  }

  info(fields: LogFields, text: string): void {
    this.lines.push({ level: 'info', fields, message: text })
  }

  warn(fields: LogFields, text: string): void {
    this.lines.push({ level: 'warn', fields, message: text })
  }

  error(fields: LogFields, text: string): void {
    this.lines.push({ level: 'error', fields, message: text })
  }

  child(): Logger {
    return this
  }
}

/** Time that moves when told. */
export class ManualClock implements Clock {
  #nowMs = 0
  #timers: { readonly atMs: number; readonly fn: () => void }[] = []

  wall(): TimeSpec {
    return { sec: 0, nsec: 0 }
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  get timers(): number {
    return this.#timers.length
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, fn }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      }
    }
  }

  advance(byMs: number): void {
    this.#nowMs += byMs
    for (const timer of this.#timers.filter((other) => other.atMs <= this.#nowMs)) {
      this.#timers = this.#timers.filter((other) => other !== timer)
      timer.fn()
    }
  }
}

export function realClock(): Clock {
  return {
    wall: () => ({ sec: Math.floor(Date.now() / 1000), nsec: 0 }),
    monotonicMs: () => Number.parseFloat(readFileSync('/proc/uptime', 'latin1')) * 1000,
    setTimer: (delayMs, fn) => {
      const timer = setTimeout(fn, delayMs).unref()
      return { cancel: () => clearTimeout(timer) }
    }
  }
}
