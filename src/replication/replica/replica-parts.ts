/**
 * The parts of a replica and how they know each other. Each part is told only what it needs; what
 * the incarnation as a whole does at a turn of its life (`ReplicaLife`) is in replica.ts.
 *
 * Order: a part is made after those it holds; what it only calls later may be made after it.
 */
import type { Ino, MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { Admitted } from '../admission.ts'
import { Admission } from '../admission.ts'
import { BeatClock } from '../beat-clock.ts'
import { Hearing } from '../hearing.ts'
import { LEASE_DEFAULTS, Lease, LeasePromises } from '../lease.ts'
import type { LockNode } from '../lock/lock-node.ts'
import type { EpochRecord, MemberInfo } from '../record.ts'
import { RegisterNode } from '../register/register-node.ts'
import { RoundTrips } from '../round-trips.ts'
import type { TokenNode } from '../token/token-node.ts'
import type { Vector } from '../vector.ts'
import { Invitations } from '../volume/invitations.ts'
import { AppliedWaits } from './applied-waits.ts'
import { CatchUp } from './catch-up.ts'
import { ClusterSpace } from './cluster-space.ts'
import { makeLockNode, makeTokenNode } from './coherence-nodes.ts'
import { DataParts } from './data-parts.ts'
import { DurableParts } from './durable-parts.ts'
import { InodeNumbers } from './inode-numbers.ts'
import { Intake } from './intake.ts'
import { LagWatch } from './lag-watch.ts'
import { liveVector } from './live-vector.ts'
import { LocalLog } from './local-log.ts'
import { LockSurvey } from './lock-survey.ts'
import { LogFollower } from './log-follower.ts'
import { MemberChanges } from './member-changes.ts'
import { Membership } from './membership.ts'
import type { MembershipComponents } from './membership-components.ts'
import { NoteWatch } from './note-watch.ts'
import { OrphanRemoval } from './orphan-removal.ts'
import { Peers } from './peers.ts'
import { Publication } from './publication.ts'
import { PublishedEntries } from './published-entries.ts'
import { RecentEntries } from './recent-entries.ts'
import { allCuts } from './record-cuts.ts'
import type { ReplicaComponents, ReplicaOptions } from './replica-components.ts'
import type { ReplicaConnections, ReplicaPorts } from './replica-ports.ts'
import { Router } from './router.ts'

const RECENT_BYTES_MAX = 4 * 1024 * 1024

/** What the incarnation as a whole does when a part says so. */
export interface ReplicaLife
  extends Pick<
    MembershipComponents,
    'held' | 'lacksState' | 'onRecord' | 'replay' | 'seal' | 'serve'
  > {
  readonly reportDamage: (text: string) => void
  readonly onFatal: (reason: unknown) => void
}

export class ReplicaParts {
  readonly peers: Peers
  readonly recent = new RecentEntries({ bytesMax: RECENT_BYTES_MAX })
  readonly roundTrips: RoundTrips
  readonly #hearing = new Hearing(LEASE_DEFAULTS)
  readonly admission: Admission
  readonly waits: AppliedWaits
  readonly inos: InodeNumbers
  readonly space: ClusterSpace
  readonly data: DataParts
  readonly localLog: LocalLog
  readonly intake: Intake
  readonly durable: DurableParts
  readonly tokens: TokenNode
  readonly locks: LockNode
  readonly survey: LockSurvey
  readonly follower: LogFollower
  readonly catchUp: CatchUp
  readonly lags: LagWatch
  readonly membership: Membership
  readonly register: RegisterNode
  readonly memberChanges: MemberChanges
  readonly orphans: OrphanRemoval
  readonly invitations: Invitations
  readonly connections: ReplicaConnections
  /** For what is done regularly, heartbeats apart. */
  readonly beatClock: BeatClock
  readonly #components: ReplicaComponents
  readonly #ports: ReplicaPorts
  readonly #life: ReplicaLife
  readonly #self: MemberId
  readonly #published: PublishedEntries
  readonly #record = (): EpochRecord => this.admission.record

  constructor(
    components: ReplicaComponents,
    options: ReplicaOptions,
    ports: ReplicaPorts,
    life: ReplicaLife
  ) {
    const { volume, state, clock } = components
    this.#components = components
    this.#ports = ports
    this.#life = life
    this.#self = volume.self.id
    this.beatClock = new BeatClock({ clock }, { periodMs: LEASE_DEFAULTS.heartbeatMs })
    this.peers = new Peers({
      clock,
      beforeSaid: () => this.localLog.flush(),
      noteTraffic: components.noteTraffic
    })
    this.roundTrips = new RoundTrips({ clock })
    this.admission = new Admission({ record: volume.record, ...state.position() })
    this.waits = new AppliedWaits(() => this.admission.applied)
    this.inos = new InodeNumbers({ directory: ports.inoRanges, member: this.#self })
    this.space = new ClusterSpace({
      local: () => ports.segments.freeSpace(),
      nowMs: () => clock.monotonicMs()
    })
    this.#published = new PublishedEntries(ports)
    this.data = this.#makeDataParts()
    this.localLog = this.#makeLocalLog()
    this.intake = this.#makeIntake()
    this.durable = this.#makeDurableParts()
    this.tokens = this.#makeTokens(options)
    this.locks = this.#makeLocks()
    this.survey = new LockSurvey({
      links: this.peers,
      clock,
      self: this.#self,
      list: () => this.locks.list(),
      commandOf: components.commandOf
    })
    this.follower = this.#makeFollower()
    this.catchUp = this.#makeCatchUp()
    this.lags = new LagWatch({
      record: this.#record,
      applied: () => this.admission.applied,
      heldBy: (member) => this.catchUp.heldBy(member),
      ownLag: () => this.catchUp.lag(),
      stateLeftBytes: () => this.data.bytesLeft,
      recent: this.recent,
      nowMs: () => clock.monotonicMs()
    })
    this.register = this.#makeRegister()
    this.membership = this.#makeMembership(options)
    this.memberChanges = new MemberChanges({
      record: this.#record,
      propose: (change) => this.membership.proposeChange(change),
      clock
    })
    this.orphans = this.#makeOrphanRemoval()
    this.invitations = this.#makeInvitations()
    this.connections = this.#makeConnections()
  }

  #makeDataParts(): DataParts {
    const { state, clock, logger } = this.#components
    const { segments, due, exchange } = this.#ports
    const { reportDamage, onFatal } = this.#life
    return new DataParts({
      state,
      clock,
      logger,
      segments,
      due,
      exchange,
      self: this.#self,
      admission: this.admission,
      peers: this.peers,
      space: this.space,
      heldBy: (member) => this.catchUp.heldBy(member),
      onArrived: () => this.intake.pump(),
      onAppliedDead: () => this.durable.onAppliedDead(),
      mayGiveState: () => this.membership.phase === 'live' && this.durable.upkeep.hasCommitted,
      onStateReceived: () => this.membership.onStateReceived(),
      onDamage: reportDamage,
      onFatal
    })
  }

  #makeLocalLog(): LocalLog {
    const { journal, openEntry, ownLog, writer, defer } = this.#ports
    const { onFatal } = this.#life
    const publication = new Publication({
      peers: this.peers,
      knows: (member) => this.membership.knows(member),
      ownLog,
      recent: this.recent,
      waits: this.waits,
      onFatal
    })
    ownLog.watch((seq, signature) => {
      for (const member of this.peers.connected()) {
        if (!this.membership.knows(member)) continue
        this.peers.sendControl(member, { type: 'signed', writer, seq, signature })
      }
    })
    return new LocalLog({
      writer,
      state: this.#components.state,
      admission: this.admission,
      journal: (entry) => {
        journal.append([entry])
      },
      openEntry,
      publish: (entry) => publication.publish(entry),
      defer,
      clock: this.#components.clock,
      onFatal
    })
  }

  #makeIntake(): Intake {
    const { journal, segments, shelf, logs } = this.#ports
    const { state, clock, logger } = this.#components
    return new Intake({
      admission: this.admission,
      journal: (entries) => {
        journal.append(entries)
      },
      segments,
      state,
      shelf,
      isInOwnLog: (writer, seq) => seq <= (logs.own(writer)?.length ?? 0),
      recent: this.recent,
      slices: this.data.slices,
      self: this.#self,
      onVoid: (entry, sealed) => this.#components.onVoid(entry, sealed),
      logger,
      nowMs: () => clock.monotonicMs(),
      flushOwn: () => this.localLog.flush(),
      onApplied: (items) => this.#onApplied(items),
      later: (work) => clock.setTimer(0, work),
      onFatal: this.#life.onFatal
    })
  }

  #makeDurableParts(): DurableParts {
    const { volume, state, checkpoint, clock, logger } = this.#components
    const { journal, segments, defer } = this.#ports
    return new DurableParts({
      state,
      checkpoint,
      clock,
      beatClock: this.beatClock,
      logger,
      journal,
      segments,
      published: this.#published,
      defer,
      self: this.#self,
      inSync: volume.record.inSync,
      admission: this.admission,
      peers: this.peers,
      waits: this.waits,
      space: this.space,
      slices: this.data.slices,
      mayPunch: () => !this.data.lacksData && this.membership.phase !== 'ended',
      localLog: this.localLog,
      onFatal: this.#life.onFatal
    })
  }

  #makeTokens(options: ReplicaOptions): TokenNode {
    const { clock, logger, dropCaches, isDirectory } = this.#components
    return makeTokenNode(
      {
        self: this.#self,
        peers: this.peers,
        clock,
        logger,
        flush: () => this.#flushedApplied(),
        waitApplied: (vector) => (this.waits.isOver(vector) ? undefined : this.waits.wait(vector)),
        dropCaches,
        isDirectory,
        onFatal: this.#life.onFatal
      },
      options
    )
  }

  #makeLocks(): LockNode {
    const { clock, logger, onLocksLost: onLost } = this.#components
    const { peers, tokens } = this
    return makeLockNode({ self: this.#self, peers, clock, logger, tokens, onLost })
  }

  #makeFollower(): LogFollower {
    const { logs, shelf } = this.#ports
    return new LogFollower({
      logs,
      shelf,
      published: this.#published,
      self: this.#self,
      appliedOf: (writer) => this.admission.appliedOf(writer),
      waitApplied: (vector) => this.waits.wait(vector),
      logger: this.#components.logger,
      onDivergence: this.#life.onFatal
    })
  }

  #makeCatchUp(): CatchUp {
    const { clock, logger } = this.#components
    return new CatchUp({
      admission: this.admission,
      intake: this.intake,
      links: this.peers,
      recent: this.recent,
      shelf: this.#ports.shelf,
      clock,
      logger,
      self: this.#self,
      readBlock: (writer, seq) => this.follower.read(writer, seq),
      onMalformed: (from, error) => {
        logger.error({ member: from, error }, 'malformed entries')
        this.peers.cut(from, `malformed message: ${error.message}`)
      }
    })
  }

  #makeRegister(): RegisterNode {
    const { clock, logger, random, volume } = this.#components
    return new RegisterNode(
      {
        self: this.#self,
        record: this.#record,
        voterState: volume.voter,
        saveVoter: this.#ports.saveVoter,
        onPending: (pending) => this.admission.limitToPending(pending && allCuts(pending)),
        links: this.peers,
        clock,
        random,
        logger,
        isDeaf: (member) => this.#hearing.isDeaf(member),
        mayCampaign: () => this.membership.mayCampaign(),
        onChosen: (record) => this.membership.onChosen(record),
        onElected: () => this.membership.onElected(),
        onDeposed: () => this.membership.onDeposed()
      },
      LEASE_DEFAULTS
    )
  }

  #makeMembership(options: ReplicaOptions): Membership {
    const { clock, logger, onEnded } = this.#components
    const { held, lacksState, onRecord, replay, seal, serve, onFatal } = this.#life
    const leaseOptions = { ...LEASE_DEFAULTS, isolationMs: options.isolationMs }
    const notes = new NoteWatch((member) => this.tokens.notePosition(member), leaseOptions)
    return new Membership(
      {
        self: this.#self,
        writer: this.#ports.writer,
        coreKey: this.#ports.ownLog.key.toString('hex'),
        links: this.peers,
        catchUp: this.catchUp,
        admission: this.admission,
        clock,
        logger,
        lease: new Lease(leaseOptions),
        promises: new LeasePromises(leaseOptions),
        register: this.register,
        isDeaf: (member) => this.#hearing.isDeaf(member),
        held,
        heartbeat: (to) => this.#heartbeat(to),
        saveRecord: this.#ports.saveRecord,
        lacksState,
        passedEpoch: () => this.durable.upkeep.checkpointed.epoch,
        fetchState: () => this.data.transfer.start(),
        lacksData: () => this.data.lacksData,
        onRecord,
        replay,
        seal,
        serve,
        sync: () => this.durable.localSync.sync(),
        limitIntake: (limit) => {
          this.admission.limitTo(limit)
          this.intake.pump()
        },
        fetchSlices: () => this.intake.fetchSlices(),
        waitApplied: (vector) => this.waits.wait(vector),
        missingBytes: (limit) => this.intake.missingBytes(limit),
        ownsUpToNotes: (member, nowMs) => notes.keepsUp(member, nowMs),
        onBeat: () => this.beatClock.beat(),
        onEnded,
        onFatal
      },
      leaseOptions
    )
  }

  #makeOrphanRemoval(): OrphanRemoval {
    const { state, closeForGood, forgetReaped, logger } = this.#components
    return new OrphanRemoval({
      self: this.#self,
      record: this.#record,
      isLive: () => this.membership.phase === 'live',
      state,
      links: this.peers,
      closeForGood,
      forgetReaped,
      submit: (op) => this.localLog.submit(op),
      flushedApplied: () => this.#flushedApplied(),
      waitApplied: (vector) => this.waits.wait(vector),
      logger
    })
  }

  #makeInvitations(): Invitations {
    const { volume, clock, logger } = this.#components
    const { discovery } = volume.settings
    return new Invitations(
      {
        keyPair: volume.keyPair,
        record: this.#record,
        book: volume.invites,
        saveBook: this.#ports.saveInvites,
        admit: (member: MemberInfo) => this.memberChanges.make({ kind: 'add', member }),
        clock,
        logger
      },
      discovery ? { discovery } : {}
    )
  }

  #makeConnections(): ReplicaConnections {
    const { connect, logs } = this.#ports
    const handlers = new Router({
      peers: this.peers,
      membership: this.membership,
      register: this.register,
      intake: this.intake,
      catchUp: this.catchUp,
      data: this.data,
      tokens: this.tokens,
      locks: this.locks,
      survey: this.survey,
      roundTrips: this.roundTrips,
      hearing: this.#hearing,
      logger: this.#components.logger,
      noteTraffic: this.#components.noteTraffic,
      onHeartbeat: (from, message) => {
        // A witness has neither room nor checkpoints.
        if (!this.membership.knows(from)) return
        this.space.heard(from, message.space)
        this.durable.checkpoints.heard(from, message)
      },
      onAck: (from, message) => {
        this.catchUp.heard(from, message.received)
        this.durable.durability.acknowledged(from, message.durable)
      },
      onSigned: ({ writer, seq, signature }) => {
        // The signature is part of a big receive buffer, and waits.
        this.follower.signed(writer, seq, Buffer.from(signature)).catch(this.#life.onFatal)
      },
      onSync: (from, vector) => this.durable.clusterSync.onSync(from, vector),
      onOrphanQuery: (from, message) => this.orphans.onQuery(from, message),
      onOrphanAnswer: (from, message) => this.orphans.onAnswer(from, message),
      replicateLogs: (stream) => logs.replicate(stream)
    })
    return connect({ handlers, record: this.#record, joinGate: this.invitations })
  }

  #heartbeat(to: MemberId): ReturnType<MembershipComponents['heartbeat']> {
    return {
      applied: this.#liveApplied(),
      ...this.durable.checkpoints.news(),
      space: this.space.local,
      stamp: this.roundTrips.stamp(to)
    }
  }

  #onApplied(items: readonly Admitted[]): void {
    const reaped: Ino[] = []
    for (const { entry } of items) {
      for (const op of entry.ops) if (op.type === 'reap') reaped.push(op.ino)
    }
    if (reaped.length > 0) this.#components.forgetReaped(reaped)
    this.waits.settle()
    // Nobody waits for `received` alone: it goes with the next thing said, or a little later.
    this.durable.acknowledgements.later(items.map(({ entry }) => memberOf(entry.writer)))
  }

  #liveApplied(): Map<WriterId, Seq> {
    return liveVector(this.#record(), this.admission.applied)
  }

  /** Own ops gathered so far get their entry first. */
  #flushedApplied(): Vector {
    this.localLog.flush()
    return this.#liveApplied()
  }
}
