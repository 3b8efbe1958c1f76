/**
 * A program on a member: writes, reads and syncs under tokens, as the filesystem does, and holds
 * every answer it gets against the ledger.
 */
import type { Awaitable } from '../../src/fs/awaitable.ts'
import { FsError } from '../../src/fs/errno.ts'
import type { Op } from '../../src/fs/op.ts'
import { INLINE_MAX_BYTES } from '../../src/fs/op.ts'
import { LOCK_END } from '../../src/fs/ports/lock-service.ts'
import type { TokenMode } from '../../src/fs/ports/token-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import type { Replica } from '../../src/replication/replica/replica.ts'
import type { SimProcess } from './cluster-faults.ts'
import { SafetyError } from './cluster-faults.ts'
import type { SimMember } from './cluster-member.ts'
import type { ToyState } from './cluster-state.ts'
import type { ClusterWorld } from './cluster-world.ts'

export interface ClientComponents {
  readonly world: ClusterWorld
  readonly member: SimMember
  readonly replica: Replica
  readonly state: ToyState
  readonly process: SimProcess
}

const FILE_TYPE = 0o100644
const PROBED_INO = 1999 as Ino
const BURST_MAX = 6
const LARGE_BYTES = INLINE_MAX_BYTES + 8

export class SimClient {
  readonly #components: ClientComponents

  constructor(components: ClientComponents) {
    this.#components = components
  }

  async run(): Promise<void> {
    const { world, member, replica, process } = this.#components
    while (member.isCurrent(replica) && !world.isOver) {
      await process.sleep(world.thinkUs())
      if (!replica.membership.mayAnswer()) continue
      await this.#try(() => this.#act())
    }
  }

  /** One write, one fsync and one lock; true when all were answered. */
  async probe(): Promise<boolean> {
    let done = false
    await this.#try(async () => {
      await this.#write('small', this.#components.world.pickIno())
      const synced = await this.#sync()
      await this.#lock()
      done = synced && this.#mayAnswer()
    })
    return done
  }

  /** Takes a lock for a moment. */
  async #lock(): Promise<void> {
    const { world, replica } = this.#components
    const owner = world.locks.nextOwner()
    const span = { kind: 'record', owner, pid: 1, start: 0n, end: LOCK_END } as const
    await replica.locks.setlk(PROBED_INO, { ...span, type: 'write' }, { wait: true })
    await replica.locks.setlk(PROBED_INO, { ...span, type: 'unlock' }, { wait: false })
  }

  async #try(act: () => Promise<unknown>): Promise<void> {
    const { world, member, replica } = this.#components
    try {
      await act()
    } catch (error) {
      if (error instanceof FsError) world.count('refused')
      else if (member.isCurrent(replica) || error instanceof SafetyError) throw error
    }
  }

  async #act(): Promise<void> {
    const { random, pickIno } = this.#draw()
    const dice = random.below(100)
    if (dice < 35) await this.#read(pickIno)
    else if (dice < 60) await this.#writeSome('small', pickIno)
    else if (dice < 72) await this.#writeSome('inline', pickIno)
    else if (dice < 80) await this.#write('large', pickIno)
    else if (dice < 95) await this.#sync()
    else await this.#createAndUnlink()
  }

  #draw() {
    const { world } = this.#components
    return { random: world.random, pickIno: world.pickIno() }
  }

  #mayAnswer(): boolean {
    const { member, replica } = this.#components
    return member.isCurrent(replica) && replica.membership.mayAnswer()
  }

  async #acquire(ino: Ino, mode: TokenMode) {
    const { replica } = this.#components
    return await replica.tokens.acquire([{ ino, mode }])
  }

  /** One after the other without a pause, or one alone. */
  async #writeSome(kind: 'small' | 'inline', ino: Ino): Promise<void> {
    const { random, parameters } = this.#components.world
    const times = random.chance(parameters.bursts) ? random.between(2, BURST_MAX) : 1
    for (let i = 0; i < times; i++) await this.#write(kind, ino)
  }

  async #write(kind: 'small' | 'inline' | 'large', ino: Ino): Promise<void> {
    const { world, replica } = this.#components
    const guard = await this.#acquire(ino, 'exclusive')
    let done: Awaitable<void>
    const value = world.ledger.nextValue()
    try {
      const time = { sec: 1, nsec: value }
      if (kind === 'small') {
        done = replica.submit({ type: 'setattr', ino, ctime: time })
      } else {
        const data = Buffer.alloc(kind === 'inline' ? 64 : LARGE_BYTES)
        data.writeUInt32LE(value)
        const slices = await replica.slices.append(data)
        const op: Op = { type: 'write', ino, offset: 0, slices, time }
        done = replica.submit(op, kind === 'inline' ? data : undefined)
      }
    } finally {
      guard.release()
    }
    await done
    if (!this.#mayAnswer()) return
    world.count(`${kind}Writes`)
    world.ledger.onAnswered(value)
  }

  async #read(ino: Ino): Promise<void> {
    const { world, state, replica, process } = this.#components
    const guard = await this.#acquire(ino, 'shared')
    const register = state.register(ino)
    const seen = state.values(ino)
    const isStale = world.ledger.isStale(ino, seen)
    const expected = world.ledger.expected(ino)
    guard.release()
    if (world.random.chance(0.2)) await process.sleep(world.random.below(20_000))
    let got: number | undefined
    if (register?.slice) {
      const bytes = Buffer.alloc(4)
      await replica.slices.read(register.slice, 0, 4, bytes, 0)
      got = bytes.readUInt32LE()
    }
    if (!this.#mayAnswer()) return
    world.count('reads')
    if (isStale) throw new SafetyError(`stale read of ${ino}: ${seen}, expected ${expected}`)
    if (register && got !== undefined && got !== register.sliceValue) {
      throw new SafetyError(`read ${got} where ${register.sliceValue} was written`)
    }
  }

  async #sync(): Promise<boolean> {
    const { world, replica } = this.#components
    const done = replica.durable()
    const covered = new Map(replica.admission.applied)
    await done
    if (!this.#mayAnswer()) return false
    world.count('syncs')
    world.ledger.onDurable(covered)
    return true
  }

  async #createAndUnlink(): Promise<void> {
    const { world, replica, member, state, process } = this.#components
    const guard = await this.#acquire(ROOT_INO, 'exclusive')
    const name = Buffer.from('x')
    const time = { sec: 1, nsec: 0 }
    const done: Awaitable<void>[] = []
    const ino = replica.allocateIno()
    const staysOpen = world.random.chance(0.5)
    if (staysOpen) member.openInos.add(ino)
    try {
      const place = { parent: ROOT_INO, name, ino, time }
      const target = Buffer.alloc(0)
      const create = { mode: FILE_TYPE, uid: 0, gid: 0, rdev: 0, cookie: 1, target }
      done.push(replica.submit({ type: 'create', ...place, ...create }))
      done.push(replica.submit({ type: 'unlink', ...place }))
    } finally {
      guard.release()
    }
    await Promise.all(done)
    world.count('orphans')
    if (!staysOpen) return
    await process.sleep(world.random.below(2 * world.parameters.thinkMaxUs))
    const isThere = state.register(ino) !== undefined
    member.openInos.delete(ino)
    if (isThere || !this.#mayAnswer()) return
    throw new SafetyError(`inode ${ino} is removed while it is open`)
  }
}
