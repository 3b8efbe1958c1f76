/**
 * What file locks promise, in true time: no two processes that may act hold what conflicts. A
 * process holds what it was told it holds, until it asks to give it up or hears that it is lost;
 * it may act while it lives and its member may answer. A lock may be given to another while its
 * holder cannot act, if the holder never acts again under it.
 */
import { rangesOverlap } from '../../src/fs/lock/range.ts'
import type { LockKind, LockType, LostLock } from '../../src/fs/ports/lock-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { SafetyError, type SimProcess } from './cluster-faults.ts'
import type { SimMember } from './cluster-member.ts'

export interface LockSpan {
  readonly ino: Ino
  readonly kind: LockKind
  readonly type: LockType
  readonly start: bigint
  readonly end: bigint
}

/** A lock that a process was told it has. */
export interface HeldLock extends LockSpan {
  readonly member: SimMember
  readonly process: SimProcess
  /** One for each lock of a run. */
  readonly owner: bigint
}

export class ClusterLocks {
  readonly #held = new Set<HeldLock>()
  /** Pairs of which only one may ever act again. */
  #rivals: (readonly [HeldLock, HeldLock])[] = []
  /** Programs that are between asking for a lock and having given it up, and what they run on. */
  readonly #busy = new Map<object, SimProcess>()
  #lastOwner = 0n

  nextOwner(): bigint {
    return ++this.#lastOwner
  }

  begin(program: object, process: SimProcess): void {
    this.#busy.set(program, process)
  }

  end(program: object): void {
    this.#busy.delete(program)
  }

  /** Nobody alive holds a lock or waits for one. */
  get isIdle(): boolean {
    return [...this.#busy.values()].every(({ isDead }) => isDead)
  }

  isHeld(lock: HeldLock): boolean {
    return this.#held.has(lock)
  }

  granted(lock: HeldLock): void {
    for (const other of this.#held) {
      if (other.process.isDead) this.#held.delete(other)
      else if (conflicts(lock, other)) this.#rivals.push([lock, other])
    }
    this.#held.add(lock)
    this.check()
  }

  released(lock: HeldLock): void {
    this.#held.delete(lock)
  }

  /** A member tells its processes that these locks are gone. */
  lost(member: SimMember, locks: readonly LostLock[]): void {
    for (const held of this.#held) {
      if (held.member !== member) continue
      if (locks.some(({ owner }) => owner === held.owner)) this.#held.delete(held)
    }
  }

  /** Throws when two that exclude each other may both act. */
  check(): void {
    if (this.#rivals.length === 0) return
    this.#rivals = this.#rivals.filter((pair) => pair.every((lock) => this.#isAlive(lock)))
    for (const [a, b] of this.#rivals) {
      if (!mayAct(a) || !mayAct(b)) continue
      throw new SafetyError(`lock ${describe(a)} beside lock ${describe(b)}`)
    }
  }

  #isAlive(lock: HeldLock): boolean {
    return this.#held.has(lock) && !lock.process.isDead
  }
}

function conflicts(a: HeldLock, b: HeldLock): boolean {
  if (a.ino !== b.ino || a.kind !== b.kind || a.owner === b.owner) return false
  return (a.type === 'write' || b.type === 'write') && rangesOverlap(a, b)
}

function mayAct({ member, process }: HeldLock): boolean {
  return member.process === process && member.replica?.membership.mayAnswer() === true
}

function describe({ member, ino, kind, type, start, end, owner }: HeldLock): string {
  return `${owner} of member ${member.id} (${kind} ${type} ${start}-${end} of ${ino})`
}
