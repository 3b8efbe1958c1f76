/**
 * A simulated cluster of real replicas on toy disks, a toy network and virtual time. One seed draws
 * everything: parameters, workload, faults. After the last fault everything is healed and the
 * cluster has to come together: all members live, all equal, all as promised.
 */

import type { LogFields, Logger } from '../../src/fs/ports/logger.ts'
import type { Epoch, Incarnation, Ino, MemberId, Seq, WriterId } from '../../src/fs/primitives.ts'
import { makeWriterId } from '../../src/fs/primitives.ts'
import type { SealedEntry } from '../../src/replication/entry.ts'
import { encodeControl } from '../../src/replication/message-codec.ts'
import type { EpochRecord, MemberInfo } from '../../src/replication/record.ts'
import { isForgotten } from '../../src/replication/record-history.ts'
import { NO_BALLOT } from '../../src/replication/register/ballot.ts'
import type { VoterState } from '../../src/replication/register/voter.ts'
import type { Replica } from '../../src/replication/replica/replica.ts'
import type { FramedKind } from '../../src/replication/transport/peer-connection.ts'
import { vectorCovers, vectorEquals } from '../../src/replication/vector.ts'
import { Aftermath, PATIENCE_US } from './cluster-aftermath.ts'
import type { Disk } from './cluster-disk.ts'
import { checkAtCuts, checkPruned, checkPunched, checkUnshelved } from './cluster-disk-checks.ts'
import { KilledError, LivenessError, SafetyError, type SimProcess } from './cluster-faults.ts'
import { ClusterLedger } from './cluster-ledger.ts'
import { ClusterLocks } from './cluster-locks.ts'
import { blockOn } from './cluster-logs.ts'
import { SimMember } from './cluster-member.ts'
import { Nemesis } from './cluster-nemesis.ts'
import type { ClusterParameters } from './cluster-parameters.ts'
import { drawClusterParameters, firstRecord, KINDS } from './cluster-parameters.ts'
import { ChosenRecords } from './cluster-register.ts'
import { Repeats } from './cluster-repeats.ts'
import { type Image, writtenValue } from './cluster-state.ts'
import { SimWitness } from './cluster-witness.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { Settling } from './settling.ts'
import { Trace } from './trace.ts'

interface Packet {
  readonly type: number
  readonly body: Buffer
}

export interface ClusterHooks {
  readonly nextIncarnation: (disk: Disk) => number
  readonly nextInoRange: (disk: Disk) => number
}

const HONEST: ClusterHooks = {
  nextIncarnation: (disk) => ++disk.incarnation,
  nextInoRange: (disk) => ++disk.inoRange
}

export interface ClusterOptions {
  readonly seed: number
  /** Faults at most. */
  readonly steps: number
  readonly hooks?: Partial<ClusterHooks>
  /** In the place of what is drawn. */
  readonly parameters?: Partial<ClusterParameters>
  readonly keepLines?: number
}

export interface ClusterResult {
  readonly hash: string
  readonly events: number
  readonly counters: Readonly<Record<string, number>>
}

const SECOND_US = 1_000_000
const SEAL_TYPE = encodeControl({
  ...{ type: 'seal', ballot: NO_BALLOT, epoch: 1 as Epoch, round: 1, cuts: new Map() }
}).type
const EVENTS_MAX = 800_000
const INO_BASE = 1000

export class ClusterWorld {
  readonly scheduler = new Scheduler()
  readonly random: Random
  readonly parameters: ClusterParameters
  readonly ledger = new ClusterLedger()
  readonly locks = new ClusterLocks()
  readonly hooks: ClusterHooks
  readonly #trace: Trace
  readonly #members = new Map<MemberId, SimMember>()
  readonly #witnesses: SimWitness[] = []
  readonly #chosen: ChosenRecords
  readonly #networks: Record<FramedKind, Network<Packet>>
  readonly #counters = new Map<string, number>()
  readonly #nemesis: Nemesis
  readonly #repeats = new Repeats(this)
  readonly #steps: number
  readonly #settling = new Settling()
  #failure: Error | undefined
  #over = false
  /** What was begun before the end is done or has failed. */
  #isQuiet = false
  #events = 0

  constructor(options: ClusterOptions) {
    this.random = new Random(options.seed)
    this.parameters = { ...drawClusterParameters(this.random), ...options.parameters }
    this.hooks = { ...HONEST, ...options.hooks }
    this.#steps = this.random.between(0, options.steps)
    this.#trace = new Trace(options.keepLines)
    this.#networks = { control: this.#makeNetwork('control'), bulk: this.#makeNetwork('bulk') }
    const record = firstRecord(this.parameters)
    this.ledger.onRecord(record)
    this.#chosen = new ChosenRecords(record)
    for (const info of record.members) this.#add(info, record)
    this.#nemesis = new Nemesis(this, () => new Aftermath(this, this.#nemesis).begin())
  }

  #add({ id, role }: MemberInfo, record: EpochRecord): SimNode {
    const { isolationMs, minHoldMs, clients, driftMax } = this.parameters
    const clockRate = 1 - driftMax + 2 * driftMax * this.random.share()
    if (role === 'witness') {
      const witness = new SimWitness(this, id, record, { clockRate })
      this.#witnesses.push(witness)
      return witness
    }
    const member = new SimMember(this, id, record, { isolationMs, minHoldMs, clients, clockRate })
    this.#members.set(id, member)
    return member
  }

  /** The data members, also those that were removed. */
  members(): SimMember[] {
    return [...this.#members.values()]
  }

  get lines(): readonly string[] {
    return this.#trace.lines
  }

  /** The programs may stop. */
  get isOver(): boolean {
    return this.#over
  }

  network(kind: FramedKind): Network<Packet> {
    return this.#networks[kind]
  }

  /** What a program does next waits for so long; when the faults are over there is less to do. */
  thinkUs(): number {
    const { thinkMaxUs } = this.parameters
    return this.random.below(this.#nemesis.isAtWork ? thinkMaxUs : 3 * thinkMaxUs)
  }

  pickIno(): Ino {
    return (INO_BASE + this.random.below(this.parameters.inos)) as Ino
  }

  count(what: string): void {
    this.#counters.set(what, (this.#counters.get(what) ?? 0) + 1)
  }

  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error))
  }

  /** `process`: what is killed need not end its work. */
  background(work: Promise<unknown>, process?: SimProcess): void {
    work.catch((error: unknown) => {
      if (!process?.isDead) this.fail(error)
    })
  }

  note(line: string): void {
    this.#trace.add(`${(this.scheduler.nowUs / 1000).toFixed(1)} ${line}`)
  }

  logger(id: MemberId): Logger {
    const log = (fields: LogFields, message: string): void => {
      this.note(`${id}: ${message} ${describe(fields)}`)
    }
    const logger: Logger = {
      debug: () => {},
      info: log,
      warn: log,
      error: log,
      child: () => logger
    }
    return logger
  }

  /** A block of a hypercore from any member in reach. */
  downloadBlock(id: MemberId, writer: WriterId, seq: Seq): Buffer | undefined {
    for (const other of this.#members.values()) {
      if (!this.#networks.control.isConnected(id, other.id) || !other.process) continue
      const block = blockOn(other.disk, writer, seq)
      if (block) return block
    }
    return undefined
  }

  /** What was sent still arrives. */
  finishAll(id: MemberId): void {
    for (const other of this.nodes()) {
      for (const kind of KINDS) this.#networks[kind].finish(id, other.id)
    }
  }

  disconnectAll(id: MemberId): void {
    for (const other of this.nodes()) {
      for (const kind of KINDS) this.#networks[kind].disconnect(id, other.id)
    }
  }

  /** What a member says to another one. */
  onControlSent(from: MemberId, to: MemberId, { type, body }: Packet): void {
    if (type === SEAL_TYPE) this.#nemesis.onSeal(from, to)
    if (this.parameters.repeats > 0) this.#repeats.onSent({ from, to, type, body })
  }

  onRecordSaved(id: MemberId, record: EpochRecord): void {
    this.#guard(() => this.#chosen.onBelieved(id, record))
  }

  /** Durable on return, or the process is killed before or after. */
  saveVoter(node: SimNode, process: SimProcess, state: VoterState): void {
    if (process.isDead) throw new KilledError('a dead process saves nothing')
    const dies = this.#nemesis.isAtWork && this.random.chance(this.parameters.dieAtSave)
    if (!dies || this.random.chance(0.5)) {
      node.disk.voter = state
      this.#guard(() => {
        const record = this.#chosen.onSaved(node.id, state)
        if (record) this.#onChosen(record)
      })
    }
    if (!dies) return
    this.#nemesis.crash(node, false, this.random.below(3 * SECOND_US))
    throw new KilledError('killed while it saved what it promised')
  }

  #onChosen(record: EpochRecord): void {
    this.note(`record ${JSON.stringify({ ...record, members: 0, writers: record.writers })}`)
    this.count('epochs')
    if (record.authority !== this.ledger.record?.authority) this.count('takeovers')
    for (const info of record.members) {
      if (this.nodes().some(({ id }) => id === info.id)) continue
      this.count('added')
      const node = this.#add(info, record)
      this.scheduler.after(this.random.below(SECOND_US), () => node.boot())
    }
    this.#guard(() => {
      this.ledger.onRecord(record)
      if (record.forgotten > 0) this.count('forgotten')
      for (const member of this.#members.values()) {
        this.#checkRemembered(member, record)
        if (record.inSync.includes(member.id)) checkAtCuts(member, record, this.ledger)
        const { replica } = member
        if (!replica || !member.process || record.live.includes(replica.writer)) continue
        if (!this.ledger.isEnded(replica.writer) || !replica.membership.mayAnswer()) continue
        throw new SafetyError(`member ${member.id} is out but may answer`)
      }
    })
  }

  /** RULES 19: no member in sync needs what is forgotten, whatever its disk falls back to. */
  #checkRemembered({ id, disk }: SimMember, record: EpochRecord): void {
    const { epoch } = disk.state.oldest.position
    if (!record.inSync.includes(id) || epoch >= record.forgotten) return
    throw new SafetyError(`member ${id} is at epoch ${epoch}, ${record.forgotten} is forgotten`)
  }

  /** Who takes longer to stop than the faults last starts again. */
  onLeft(member: SimMember): void {
    if (!this.#nemesis.isAtWork) member.boot()
  }

  /** Nobody was told of what is not written down. */
  onKilled({ id, disk }: SimMember): void {
    if (disk.incarnation === 0) return
    const writer = makeWriterId(id, disk.incarnation as Incarnation)
    const open = disk.openParts.flatMap(({ ops }) => ops.map(writtenValue))
    const values = new Set(open.filter((value) => value !== undefined))
    this.ledger.onKilled(writer, disk.heldOf(writer), values)
  }

  /** What an fsync has covered is on the disk of every in-sync member, whatever happens to it. */
  onPowerCut({ id, disk }: SimMember): void {
    const { record } = this.ledger
    if (!record?.inSync.includes(id)) return
    this.#guard(() => {
      for (const [writer, seq] of this.ledger.durable) {
        // A position says nothing of who is forgotten; the values are compared in the end.
        if (disk.heldOf(writer) >= seq || isForgotten(record, writer)) continue
        throw new SafetyError(`member ${id} lost ${writer}:${seq}, which an fsync has covered`)
      }
      for (const { slice, writer, seq } of this.ledger.durableSlices()) {
        if (disk.holds(slice) || disk.hasPayload(writer, seq)) continue
        throw new SafetyError(`member ${id} lost the bytes of ${writer}:${seq} after an fsync`)
      }
    })
  }

  onPruned({ disk }: SimMember, entries: readonly SealedEntry[], { admission }: Replica): void {
    this.#guard(() => checkPruned(disk, entries, admission.applied))
  }

  onCommit({ disk }: SimMember, image: Image): void {
    this.#guard(() => checkUnshelved(disk, image))
  }

  onPunched({ id: self, disk }: SimMember, hole: Parameters<typeof checkPunched>[0]): void {
    // Who joins meanwhile has all of it; who begins anew asks for what it lacks.
    const live = this.members().filter(({ id, disk: { incarnation } }) => {
      if (incarnation === 0) return false
      const writer = makeWriterId(id, incarnation as Incarnation)
      return id === self || disk.record.live.includes(writer)
    })
    this.#guard(() => checkPunched(hole, live, this.ledger))
  }

  /** RULES 18: nobody serves before everything up to the cuts is applied, and nothing beyond. */
  onLive(member: SimMember, replica: Replica): void {
    const { record } = replica
    this.#guard(() => {
      for (const { epoch, cuts } of record.history) {
        if (vectorCovers(replica.admission.applied, new Map(cuts))) continue
        throw new SafetyError(`member ${member.id} serves below the cuts of epoch ${epoch}`)
      }
      for (const { writer, finalSeq } of record.writers) {
        if (finalSeq === undefined || replica.admission.appliedOf(writer) <= finalSeq) continue
        throw new SafetyError(`member ${member.id} serves beyond the cut of ${writer}`)
      }
    })
  }

  /** Runs it all; throws what went wrong. */
  async run(): Promise<ClusterResult> {
    for (const member of this.nodes()) {
      this.scheduler.after(this.random.below(SECOND_US), () => member.boot())
    }
    this.#keepConnecting()
    const start = this.random.below(5 * SECOND_US)
    this.scheduler.after(start, () => this.#nemesis.begin(this.#steps))
    while (this.#failure === undefined && this.scheduler.runNext()) {
      await this.#settling.turn()
      this.#guard(() => this.locks.check())
      if (++this.#events > EVENTS_MAX) throw new LivenessError('too many events')
      if (this.#isQuiet && this.#isSettled()) break
    }
    if (this.#failure) throw this.#failure
    this.#compare()
    this.#counters.set('voided', this.ledger.voided)
    const counters = Object.fromEntries(this.#counters)
    return { hash: this.#trace.hash, events: this.#events, counters }
  }

  #guard(check: () => void): void {
    try {
      check()
    } catch (error) {
      this.fail(error)
    }
  }

  #makeNetwork(kind: FramedKind): Network<Packet> {
    const member = (id: number) => this.nodes().find((node) => node.id === id)
    return new Network<Packet>(
      {
        scheduler: this.scheduler,
        random: this.random,
        handlers: {
          onPacket: (from, to, { type, body }) => {
            member(to)?.onPacket(kind, from as MemberId, type, body)
          },
          onConnected: (node, peer) => member(node)?.onConnected(kind, peer as MemberId),
          onDisconnected: (node, peer) => member(node)?.onDisconnected(kind, peer as MemberId),
          frozenUntilUs: (node) => member(node)?.process?.frozenUntilUs ?? 0
        }
      },
      { delayMaxUs: this.parameters.delayMaxUs }
    )
  }

  nodes(): SimNode[] {
    return [...this.#members.values(), ...this.#witnesses]
  }

  pairs(): [SimNode, SimNode][] {
    const nodes = this.nodes()
    return nodes.flatMap((a) =>
      nodes.filter((b) => b.id > a.id).map((b): [SimNode, SimNode] => [a, b])
    )
  }

  #keepConnecting(): void {
    for (const [a, b] of this.pairs()) {
      if (this.#nemesis.isCut(a, b) || !isListed(a, b) || !isListed(b, a)) continue
      if (!a.isOnline || !b.isOnline || a.process?.isFrozen || b.process?.isFrozen) continue
      for (const kind of kindsBetween(a, b)) {
        if (!this.random.chance(0.5) || this.#networks[kind].isConnected(a.id, b.id)) continue
        this.#networks[kind].connect(a.id, b.id)
        if (kind === 'control' && this.parameters.repeats > 0) this.#repeats.onConnected(a.id, b.id)
      }
    }
    this.scheduler.after(20_000 + this.random.below(200_000), () => this.#keepConnecting())
  }

  /** The programs end; soon after, nothing is going on any more. */
  end(): void {
    this.#over = true
    this.scheduler.after(3 * SECOND_US, () => {
      this.#isQuiet = true
    })
    this.scheduler.after(PATIENCE_US, () => {
      this.fail(new LivenessError(`members do not become equal: ${this.describeMembers()}`))
    })
  }

  describeMembers(): string {
    const states = this.members().map(
      ({ id, replica }) =>
        `${id} ${replica?.membership.phase} ${replica?.record.epoch} lag ${replica?.catchUp.lag()} ` +
        `applied ${[...(replica?.admission.applied ?? [])]} ` +
        `waiting ${replica?.admission.waitingEntries} locks ${replica?.locks.list().length}`
    )
    return states.join(', ')
  }

  /** Everybody reaches everybody. */
  isConnected(): boolean {
    const listed = this.ledger.record?.members ?? []
    return this.pairs().every(([a, b]) => {
      if (!listed.some((m) => m.id === a.id) || !listed.some((m) => m.id === b.id)) return true
      return kindsBetween(a, b).every((kind) => this.#networks[kind].isConnected(a.id, b.id))
    })
  }

  /** Data members that were not removed. */
  current(): SimMember[] {
    const listed = this.ledger.record?.members ?? []
    return this.members().filter(({ id }) => listed.some((m) => m.id === id))
  }

  allLive(): boolean {
    return this.current().every(
      ({ isLive, replica }) => isLive && replica?.record.epoch === this.ledger.record?.epoch
    )
  }

  #isSettled(): boolean {
    const members = this.current()
    const first = members[0]?.replica
    if (!first || !this.allLive() || !this.locks.isIdle) return false
    const { remembered } = first.admission
    return members.every(({ replica, state }) => {
      if (!replica || !vectorEquals(replica.admission.remembered, remembered)) return false
      const newest = state?.newestOrigin
      return !newest || newest.seq <= replica.admission.appliedOf(newest.writer)
    })
  }

  #compare(): void {
    let first: string | undefined
    for (const { id, state, disk, replica } of this.current()) {
      if (!state) throw new SafetyError(`member ${id} has no state`)
      const [lock] = replica?.locks.list() ?? []
      if (lock) throw new SafetyError(`member ${id} knows of a lock nobody has: ${lock.owner}`)
      for (const ino of this.ledger.inos()) {
        const slice = state.register(ino)?.slice
        if (slice && !disk.holds(slice)) {
          throw new SafetyError(`member ${id} lacks the bytes of inode ${ino}`)
        }
        if (!this.ledger.isStale(ino, state.values(ino))) continue
        const expected = this.ledger.expected(ino)
        throw new SafetyError(`member ${id} inode ${ino}: ${state.values(ino)}, not ${expected}`)
      }
      first ??= state.digest()
      if (state.digest() !== first) throw new SafetyError(`member ${id} differs`)
    }
  }
}

export type SimNode = SimMember | SimWitness

/** A witness has no data. */
function kindsBetween(a: SimNode, b: SimNode): readonly FramedKind[] {
  return a instanceof SimWitness || b instanceof SimWitness ? ['control'] : KINDS
}

/** The firewall of `node` lets the other in. */
function isListed(node: SimNode, other: SimNode): boolean {
  return node.disk.record.members.some((m) => m.id === other.id)
}

function describe(fields: LogFields): string {
  return JSON.stringify(fields, (_, value: unknown) =>
    value instanceof Error ? value.message : value instanceof Map ? [...value] : value
  )
}
