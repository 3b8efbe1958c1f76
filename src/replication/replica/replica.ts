/**
 * A replica: this member's part of the cluster for one incarnation. It puts the parts together:
 * journal, segments, hypercores, state, tokens, connections; who does what is in the files beside.
 *
 * Life: `open` reads what is on the disk, `start` connects and resolves nothing itself; `onLive`
 * is called when this member serves, `onEnded` when the incarnation is over and another one has
 * to be opened (with `rebuild`, on a state made anew).
 */
import type { Database } from 'better-sqlite3'
import { FsError } from '../../fs/errno.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { LockService, LostLock } from '../../fs/ports/lock-service.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { OpLog } from '../../fs/ports/op-log.ts'
import type { SliceStore } from '../../fs/ports/slice-store.ts'
import type { StateMachine, StatePosition } from '../../fs/ports/state-machine.ts'
import type { TokenService } from '../../fs/ports/token-service.ts'
import type { Ino, MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { makeWriterId, memberOf } from '../../fs/primitives.ts'
import type { Admitted } from '../admission.ts'
import { Admission } from '../admission.ts'
import { deferToTurnEnd } from '../defer.ts'
import { Durability } from '../durability.ts'
import type { Entry, SealedEntry } from '../entry.ts'
import { EpochAuthority } from '../epoch/epoch-authority.ts'
import type { MemberChange } from '../epoch/member-change.ts'
import { LEASE_DEFAULTS, Lease, LeasePromises } from '../lease.ts'
import { LockNode } from '../lock/lock-node.ts'
import type { EpochRecord, MemberInfo } from '../record.ts'
import { Journal } from '../storage/journal.ts'
import type { PunchHole } from '../storage/segment-store.ts'
import { SegmentStore } from '../storage/segment-store.ts'
import type { StateDirectory } from '../storage/state-directory.ts'
import { WriterLogs } from '../storage/writer-logs.ts'
import { TokenNode } from '../token/token-node.ts'
import { Connections } from '../transport/connections.ts'
import { type Vector, vectorCovers } from '../vector.ts'
import { Invitations } from '../volume/invitations.ts'
import type { OpenedVolume } from '../volume/open-volume.ts'
import { saveInvites, saveRecord } from '../volume/volume-files.ts'
import { AppliedWaits } from './applied-waits.ts'
import { CatchUp } from './catch-up.ts'
import { ClusterSpace } from './cluster-space.ts'
import { EntryShelf } from './entry-shelf.ts'
import { InodeNumbers } from './inode-numbers.ts'
import { hasSlicesOnDisk, Intake } from './intake.ts'
import { LocalLog } from './local-log.ts'
import { LocalSync } from './local-sync.ts'
import { LockSurvey } from './lock-survey.ts'
import { LogFollower } from './log-follower.ts'
import type { EndReason } from './membership.ts'
import { Membership } from './membership.ts'
import { NoteWatch } from './note-watch.ts'
import { Peers } from './peers.ts'
import { Reaper } from './reaper.ts'
import { RecentEntries } from './recent-entries.ts'
import { republishOwn, scanHeld } from './recovery.ts'
import type {
  ConnectionsOwner,
  ReplicaConnections,
  ReplicaOwnLog,
  ReplicaPorts,
  ReplicaShelf
} from './replica-ports.ts'
import { Router } from './router.ts'
import { Slices } from './slices.ts'
import { UPKEEP_DEFAULTS, Upkeep } from './upkeep.ts'

export interface ReplicaComponents {
  readonly volume: OpenedVolume
  readonly state: StateMachine
  readonly checkpoint: () => Promise<StatePosition>
  readonly clock: Clock
  readonly logger: Logger
  /** Of these inodes, the ones not open here: from now on opening them answers ESTALE. */
  readonly closeForGood: (inos: readonly Ino[]) => readonly Ino[]
  readonly forgetReaped: (inos: readonly Ino[]) => void
  /** Drops what the kernel caches of these inodes. */
  readonly dropCaches: (inos: readonly Ino[]) => void | Promise<void>
  readonly isDirectory: (ino: Ino) => boolean
  /** An entry of the local journal never became part of the volume. */
  readonly onVoid: (entry: Entry, sealed: SealedEntry) => void
  /** The incarnation is over: these locks of local processes are gone (RULES 5). */
  readonly onLocksLost: (locks: readonly LostLock[]) => void
  /** Name of a local process, for reports. */
  readonly commandOf: (pid: number) => string | undefined
  readonly onLive: () => void
  readonly onEnded: (reason: EndReason) => void
  readonly onFatal: (error: Error) => void
}

/** What `open` needs to make the ports. */
export interface OpenComponents extends ReplicaComponents {
  readonly directory: StateDirectory
  /** The state's database: local tables stand in it, in the same transaction. */
  readonly database: Database
  readonly random: () => number
  readonly punchHole?: PunchHole
  readonly alternative?: ConstructorParameters<typeof Connections>[0]['alternative']
}

export interface ReplicaOptions {
  readonly isolationMs: number
  readonly minHoldMs: number
}

export const REPLICA_DEFAULTS: ReplicaOptions = { isolationMs: 30_000, minHoldMs: 5 }

const RECENT_BYTES_MAX = 16 * 1024 * 1024
/** A member that comes back is met halfway: who waits for it dials as well. */
const RESERVE_DIAL_MS = 300
/** A token costs about 650 bytes; asking for one again costs a round trip. */
const TOKEN_BOUNDS = { heldMax: 16_384, ownedMax: 16_384, objectsMax: 65_536 } as const
/** Acknowledgements of `received` are gathered for so long. */
const ACK_MS = 20
const BEAT_MS = 500
/** Orphans are asked about a little after they appear, and again while they stay open. */
const REAP_MS = 100

export class Replica implements OpLog {
  readonly writer: WriterId
  readonly self: MemberId
  readonly slices: SliceStore
  readonly admission: Admission
  readonly membership: Membership
  readonly peers: Peers
  readonly catchUp: CatchUp
  readonly durability: Durability
  readonly survey: LockSurvey
  readonly damage: string[] = []
  readonly #components: ReplicaComponents
  readonly #ports: ReplicaPorts
  readonly #localLog: LocalLog
  readonly #localSync: LocalSync
  readonly #waits: AppliedWaits
  readonly #slices: Slices
  readonly #intake: Intake
  readonly #recent = new RecentEntries({ bytesMax: RECENT_BYTES_MAX })
  readonly #shelf: ReplicaShelf
  readonly #tokens: TokenNode
  readonly #locks: LockNode
  readonly #connections: ReplicaConnections
  readonly #follower: LogFollower
  readonly #upkeep: Upkeep
  readonly #reaper: Reaper
  readonly #space: ClusterSpace
  readonly #inos: InodeNumbers
  readonly #invitations: Invitations | undefined
  readonly #checkpointedBy = new Map<MemberId, StatePosition>()
  readonly #memberChanges: { record: () => boolean; resolve: () => void }[] = []
  readonly #ackTo = new Set<MemberId>()
  #ackScheduled: Timer | undefined
  #ackLater: Timer | undefined
  #timers: Timer[] = []
  #replayed = false
  #closed = false

  /** Over stores that are open; `held` and the hypercores are brought up to the journal. */
  constructor(components: ReplicaComponents, options: ReplicaOptions, ports: ReplicaPorts) {
    const { volume, state, clock, logger } = components
    this.#components = components
    this.#ports = ports
    const { writer, journal, segments } = ports
    this.writer = writer
    this.self = volume.self.id
    this.peers = new Peers({ clock })
    const { applied } = state.position()
    this.admission = new Admission({ record: volume.record, applied })
    this.durability = new Durability(volume.record.inSync)
    this.#waits = new AppliedWaits(() => this.admission.applied)
    this.#shelf = ports.shelf
    this.#inos = new InodeNumbers({ directory: ports.inoRanges, member: this.self })
    this.#space = new ClusterSpace({
      local: () => segments.freeSpace(),
      nowMs: () => clock.monotonicMs()
    })
    this.#slices = new Slices({
      segments,
      links: this.peers,
      clock,
      logger,
      self: this.self,
      inSync: () => this.admission.record.inSync,
      onArrived: () => this.#intake.pump(),
      onDamage: (text) => this.reportDamage(text)
    })
    this.slices = this.#slices
    this.#localLog = this.#makeLocalLog()
    this.#intake = this.#makeIntake()
    this.#localSync = new LocalSync({
      flushOwn: () => this.#localLog.flush(),
      applied: () => this.admission.applied,
      syncJournal: () => journal.sync(),
      takeUnjournaled: () => this.#slices.takeUnjournaled(),
      syncSegments: (ids) => segments.syncSegments(ids),
      syncJournalNow: () => journal.syncNow(),
      syncSegmentsNow: (ids) => segments.syncSegmentsNow(ids),
      onDurable: (vector) => this.#onDurable(vector)
    })
    this.#tokens = this.#makeTokens(options)
    this.#locks = this.#makeLocks()
    this.survey = new LockSurvey({
      links: this.peers,
      clock,
      self: this.self,
      list: () => this.#locks.list(),
      commandOf: components.commandOf
    })
    this.#follower = this.#makeFollower()
    this.catchUp = new CatchUp({
      admission: this.admission,
      intake: this.#intake,
      links: this.peers,
      recent: this.#recent,
      shelf: this.#shelf,
      clock,
      logger,
      self: this.self,
      readBlock: (w, seq) => this.#follower.read(w, seq)
    })
    this.membership = this.#makeMembership(options)
    this.#reaper = this.#makeReaper()
    this.#upkeep = this.#makeUpkeep()
    this.#invitations = this.#makeInvitations()
    this.#connections = this.#makeConnections()
  }

  /** Opens what is on the disk; throws its damage. Takes a new incarnation number. */
  static async open(
    components: OpenComponents,
    options: ReplicaOptions = REPLICA_DEFAULTS
  ): Promise<Replica> {
    const { directory, volume, logger, state } = components
    directory.prepare()
    const writer = makeWriterId(volume.self.id, directory.nextIncarnation())
    let replica: Replica | undefined
    const fail = (error: Error): void => {
      if (replica) replica.#fatal(error)
    }
    const journal = Journal.open({ dir: directory.journal, logger, onFailure: fail }, { writer })
    const segments = SegmentStore.open(
      {
        dir: directory.segments,
        logger,
        onFailure: fail,
        ...(components.punchHole ? { punchHole: components.punchHole } : {})
      },
      { writer }
    )
    const logs = await WriterLogs.open({
      dir: directory.logs,
      logger,
      onFailure: (failure) => {
        replica?.reportDamage(`log of writer ${failure.writer}: ${failure.error.message}`)
        if (failure.kind === 'write') fail(failure.error)
      }
    })
    const ownLog = await logs.create(writer)
    const held = scanHeld(
      journal,
      { record: volume.record, applied: state.position().applied },
      (item) => hasSlicesOnDisk(segments, item)
    )
    await republishOwn({ journal, logs, self: volume.self.id, logger })
    replica = new Replica(components, options, {
      writer,
      journal,
      segments,
      logs,
      ownLog,
      shelf: new EntryShelf(components.database),
      held,
      inoRanges: directory,
      saveRecord: (record) => saveRecord(directory.dir, record),
      saveInvites: (book) => saveInvites(directory.dir, book),
      connect: (owner) => openConnections(components, owner),
      defer: deferToTurnEnd
    })
    await replica.follow()
    return replica
  }

  /** Opens the logs of the writers of the record. */
  follow(): Promise<void> {
    return this.#follower.follow(this.record)
  }

  get tokens(): TokenService {
    return this.#tokens
  }

  get locks(): LockService {
    return this.#locks
  }

  get invitations(): Invitations | undefined {
    return this.#invitations
  }

  get record(): EpochRecord {
    return this.admission.record
  }

  /** Connects; the rest follows by itself. Rejects when the listen address cannot be had. */
  async start(): Promise<void> {
    await this.#connections.start()
    this.membership.start()
    this.#beat()
    this.#reapLater()
  }

  submit(op: Parameters<OpLog['submit']>[0], payload?: Uint8Array): Promise<void> {
    return this.#localLog.submit(op, payload)
  }

  async durable(): Promise<void> {
    this.#localLog.flush()
    const vector = this.#liveVector(this.admission.applied)
    const covered = this.durability.wait(vector)
    for (const member of this.durability.missing(vector)) {
      if (member !== this.self) this.peers.sendControl(member, { type: 'sync', vector })
    }
    await Promise.all([this.#localSync.sync(), covered])
  }

  allocateIno(): Ino {
    return this.#inos.next()
  }

  assertSpace(bytes: number): void {
    this.#space.assertRoom(bytes)
  }

  space(): { readonly totalBytes: number; readonly availableBytes: number } {
    return this.#space.space()
  }

  /** At the authority: resolves when the record with that change is durable. */
  changeMembers(change: MemberChange): Promise<void> {
    const isDone = (): boolean =>
      change.kind === 'add'
        ? this.record.members.some((m) => m.id === change.member.id)
        : !this.record.members.some((m) => m.id === change.id)
    if (isDone()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#memberChanges.push({ record: isDone, resolve })
      this.membership.changeMembers({ type: 'members', change })
    })
  }

  reportDamage(text: string): void {
    this.#components.logger.error({ damage: text }, 'damage found')
    if (this.damage.length < 100 && !this.damage.includes(text)) this.damage.push(text)
  }

  tokenStatus(): ReturnType<TokenNode['status']> {
    return this.#tokens.status()
  }

  /**
   * Ends. `orderly`: own entries are sent and made durable first and the state is committed, so
   * that the next start has nothing to do; bounded by `graceMs`.
   */
  async close(options: { readonly orderly: boolean; readonly graceMs?: number }): Promise<void> {
    if (this.#closed) return
    if (options.orderly) await this.#drain(options.graceMs ?? 5000)
    if (options.orderly) this.membership.leave()
    this.#closed = true
    this.membership.stop()
    this.#localLog.setWritable(false)
    this.#intake.stop()
    this.#follower.stop()
    this.#slices.close()
    for (const timer of this.#timers) timer.cancel()
    this.#ackScheduled?.cancel()
    this.#ackLater?.cancel()
    const over = new FsError('EIO', 'this incarnation is over')
    this.#tokens.isolate()
    this.#locks.end()
    this.#waits.fail(over)
    this.durability.fail(over)
    await this.#connections.stop()
    if (options.orderly && this.#replayed) await this.#upkeep.finish()
    else await this.#upkeep.stop()
    const { journal, segments, logs } = this.#ports
    await Promise.allSettled([journal.close(), segments.close(), logs.close()])
  }

  async #drain(graceMs: number): Promise<void> {
    const { clock, logger } = this.#components
    if (this.membership.phase !== 'live') return
    let timer: Timer | undefined
    const limit = new Promise<void>((resolve) => {
      timer = clock.setTimer(graceMs, resolve)
    })
    const durable = this.durable().catch((error: unknown) => {
      logger.warn({ error }, 'stopping without the acknowledgement of every in-sync member')
    })
    await Promise.race([durable, limit])
    timer?.cancel()
  }

  #makeLocalLog(): LocalLog {
    const { journal, ownLog } = this.#ports
    return new LocalLog({
      writer: this.writer,
      state: this.#components.state,
      admission: this.admission,
      journal: (entry) => {
        journal.append([entry])
      },
      publish: (entry) => {
        this.#recent.add(entry)
        for (const member of this.peers.connected()) {
          if (this.membership.knows(member)) this.peers.pushEntry(member, entry)
        }
        ownLog.append(entry.seq, [entry.head]).catch((error: unknown) => this.#fatal(error))
        this.#waits.settle()
        return this.#roomForMore(ownLog)
      },
      defer: this.#ports.defer,
      onFatal: (error) => this.#fatal(error)
    })
  }

  /** Undefined when nothing has to wait: neither the peers' queues nor the hypercore's are full. */
  #roomForMore(ownLog: ReplicaOwnLog): Promise<void> | undefined {
    const full = this.peers.connected().filter((m) => !this.peers.controlHasRoom(m))
    if (full.length === 0 && ownLog.hasRoom) return undefined
    const waits = full.map((m) => this.peers.controlDrained(m))
    return Promise.all([...waits, ownLog.room()]).then(() => undefined)
  }

  #makeIntake(): Intake {
    const { journal, segments } = this.#ports
    return new Intake({
      admission: this.admission,
      journal: (entries) => {
        journal.append(entries)
      },
      segments,
      state: this.#components.state,
      shelf: this.#shelf,
      recent: this.#recent,
      slices: this.#slices,
      self: this.self,
      onVoid: (entry, sealed) => this.#components.onVoid(entry, sealed),
      logger: this.#components.logger,
      nowMs: () => this.#components.clock.monotonicMs(),
      flushOwn: () => this.#localLog.flush(),
      onApplied: (items) => this.#onApplied(items),
      defer: this.#ports.defer,
      onFatal: (error) => this.#fatal(error)
    })
  }

  #makeTokens(options: ReplicaOptions): TokenNode {
    const { clock, dropCaches, logger, isDirectory } = this.#components
    return new TokenNode(
      {
        clock,
        flush: () => {
          this.#localLog.flush()
          return this.#liveVector(this.admission.applied)
        },
        waitApplied: (vector) => this.#waits.wait(vector),
        dropCaches,
        onFatal: (error) => this.#fatal(error),
        sendPacket: (to, epoch, body) => {
          this.peers.sendControl(to, { type: 'token', epoch, body })
        },
        onViolation: (member, reason) => {
          logger.error({ member, reason }, 'token protocol broken: connection cut')
          this.peers.cut(member, reason)
        }
      },
      { member: this.self, minHoldMs: options.minHoldMs, isDirectory, ...TOKEN_BOUNDS }
    )
  }

  #makeLocks(): LockNode {
    const { clock, logger, onLocksLost } = this.#components
    return new LockNode(
      {
        clock,
        onLost: onLocksLost,
        sendPacket: (to, epoch, body) => {
          this.peers.sendControl(to, { type: 'lock', epoch, body })
        },
        onViolation: (member, reason) => {
          logger.error({ member, reason }, 'lock protocol broken: connection cut')
          this.peers.cut(member, reason)
        }
      },
      { member: this.self }
    )
  }

  #makeFollower(): LogFollower {
    return new LogFollower({
      logs: this.#ports.logs,
      shelf: this.#shelf,
      self: this.self,
      appliedOf: (writer) => this.admission.appliedOf(writer),
      waitApplied: (vector) => this.#waits.wait(vector),
      logger: this.#components.logger,
      onDivergence: (error) => this.#fatal(error)
    })
  }

  #makeMembership(options: ReplicaOptions): Membership {
    const { volume, clock, logger, onEnded } = this.#components
    const leaseOptions = { ...LEASE_DEFAULTS, isolationMs: options.isolationMs }
    const leads = volume.record.authority === this.self
    const notes = new NoteWatch((member) => this.#tokens.notePosition(member), leaseOptions)
    return new Membership(
      {
        self: this.self,
        writer: this.writer,
        coreKey: this.#ports.ownLog.key.toString('hex'),
        links: this.peers,
        catchUp: this.catchUp,
        admission: this.admission,
        clock,
        logger,
        lease: new Lease(leaseOptions),
        promises: new LeasePromises(leaseOptions),
        ...(leads ? { epochs: new EpochAuthority(volume.record, this.self) } : {}),
        held: () => (this.#replayed ? this.admission.applied : this.#ports.held),
        heartbeat: () => this.#heartbeat(),
        saveRecord: this.#ports.saveRecord,
        onRecord: (record) => this.#onRecord(record),
        replay: () => this.#replay(),
        seal: () => this.#seal(),
        serve: (record) => this.#serve(record),
        sync: () => this.#localSync.sync(),
        limitIntake: (limit) => {
          this.admission.limitTo(limit)
          this.#intake.pump()
        },
        waitApplied: (vector) => this.#waits.wait(vector),
        ownsUpToNotes: (member, nowMs) => notes.keepsUp(member, nowMs),
        onEnded,
        onFatal: (error) => this.#fatal(error)
      },
      leaseOptions
    )
  }

  #makeReaper(): Reaper {
    return new Reaper({
      self: this.self,
      record: () => this.record,
      others: () => this.record.live.map(memberOf).filter((m) => m !== this.self),
      orphans: () => this.#components.state.orphans(),
      closeForGood: this.#components.closeForGood,
      send: (member, message) => {
        this.peers.sendControl(member, message)
      },
      waitApplied: (vector) => this.#waits.wait(vector),
      reap: async (inos) => {
        if (this.membership.phase !== 'live') return
        const living = new Set(this.#components.state.orphans())
        const gone = inos.filter((ino) => living.has(ino))
        await Promise.all(gone.map((ino) => this.submit({ type: 'reap', ino })))
        this.#components.forgetReaped(inos)
      }
    })
  }

  #makeUpkeep(): Upkeep {
    const { state, checkpoint, clock, logger } = this.#components
    const { journal, segments, logs } = this.#ports
    return new Upkeep(
      {
        state,
        journal,
        segments,
        checkpoint,
        flushLogs: async () => {
          await logs.flush()
        },
        sync: this.#localSync,
        applied: () => this.admission.applied,
        epoch: () => this.record.epoch,
        checkpointedEverywhere: (vector) => this.#isCheckpointed(vector),
        isSpaceShort: () => this.#space.isShort,
        clock,
        logger,
        onFatal: (error) => this.#fatal(error)
      },
      UPKEEP_DEFAULTS
    )
  }

  #makeInvitations(): Invitations | undefined {
    const { volume, clock, logger } = this.#components
    if (volume.record.authority !== this.self) return undefined
    const { discovery } = volume.settings
    return new Invitations(
      {
        keyPair: volume.keyPair,
        record: () => this.record,
        book: volume.invites,
        saveBook: this.#ports.saveInvites,
        admit: (member: MemberInfo) => this.changeMembers({ kind: 'add', member }),
        clock,
        logger
      },
      discovery ? { discovery } : {}
    )
  }

  #makeConnections(): ReplicaConnections {
    const { logger } = this.#components
    const router = new Router({
      peers: this.peers,
      membership: this.membership,
      intake: this.#intake,
      catchUp: this.catchUp,
      slices: this.#slices,
      tokens: this.#tokens,
      locks: this.#locks,
      survey: this.survey,
      logger,
      onHeartbeat: (from, message) => {
        this.#space.heard(from, message.space)
        const { checkpointed: applied, checkpointEpoch: epoch } = message
        this.#checkpointedBy.set(from, { epoch, applied })
      },
      onAck: (from, message) => {
        this.catchUp.heard(from, message.received)
        this.durability.acknowledged(from, message.durable)
      },
      onSync: (from, vector) => this.#onSync(from, vector),
      onOrphanQuery: (from, message) => {
        if (message.epoch !== this.record.epoch || from !== this.record.authority) return
        const closed = this.#components.closeForGood(message.inos)
        this.#localLog.flush()
        const applied = this.#liveVector(this.admission.applied)
        const { epoch, query } = message
        this.peers.sendControl(from, { type: 'orphan-answer', epoch, query, closed, applied })
      },
      onOrphanAnswer: (from, message) => {
        this.#reaper.onAnswer(from, message).catch((error: unknown) => this.#reapFailed(error))
      },
      replicateLogs: (stream) => this.#ports.logs.replicate(stream)
    })
    const joinGate = this.#invitations
    return this.#ports.connect({ handlers: router, record: () => this.record, joinGate })
  }

  #replay(): void {
    const { journal } = this.#ports
    let entries = 0
    for (const { entry } of journal.entries()) {
      this.#intake.replay(entry)
      entries++
    }
    this.#replayed = true
    this.#waits.settle()
    this.#components.logger.info({ entries }, 'journal replayed')
    this.#upkeep.start()
  }

  async #seal(): Promise<void> {
    await this.#tokens.seal()
    this.#localLog.flush()
    this.#localLog.setWritable(false)
  }

  #serve(record: EpochRecord): void {
    this.#reaper.reset()
    const { epoch, authority } = record
    const members = record.live.map(memberOf)
    this.#tokens.startEpoch({ epoch, authority, members })
    this.#locks.startEpoch({ epoch, authority, members })
    this.#localLog.setWritable(true)
    this.#components.onLive()
    this.#invitations?.recover().catch((error: unknown) => {
      this.#components.logger.error(
        { error },
        'an admitted member could not be put into the record'
      )
    })
  }

  #onRecord(record: EpochRecord): void {
    // Every member of the in-sync set held up to the cuts, durably, before the record was made.
    const cuts = new Map(record.history.at(-1)?.cuts ?? [])
    for (const member of record.inSync) this.durability.acknowledged(member, cuts)
    this.durability.setInSync(record.inSync)
    this.#connections.membersChanged()
    this.#space.keepOnly(record.live.map(memberOf))
    void this.#follower.follow(record)
    if (this.#replayed) this.#intake.pump()
    for (const change of this.#memberChanges.splice(0)) {
      if (change.record()) change.resolve()
      else this.#memberChanges.push(change)
    }
  }

  #onApplied(items: readonly Admitted[]): void {
    const reaped: Ino[] = []
    for (const { entry } of items) {
      this.#ackTo.add(memberOf(entry.writer))
      for (const op of entry.ops) if (op.type === 'reap') reaped.push(op.ino)
    }
    if (reaped.length > 0) this.#components.forgetReaped(reaped)
    this.#waits.settle()
    // Nobody waits for `received` alone: it goes with the next thing said, or a little later.
    this.#ackLater ??= this.#components.clock.setTimer(ACK_MS, () => this.#sendAcks())
  }

  #onDurable(vector: Vector): void {
    this.durability.acknowledged(this.self, this.#liveVector(vector))
    for (const member of this.peers.connected()) this.#ackTo.add(member)
    this.#ackScheduled ??= this.#ports.defer(() => this.#sendAcks())
  }

  #sendAcks(): void {
    this.#ackScheduled = undefined
    this.#ackLater?.cancel()
    this.#ackLater = undefined
    const received = this.#liveVector(this.admission.applied)
    const durable = this.#liveVector(this.durability.durableOf(this.self))
    for (const member of this.#ackTo) {
      this.peers.sendControl(member, { type: 'ack', received, durable })
    }
    this.#ackTo.clear()
  }

  #onSync(from: MemberId, vector: Vector): void {
    this.#waits
      .wait(vector)
      .then(() => this.#localSync.sync())
      .then(() => {
        this.#ackTo.add(from)
        this.#ackScheduled ??= this.#ports.defer(() => this.#sendAcks())
      })
      .catch((error: unknown) => {
        if (!this.#closed) this.#components.logger.warn({ from, error }, 'sync for a peer failed')
      })
  }

  #heartbeat(): Parameters<Membership['onHeartbeat']>[1] extends infer M
    ? Omit<M, 'type' | 'sentMs' | 'epoch'>
    : never {
    const { applied, epoch } = this.#upkeep.checkpointed
    return {
      applied: this.#liveVector(this.admission.applied),
      checkpointed: this.#liveVector(applied),
      checkpointEpoch: epoch,
      space: this.#space.local,
      missingSlices: 0
    }
  }

  /** True when every live member has a durable checkpoint of this epoch that covers the vector. */
  #isCheckpointed(vector: Vector): boolean {
    const live = this.#liveVector(vector)
    return this.record.live.map(memberOf).every((member) => {
      const position =
        member === this.self ? this.#upkeep.checkpointed : this.#checkpointedBy.get(member)
      return position?.epoch === this.record.epoch && vectorCovers(position.applied, live)
    })
  }

  #liveVector(vector: Vector): Map<WriterId, Seq> {
    const live = new Map<WriterId, Seq>()
    for (const writer of this.record.live) live.set(writer, (vector.get(writer) ?? 0) as Seq)
    return live
  }

  #beat(): void {
    if (this.#closed) return
    this.#every(BEAT_MS, () => {
      this.#intake.chase()
      if (this.durability.waiting === 0) return
      const vector = this.#liveVector(this.admission.applied)
      for (const member of this.durability.missing(vector)) {
        if (member !== this.self) this.peers.sendControl(member, { type: 'sync', vector })
      }
    })
  }

  #reapLater(): void {
    if (!this.membership.isAuthority) return
    this.#every(REAP_MS, () => {
      if (this.membership.phase !== 'live') return
      this.#reaper.round().catch((error: unknown) => this.#reapFailed(error))
    })
  }

  #reapFailed(error: unknown): void {
    this.#reaper.reset()
    if (!this.#closed) this.#components.logger.warn({ error }, 'orphans could not be removed')
  }

  #every(delayMs: number, work: () => void): void {
    const slot = this.#timers.length
    const again = (): void => {
      if (this.#closed) return
      work()
      this.#timers[slot] = this.#components.clock.setTimer(delayMs, again)
    }
    this.#timers.push(this.#components.clock.setTimer(delayMs, again))
  }

  #fatal(reason: unknown): void {
    if (this.#closed) return
    this.#components.onFatal(reason instanceof Error ? reason : new Error(String(reason)))
  }
}

function openConnections(components: OpenComponents, owner: ConnectionsOwner): ReplicaConnections {
  const { volume, clock, logger, random, alternative } = components
  const { handlers, record, joinGate } = owner
  return new Connections(
    {
      keyPair: volume.keyPair,
      record,
      handlers,
      clock,
      logger,
      random,
      ...(joinGate ? { joinGate } : {}),
      ...(alternative ? { alternative } : {})
    },
    { self: volume.self.id, listen: volume.settings.listen, reserveDialMs: RESERVE_DIAL_MS }
  )
}
