/**
 * Looks at all processes in true time. A process holds what it was told it holds, until it asks to
 * give it up. `maybe` is the most that anybody may think it holds, for judging refusals.
 */
import type { LockKind, LockType } from '../../src/fs/ports/lock-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'

export class LockSafetyError extends Error {
  override name = 'LockSafetyError'
}

export const BYTES = 6

export interface SimRequest {
  readonly ino: Ino
  readonly kind: LockKind
  readonly type: LockType | 'unlock'
  readonly start: number
  readonly end: number
  readonly action: 'try' | 'wait'
}

type Level = 0 | 1 | 2

function levelOf(type: LockType | 'unlock'): Level {
  return type === 'write' ? 2 : type === 'read' ? 1 : 0
}

function conflicts(a: number, b: number): boolean {
  return a > 0 && b > 0 && (a === 2 || b === 2)
}

/** What one process holds: a level for each byte of each inode and kind. */
export class SimOwner {
  readonly name: string
  readonly member: number
  readonly holds = new Map<string, Level[]>()
  request: SimRequest | undefined
  /** For a try: something that may be in its way was seen since it was asked. */
  explained = false
  #before: Level[] | undefined

  constructor(name: string, member: number) {
    this.name = name
    this.member = member
  }

  bytes(ino: Ino, kind: LockKind): Level[] {
    const key = `${kind}${ino}`
    let bytes = this.holds.get(key)
    if (bytes === undefined) {
      bytes = new Array<Level>(BYTES).fill(0)
      this.holds.set(key, bytes)
    }
    return bytes
  }

  get holdsAnything(): boolean {
    return [...this.holds.values()].some((bytes) => bytes.some((level) => level > 0))
  }

  /** What it gives up by asking is gone at once. */
  ask(request: SimRequest): void {
    this.request = request
    const bytes = this.bytes(request.ino, request.kind)
    this.#before = [...bytes]
    const level = levelOf(request.type)
    for (let i = request.start; i <= request.end; i++) {
      const had = bytes[i] ?? 0
      if (request.kind === 'flock') bytes[i] = had === level ? had : 0
      else if (had > level) bytes[i] = level
    }
  }

  granted(): void {
    const { request } = this
    if (request === undefined) return
    const bytes = this.bytes(request.ino, request.kind)
    for (let i = request.start; i <= request.end; i++) bytes[i] = levelOf(request.type)
    this.request = undefined
  }

  /** It was told that its locks there are gone. */
  lost(ino: Ino, kind: LockKind): void {
    this.holds.delete(`${kind}${ino}`)
    if (this.request?.ino === ino && this.request.kind === kind) this.#before = undefined
  }

  refused(): void {
    const { request } = this
    if (request !== undefined && request.kind === 'record' && this.#before !== undefined) {
      this.holds.set(`${request.kind}${request.ino}`, this.#before)
    }
    this.request = undefined
  }

  /** What of it may be in the way of others for the rest of the epoch. */
  ghost(): SimOwner {
    const ghost = new SimOwner(`ghost of ${this.name}`, this.member)
    for (const [key, bytes] of this.holds) ghost.holds.set(key, [...bytes])
    const { request } = this
    if (request === undefined) return ghost
    const bytes = ghost.bytes(request.ino, request.kind)
    for (let i = 0; i < BYTES; i++) {
      bytes[i] = this.maybe(request.ino, request.kind, i) as Level
    }
    return ghost
  }

  /** The most anybody may think it holds of that byte. */
  maybe(ino: Ino, kind: LockKind, byte: number): number {
    const { request } = this
    const now = this.holds.get(`${kind}${ino}`)?.[byte] ?? 0
    if (request === undefined || request.ino !== ino || request.kind !== kind) return now
    const before = this.#before?.[byte] ?? 0
    const asked = byte >= request.start && byte <= request.end ? levelOf(request.type) : 0
    return Math.max(now, before, asked)
  }
}

export class LocksChecker {
  readonly owners = new Map<string, SimOwner>()
  /** Of members that are gone: what they held may be in the way until the epoch is over. */
  ghosts: SimOwner[] = []
  grants = 0

  /** To be called after every grant and refusal. */
  checkExclusive(owner: SimOwner, ino: Ino, kind: LockKind): void {
    const bytes = owner.bytes(ino, kind)
    for (const other of this.owners.values()) {
      if (other === owner) continue
      const theirs = other.holds.get(`${kind}${ino}`)
      if (theirs === undefined) continue
      for (let i = 0; i < BYTES; i++) {
        if (!conflicts(bytes[i] ?? 0, theirs[i] ?? 0)) continue
        throw new LockSafetyError(
          `${kind} ${ino} byte ${i}: ${owner.name} has ${bytes[i]}, ${other.name} has ${theirs[i]}`
        )
      }
    }
  }

  /** A request begins: which refusals does it explain, and is its own explained? */
  asked(owner: SimOwner): void {
    owner.explained = this.isInTheWay(owner)
    for (const other of this.owners.values()) {
      if (other === owner || other.explained || other.request === undefined) continue
      if (this.#mayConflict(other, owner)) other.explained = true
    }
  }

  isInTheWay(owner: SimOwner): boolean {
    for (const other of [...this.owners.values(), ...this.ghosts]) {
      if (other !== owner && this.#mayConflict(owner, other)) return true
    }
    return false
  }

  #mayConflict(asker: SimOwner, other: SimOwner): boolean {
    const { request } = asker
    if (request === undefined || request.type === 'unlock') return false
    for (let i = request.start; i <= request.end; i++) {
      const level = other.maybe(request.ino, request.kind, i)
      if (conflicts(levelOf(request.type), level)) return true
    }
    return false
  }

  /** True when the owner, waiting as it does, waits for itself by way of others. */
  isDeadlocked(owner: SimOwner): boolean {
    const seen = new Set<SimOwner>()
    const open = [owner]
    for (let waiter = open.pop(); waiter !== undefined; waiter = open.pop()) {
      for (const other of this.owners.values()) {
        if (other === waiter || !this.#mayConflict(waiter, other)) continue
        if (other === owner) return true
        if (seen.has(other)) continue
        seen.add(other)
        if (other.request?.action === 'wait') open.push(other)
      }
    }
    return false
  }

  /** The owners that hold a byte: what a query must find. */
  holdersOf(ino: Ino, kind: LockKind, byte: number): SimOwner[] {
    return [...this.owners.values()].filter(
      (owner) => (owner.holds.get(`${kind}${ino}`)?.[byte] ?? 0) > 0
    )
  }
}
