/** A member of the simulated cluster: its disk, its process, and the real replica in it. */

import type { Op } from '../../src/fs/op.ts'
import type { LostLock } from '../../src/fs/ports/lock-service.ts'
import type { Logger } from '../../src/fs/ports/logger.ts'
import type { Origin } from '../../src/fs/ports/state-machine.ts'
import type { Incarnation, Ino, MemberId, WriterId } from '../../src/fs/primitives.ts'
import { makeWriterId } from '../../src/fs/primitives.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import { hasSlicesOnDisk } from '../../src/replication/replica/intake.ts'
import type { EndReason } from '../../src/replication/replica/membership-components.ts'
import { republishOwn, scanHeld } from '../../src/replication/replica/recovery.ts'
import { Replica } from '../../src/replication/replica/replica.ts'
import type { ConnectionHandlers } from '../../src/replication/transport/connections.ts'
import type { FramedKind, PeerConnection } from '../../src/replication/transport/peer-connection.ts'
import { Turns } from '../../src/replication/turns.ts'
import { EMPTY_BOOK } from '../../src/replication/volume/invite-book.ts'
import { SimClient } from './cluster-client.ts'
import type { DiskUser } from './cluster-disk.ts'
import { Disk, ToyJournal, ToyOpenEntry, ToySegments } from './cluster-disk.ts'
import { ToyExchange } from './cluster-exchange.ts'
import { SafetyError, SimProcess } from './cluster-faults.ts'
import { SimLocker } from './cluster-locker.ts'
import { ToyLogs } from './cluster-logs.ts'
import { type Image, ToyState } from './cluster-state.ts'
import type { ClusterWorld } from './cluster-world.ts'

export interface MemberOptions {
  readonly isolationMs: number
  readonly minHoldMs: number
  readonly clients: number
  readonly clockRate: number
}

export class ToyConnection implements PeerConnection {
  readonly member: MemberId
  readonly kind: FramedKind
  readonly dialed: boolean
  readonly queuedBytes = 0
  closed = false
  readonly #send: (type: number, body: Buffer) => void
  readonly #close: () => void

  constructor(
    components: { send: (type: number, body: Buffer) => void; close: () => void },
    options: { member: MemberId; kind: FramedKind; dialed: boolean }
  ) {
    this.#send = components.send
    this.#close = components.close
    this.member = options.member
    this.kind = options.kind
    this.dialed = options.dialed
  }

  send(type: number, parts: readonly Uint8Array[]): boolean {
    if (!this.closed) this.#send(type, Buffer.concat(parts))
    return true
  }

  async drained(): Promise<void> {}
  ready(): undefined {}
  pause(): void {}
  resume(): void {}

  close(): void {
    if (!this.closed) this.#close()
  }
}

export class SimMember {
  readonly id: MemberId
  readonly disk: Disk
  process: SimProcess | undefined
  replica: Replica | undefined
  state: ToyState | undefined
  /** Without a name, and open here. */
  readonly openInos = new Set<Ino>()
  readonly #world: ClusterWorld
  readonly #options: MemberOptions
  readonly #connections = new Map<string, ToyConnection>()
  #handlers: ConnectionHandlers | undefined
  #isLeaving = false

  constructor(world: ClusterWorld, id: MemberId, record: EpochRecord, options: MemberOptions) {
    this.#world = world
    this.id = id
    this.#options = options
    const { syncMaxUs, losesAll } = world.parameters
    this.disk = new Disk(record, { syncMaxUs, losesAll })
  }

  get isOnline(): boolean {
    return this.#handlers !== undefined
  }

  get isLive(): boolean {
    return this.replica?.membership.phase === 'live'
  }

  boot(): void {
    // Who was removed and knows it does not start any more.
    if (this.process || !this.disk.record.members.some((m) => m.id === this.id)) return
    this.#isLeaving = false
    this.process = new SimProcess(this.#world.scheduler, this.#options.clockRate)
    const world = this.#world
    world.background(this.#open(this.process), this.process)
    for (let i = 0; i < world.parameters.lockers; i++) {
      const locker = new SimLocker({ world, member: this, process: this.process })
      world.background(locker.run(), this.process)
    }
  }

  /** The programs have ended; the replica hands over what it can and stops. */
  leave(): void {
    const { replica, process } = this
    if (!replica || !process) return
    this.#isLeaving = true
    this.replica = undefined
    this.state = undefined
    const left = replica.close({ orderly: true }).then(() => {
      if (process.isDead) return
      this.#world.count('left')
      this.kill(false)
      this.#world.onLeft(this)
    })
    this.#world.background(left, process)
  }

  /** The process is gone; with the machine, so is what was not synced. */
  kill(powerCut: boolean): void {
    if (this.process) this.#world.onKilled(this)
    this.process?.kill()
    this.process = undefined
    this.replica = undefined
    this.state = undefined
    this.#handlers = undefined
    this.openInos.clear()
    for (const connection of this.#connections.values()) connection.closed = true
    this.#connections.clear()
    if (!powerCut) return
    this.disk.powerCut(this.#world.random)
    this.#world.onPowerCut(this)
  }

  /** Of these, those that no program here has open. */
  closeForGood(inos: readonly Ino[]): readonly Ino[] {
    return inos.filter((ino) => !this.openInos.has(ino))
  }

  onConnected(kind: FramedKind, peer: MemberId): void {
    const net = this.#world.network(kind)
    const connection = new ToyConnection(
      {
        send: (type, body) => {
          net.send(this.id, peer, { type, body })
          if (kind === 'control') this.#world.onControlSent(this.id, peer, { type, body })
        },
        close: () => net.disconnect(this.id, peer)
      },
      { member: peer, kind, dialed: this.id > peer }
    )
    this.#connections.set(`${kind}/${peer}`, connection)
    const handlers = this.#handlers
    if (handlers) this.process?.run(() => handlers.onConnection(connection))
  }

  onDisconnected(kind: FramedKind, peer: MemberId): void {
    const connection = this.#connections.get(`${kind}/${peer}`)
    if (!connection) return
    this.#connections.delete(`${kind}/${peer}`)
    connection.closed = true
    const handlers = this.#handlers
    if (!this.process) return
    if (!this.process.isFrozen) {
      this.process.run(() => handlers?.onClose(connection, 'connection lost'))
    } else this.process.after(0, () => handlers?.onClose(connection, 'connection lost'))
  }

  onPacket(kind: FramedKind, peer: MemberId, type: number, body: Buffer): void {
    const connection = this.#connections.get(`${kind}/${peer}`)
    const handlers = this.#handlers
    if (connection) this.process?.run(() => handlers?.onMessage(connection, type, body))
  }

  /** True when the incarnation that asks is still the one at work. */
  isCurrent(replica: Replica): boolean {
    return this.replica === replica
  }

  async #open(process: SimProcess): Promise<void> {
    const { disk, id } = this
    const world = this.#world
    const user: DiskUser = {
      disk,
      process,
      random: world.random,
      onPruned: (entries) => world.onPruned(this, entries, replica),
      onPunched: (segment, offset, length) => world.onPunched(this, { segment, offset, length })
    }
    const writer = makeWriterId(id, world.hooks.nextIncarnation(disk) as Incarnation)
    if (disk.received) disk.state.replace(disk.received)
    disk.received = undefined
    await process.sleep(world.random.below(disk.options.syncMaxUs * 3))
    disk.state.checkpointed(disk.state.newest)
    const state = this.#openState(process, writer)
    const journal = new ToyJournal(user)
    const segments = new ToySegments(user, writer)
    const openEntry = new ToyOpenEntry(user, journal, segments)
    const logs = new ToyLogs(user, (w, seq) => world.downloadBlock(id, w, seq))
    const ownLog = logs.create(writer)
    const logger = world.logger(id)
    const turns = new Turns(process.clock())
    const held = await scanHeld(
      journal,
      { record: disk.record, ...state.position() },
      (item) => hasSlicesOnDisk(segments, item),
      turns
    )
    await republishOwn({ journal, logs, self: id, record: disk.record, logger, turns })
    const replica: Replica = new Replica(
      this.#components(process, state, logger, () => replica),
      { isolationMs: this.#options.isolationMs, minHoldMs: this.#options.minHoldMs },
      {
        writer,
        journal,
        openEntry,
        segments,
        logs,
        ownLog,
        shelf: state,
        due: state,
        exchange: new ToyExchange(user),
        held,
        inoRanges: { nextInoRange: () => world.hooks.nextInoRange(disk) },
        saveRecord: (record) => {
          if (process.isDead) return
          disk.record = record
          world.onRecordSaved(id, record)
        },
        saveVoter: (state) => world.saveVoter(this, process, state),
        saveInvites: () => {},
        connect: ({ handlers }) => ({
          start: async () => {
            this.#handlers = handlers
          },
          stop: async () => {
            if (this.#isLeaving) world.finishAll(id)
            else world.disconnectAll(id)
            this.#handlers = undefined
          },
          membersChanged: () => {}
        }),
        defer: (work) => process.after(world.random.below(world.parameters.turnMaxUs), work)
      }
    )
    await replica.follow()
    if (process.isDead) return
    this.replica = replica
    this.state = state
    await replica.start()
    for (let i = 0; i < this.#options.clients; i++) {
      world.background(new SimClient({ world, member: this, replica, state, process }).run())
    }
  }

  #openState(process: SimProcess, writer: WriterId): ToyState {
    const world = this.#world
    const { ledger } = world
    const onApply = (op: Op, origin: Origin): void => {
      ledger.onApply(writer, op, origin, state.values(op.ino))
      const missing = ledger.bytesOf(op, origin).find((slice) => !this.disk.holds(slice))
      if (missing)
        world.fail(
          new SafetyError(
            `member ${this.id} applies ${origin.writer}:${origin.seq} without its bytes`
          )
        )
    }
    const onCommit = (image: Image): void => world.onCommit(this, image)
    const state = new ToyState({ disk: this.disk.state, process, onApply, onCommit })
    return state
  }

  #components(process: SimProcess, state: ToyState, logger: Logger, current: () => Replica) {
    const { disk, id } = this
    const world = this.#world
    const self = disk.record.members.find((member) => member.id === id)
    if (!self) throw new Error('the member is not in its record')
    return {
      volume: {
        keyPair: { publicKey: Buffer.alloc(32), secretKey: Buffer.alloc(64) },
        settings: { member: id, listen: { host: '127.0.0.1', port: 1 } },
        record: disk.record,
        self,
        invites: EMPTY_BOOK,
        voter: disk.voter
      },
      state,
      checkpoint: async () => {
        const image = disk.state.newest
        await process.sleep(world.random.below(disk.options.syncMaxUs * 3))
        disk.state.checkpointed(image)
        return image.position
      },
      clock: process.clock(),
      random: () => world.random.share(),
      logger,
      closeForGood: (inos: readonly Ino[]) => this.closeForGood(inos),
      forgetReaped: () => {},
      dropCaches: () => {},
      isDirectory: () => false,
      onVoid: () => {
        world.count('voidAtReplay')
      },
      onLocksLost: (locks: readonly LostLock[]) => this.#onLocksLost(locks, current()),
      commandOf: () => undefined,
      noteTraffic: () => {},
      onLive: () => world.onLive(this, current()),
      onEnded: (reason: EndReason) => this.#ended(process, current(), reason),
      onFatal: (error: Error) => {
        if (!process.isDead && this.isCurrent(current())) {
          world.fail(new SafetyError(`member ${id} stops: ${error.stack ?? error.message}`))
        }
      }
    }
  }

  #onLocksLost(locks: readonly LostLock[], replica: Replica): void {
    this.#world.count('locksLost')
    if (this.isCurrent(replica)) {
      this.#world.fail(new SafetyError(`member ${this.id} loses locks while it is at work`))
    }
    this.#world.locks.lost(this, locks)
  }

  #ended(process: SimProcess, replica: Replica, reason: EndReason): void {
    this.#world.count(reason)
    if (!this.isCurrent(replica)) return
    if (reason === 'rebuild' && this.#world.ledger.record?.live.includes(replica.writer)) {
      this.#world.fail(new SafetyError(`live member ${this.id} applied more than the cuts`))
    }
    this.replica = undefined
    this.state = undefined
    const again = async (): Promise<void> => {
      await replica.close({ orderly: false })
      if (process.isDead) return
      if (reason === 'rebuild' || reason === 'outdated') this.disk.setAside()
      if (reason !== 'removed') await this.#open(process)
    }
    this.#world.background(again(), process)
  }
}
