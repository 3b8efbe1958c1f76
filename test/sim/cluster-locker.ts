/**
 * A program that works under file locks: lock, read, think, write, unlock. It lives as long as its
 * machine's process, so it may hold a lock while its member begins another incarnation; then it has
 * to be told that the lock is gone (RULES 5).
 */
import type { Awaitable } from '../../src/fs/awaitable.ts'
import { FsError } from '../../src/fs/errno.ts'
import { LOCK_END } from '../../src/fs/ports/lock-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import type { Replica } from '../../src/replication/replica/replica.ts'
import { SafetyError, type SimProcess } from './cluster-faults.ts'
import type { HeldLock, LockSpan } from './cluster-locks.ts'
import type { SimMember } from './cluster-member.ts'
import type { ClusterWorld } from './cluster-world.ts'

const LOCK_INO_BASE = 2000
const LOCK_INOS = 2
/** Each half of a lock file guards one inode. */
const GUARDED_INO_BASE = 3000
const HALF = 100n
const TOLD_POLL_US = 10_000

export interface LockerComponents {
  readonly world: ClusterWorld
  readonly member: SimMember
  readonly process: SimProcess
}

export class SimLocker {
  readonly #components: LockerComponents

  constructor(components: LockerComponents) {
    this.#components = components
  }

  async run(): Promise<void> {
    const { world, member, process } = this.#components
    while (!process.isDead && !world.isOver) {
      await process.sleep(world.thinkUs())
      const { replica } = member
      if (!replica?.membership.mayAnswer()) continue
      world.locks.begin(this, process)
      await this.#try(replica, () => this.#section(replica))
      world.locks.end(this)
    }
  }

  async #try(replica: Replica, act: () => Promise<unknown>): Promise<void> {
    const { world, member } = this.#components
    try {
      await act()
    } catch (error) {
      if (error instanceof FsError) world.count(`locks${error.code}`)
      else if (member.isCurrent(replica) || error instanceof SafetyError) throw error
    }
  }

  async #section(replica: Replica): Promise<void> {
    const { world, process } = this.#components
    const { random } = world
    const lock = await this.#acquire(replica)
    if (!lock) return
    world.locks.granted(lock)
    world.count('locked')
    try {
      const guarded = guardedBy(lock, random.below(2))
      const before = await this.#look(guarded)
      await process.sleep(random.below(world.parameters.holdMaxUs))
      if (before === undefined || !world.locks.isHeld(lock)) return
      const change = lock.type === 'write' && random.chance(0.8)
      const now = change ? await this.#write(lock, guarded) : await this.#look(guarded)
      if (now === undefined || now === before || !world.locks.isHeld(lock)) return
      throw new SafetyError(`inode ${guarded} changed from ${before} to ${now} under a lock`)
    } finally {
      world.locks.released(lock)
      const current = this.#components.member.replica
      if (current) await this.#try(current, async () => this.#release(current, lock))
    }
  }

  /** The process sees the answer only while its member may give it. */
  async #acquire(replica: Replica): Promise<HeldLock | undefined> {
    const { world, member, process } = this.#components
    const { random } = world
    const span = this.#draw()
    const owner = world.locks.nextOwner()
    const wait = random.chance(0.8)
    const interrupt = new AbortController()
    if (wait && random.chance(0.2)) {
      process.after(random.below(world.parameters.holdMaxUs), () => interrupt.abort())
    }
    const request = { ...span, owner, pid: 1 }
    await replica.locks.setlk(span.ino, request, { wait, signal: interrupt.signal })
    while (!replica.membership.mayAnswer()) {
      if (!member.isCurrent(replica)) return undefined
      await process.sleep(TOLD_POLL_US)
    }
    if (!member.isCurrent(replica)) return undefined
    return { ...span, member, process, owner }
  }

  async #release(replica: Replica, { ino, kind, owner, start, end }: HeldLock): Promise<void> {
    const request = { kind, type: 'unlock', start, end, owner, pid: 1 } as const
    await replica.locks.setlk(ino, request, { wait: false })
  }

  #draw(): LockSpan {
    const { random } = this.#components.world
    const ino = (LOCK_INO_BASE + random.below(LOCK_INOS)) as Ino
    const type = random.chance(0.7) ? 'write' : 'read'
    if (random.chance(0.2)) return { ino, kind: 'flock', type, start: 0n, end: LOCK_END }
    const [start, end] = random.pick([
      [0n, LOCK_END],
      [0n, HALF - 1n],
      [HALF, LOCK_END]
    ] as const)
    return { ino, kind: 'record', type, start, end }
  }

  /** The last value written there, 0 for none; undefined when it cannot be told. */
  async #look(ino: Ino): Promise<number | undefined> {
    const { replica, state } = this.#components.member
    if (!replica || !state) return undefined
    const guard = await replica.tokens.acquire([{ ino, mode: 'shared' }])
    const value = state.values(ino).at(-1) ?? 0
    guard.release()
    return this.#mayAnswer(replica) ? value : undefined
  }

  /** What stood there before. */
  async #write(lock: HeldLock, ino: Ino): Promise<number | undefined> {
    const { world, member } = this.#components
    const { replica, state } = member
    if (!replica || !state) return undefined
    const guard = await replica.tokens.acquire([{ ino, mode: 'exclusive' }])
    let done: Awaitable<void>
    const before = state.values(ino).at(-1) ?? 0
    const value = world.ledger.nextValue()
    try {
      // A lost lock has made the handle useless.
      if (!world.locks.isHeld(lock)) return undefined
      done = replica.submit({ type: 'setattr', ino, ctime: { sec: 1, nsec: value } })
    } finally {
      guard.release()
    }
    await done
    if (!this.#mayAnswer(replica)) return undefined
    world.count('lockedWrites')
    world.ledger.onAnswered(value)
    return before
  }

  #mayAnswer(replica: Replica): boolean {
    return this.#components.member.isCurrent(replica) && replica.membership.mayAnswer()
  }
}

/** Locks of both kinds guard each their own. */
function guardedBy({ ino, kind, start, end }: LockSpan, dice: number): Ino {
  const half = start === HALF ? 1 : end === HALF - 1n ? 0 : dice
  const kindOffset = kind === 'flock' ? 2 : 0
  return (GUARDED_INO_BASE + (ino - LOCK_INO_BASE) * 4 + kindOffset + half) as Ino
}
