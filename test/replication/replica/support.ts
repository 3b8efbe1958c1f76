/** Stand-ins for what surrounds the parts of a replica: time by hand, links that write down. */
import type { Clock, Timer } from '../../../src/fs/ports/clock.ts'
import type { Logger } from '../../../src/fs/ports/logger.ts'
import type { MemberId } from '../../../src/fs/primitives.ts'
import type { SealedEntry } from '../../../src/replication/entry.ts'
import type { BulkMessage, ControlMessage } from '../../../src/replication/messages.ts'
import type { PeerLinks } from '../../../src/replication/replica/peer-links.ts'
import type {
  FramedKind,
  PeerConnection
} from '../../../src/replication/transport/peer-connection.ts'

export class HandClock implements Clock {
  #nowMs = 0
  #timers: { readonly atMs: number; readonly run: () => void }[] = []

  wall(): { sec: number; nsec: number } {
    return { sec: 0, nsec: 0 }
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, run }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((t) => t !== timer)
      }
    }
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.length
  }

  advance(ms: number): void {
    this.#nowMs += ms
    for (;;) {
      const due = this.#timers.find((t) => t.atMs <= this.#nowMs)
      if (!due) return
      this.#timers = this.#timers.filter((t) => t !== due)
      due.run()
    }
  }
}

export interface Sent<M> {
  readonly to: MemberId
  readonly message: M
}

/** All members are connected until `members` says otherwise. */
export class NotedLinks implements PeerLinks {
  members: MemberId[]
  hasRoom = true
  readonly control: Sent<ControlMessage>[] = []
  readonly bulk: Sent<BulkMessage>[] = []
  readonly #drained: (() => void)[] = []

  constructor(members: readonly MemberId[]) {
    this.members = [...members]
  }

  connected(): readonly MemberId[] {
    return this.members
  }

  bulkConnected(): readonly MemberId[] {
    return this.members
  }

  sendControl(to: MemberId, message: ControlMessage): boolean {
    this.control.push({ to, message })
    return true
  }

  pushEntry(to: MemberId, entry: SealedEntry): void {
    this.control.push({ to, message: { type: 'push', entries: [entry] } })
  }

  sendBulk(to: MemberId, message: BulkMessage): boolean {
    this.bulk.push({ to, message })
    return true
  }

  controlDrained(): Promise<void> {
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  bulkDrained(): Promise<void> {
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  bulkReady(): Promise<void> | undefined {
    return this.hasRoom ? undefined : this.bulkDrained()
  }

  controlHasRoom(): boolean {
    return this.hasRoom
  }

  bulkHasRoom(): boolean {
    return this.hasRoom
  }

  drain(): void {
    for (const resolve of this.#drained.splice(0)) resolve()
  }

  takeControl(): Sent<ControlMessage>[] {
    return this.control.splice(0)
  }

  takeBulk(): Sent<BulkMessage>[] {
    return this.bulk.splice(0)
  }
}

/** Takes all that is sent at once; counts its bytes. */
export class NotedConnection implements PeerConnection {
  readonly dialed = false
  readonly queuedBytes = 0
  readonly member: MemberId
  readonly kind: FramedKind
  closed = false
  sentBytes = 0

  constructor(member: MemberId, kind: FramedKind) {
    this.member = member
    this.kind = kind
  }

  send(_type: number, parts: readonly Uint8Array[]): boolean {
    for (const part of parts) this.sentBytes += part.length
    return true
  }

  drained(): Promise<void> {
    return Promise.resolve()
  }

  ready(): undefined {}
  pause(): void {}
  resume(): void {}

  close(): void {
    this.closed = true
  }
}

/** Keeps the messages of warnings and errors. */
export class NotedLogger implements Logger {
  readonly lines: string[] = []
  debug(): void {}
  info(): void {}

  warn(_fields: object, message: string): void {
    this.lines.push(message)
  }

  error(_fields: object, message: string): void {
    this.lines.push(message)
  }

  child(): Logger {
    return this
  }
}

/** Lets everything run that is ready. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
