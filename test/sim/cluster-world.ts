/**
 * A simulated cluster of real replicas on toy disks, a toy network and virtual time. One seed draws
 * everything: parameters, workload, faults. After the last fault everything is healed and the
 * cluster has to come together: all members live, all equal, all as promised.
 */

import type { LogFields, Logger } from '../../src/fs/ports/logger.ts'
import type { Epoch, Ino, MemberId, Seq, WriterId } from '../../src/fs/primitives.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import type { VoterState } from '../../src/replication/register/voter.ts'
import { chooseVoters } from '../../src/replication/register/voters.ts'
import type { Replica } from '../../src/replication/replica/replica.ts'
import type { FramedKind } from '../../src/replication/transport/peer-connection.ts'
import { vectorCovers, vectorEquals } from '../../src/replication/vector.ts'
import { SimClient } from './cluster-client.ts'
import type { Disk } from './cluster-disk.ts'
import { LivenessError, SafetyError } from './cluster-faults.ts'
import { ClusterLedger } from './cluster-ledger.ts'
import { blockOn } from './cluster-logs.ts'
import { SimMember } from './cluster-member.ts'
import { ChosenRecords } from './cluster-register.ts'
import { SimWitness } from './cluster-witness.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { Trace } from './trace.ts'

interface Packet {
  readonly type: number
  readonly body: Buffer
}

export interface ClusterHooks {
  readonly nextIncarnation: (disk: Disk) => number
}

const HONEST: ClusterHooks = { nextIncarnation: (disk) => ++disk.incarnation }

export interface ClusterOptions {
  readonly seed: number
  /** Faults at most. */
  readonly steps: number
  readonly hooks?: Partial<ClusterHooks>
  readonly keepLines?: number
}

export interface ClusterResult {
  readonly hash: string
  readonly events: number
  readonly counters: Readonly<Record<string, number>>
}

const FIRST = 1 as MemberId
const SECOND_US = 1_000_000
/** Virtual time after the last fault in which all members must be live and equal. */
const PATIENCE_US = 120 * SECOND_US
const EVENTS_MAX = 400_000
const INO_BASE = 1000
const KINDS: readonly FramedKind[] = ['control', 'bulk']

export function drawClusterParameters(random: Random) {
  return {
    members: random.pick([2, 2, 2, 3, 3, 4, 5]),
    hasWitness: random.chance(0.5),
    hasTieBreaker: random.chance(0.3),
    clients: random.between(1, 2),
    inos: random.between(1, 4),
    delayMaxUs: random.pick([100, 2000, 30_000]),
    syncMaxUs: random.pick([200, 20_000, 300_000]),
    turnMaxUs: random.pick([1, 200, 5000]),
    thinkMaxUs: random.pick([100_000, 300_000, 1_000_000]),
    faultGapUs: random.pick([100_000, SECOND_US, 5 * SECOND_US]),
    minHoldMs: random.pick([0, 5]),
    isolationMs: random.pick([5000, 30_000]),
    losesAll: random.chance(0.3),
    powerCuts: random.chance(0.6),
    freezes: random.chance(0.6),
    partitions: random.chance(0.7)
  }
}

export class ClusterWorld {
  readonly scheduler = new Scheduler()
  readonly random: Random
  readonly parameters: ReturnType<typeof drawClusterParameters>
  readonly ledger = new ClusterLedger()
  readonly hooks: ClusterHooks
  readonly #trace: Trace
  readonly #members = new Map<MemberId, SimMember>()
  readonly #witnesses: SimWitness[] = []
  readonly #chosen: ChosenRecords
  readonly #networks: Record<FramedKind, Network<Packet>>
  readonly #counters = new Map<string, number>()
  /** Until when two members cannot connect. */
  readonly #cutUntilUs = new Map<string, number>()
  readonly #steps: number
  #failure: Error | undefined
  #over = false
  /** What was begun before the end is done or has failed. */
  #isQuiet = false
  #events = 0

  constructor(options: ClusterOptions) {
    this.random = new Random(options.seed)
    this.parameters = drawClusterParameters(this.random)
    this.hooks = { ...HONEST, ...options.hooks }
    this.#steps = this.random.between(0, options.steps)
    this.#trace = new Trace(options.keepLines)
    this.#networks = { control: this.#makeNetwork('control'), bulk: this.#makeNetwork('bulk') }
    const record = firstRecord(this.parameters)
    this.ledger.onRecord(record)
    this.#chosen = new ChosenRecords(record)
    for (const { id, role } of record.members) {
      const { isolationMs, minHoldMs, clients } = this.parameters
      const clockRate = 0.995 + this.random.below(11) / 1000
      if (role === 'witness') {
        this.#witnesses.push(new SimWitness(this, id, record, { clockRate }))
        continue
      }
      const memberOptions = { isolationMs, minHoldMs, clients, clockRate }
      this.#members.set(id, new SimMember(this, id, record, memberOptions))
    }
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

  pickIno(): Ino {
    return (INO_BASE + this.random.below(this.parameters.inos)) as Ino
  }

  count(what: string): void {
    this.#counters.set(what, (this.#counters.get(what) ?? 0) + 1)
  }

  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error))
  }

  background(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.fail(error))
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

  disconnectAll(id: MemberId): void {
    for (const other of this.#nodes()) {
      for (const kind of KINDS) this.#networks[kind].disconnect(id, other.id)
    }
  }

  onRecordSaved(id: MemberId, record: EpochRecord): void {
    this.#guard(() => this.#chosen.onBelieved(id, record))
  }

  onVoterSaved(id: MemberId, state: VoterState): void {
    this.#guard(() => {
      const record = this.#chosen.onSaved(id, state)
      if (record) this.#onChosen(record)
    })
  }

  #onChosen(record: EpochRecord): void {
    this.note(`record ${JSON.stringify({ ...record, members: 0, writers: record.writers })}`)
    this.count('epochs')
    if (record.authority !== this.ledger.record?.authority) this.count('takeovers')
    this.#guard(() => {
      this.ledger.onRecord(record)
      for (const member of this.#members.values()) {
        const { replica } = member
        if (!replica || !member.process || record.live.includes(replica.writer)) continue
        if (!this.ledger.isEnded(replica.writer) || !replica.membership.mayAnswer()) continue
        throw new SafetyError(`member ${member.id} is out but may answer`)
      }
    })
  }

  /** What an fsync has covered is on the disk of every in-sync member, whatever happens to it. */
  onPowerCut({ id, disk }: SimMember): void {
    if (!this.ledger.record?.inSync.includes(id)) return
    this.#guard(() => {
      for (const [writer, seq] of this.ledger.durable) {
        if (disk.heldOf(writer) >= seq) continue
        throw new SafetyError(`member ${id} lost ${writer}:${seq}, which an fsync has covered`)
      }
      for (const { slice, writer, seq } of this.ledger.durableSlices()) {
        if (disk.holds(slice) || disk.hasPayload(writer, seq)) continue
        throw new SafetyError(`member ${id} lost the bytes of ${writer}:${seq} after an fsync`)
      }
    })
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
    for (const member of this.#nodes()) {
      this.scheduler.after(this.random.below(SECOND_US), () => member.boot())
    }
    this.#keepConnecting()
    const start = this.random.below(5 * SECOND_US)
    this.scheduler.after(start, () => this.#fault(this.#steps))
    while (this.#failure === undefined && this.scheduler.runNext()) {
      await turn()
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
    const member = (id: number) => this.#nodes().find((node) => node.id === id)
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

  #nodes(): SimNode[] {
    return [...this.#members.values(), ...this.#witnesses]
  }

  #pairs(): [SimNode, SimNode][] {
    const nodes = this.#nodes()
    return nodes.flatMap((a) =>
      nodes.filter((b) => b.id > a.id).map((b): [SimNode, SimNode] => [a, b])
    )
  }

  #keepConnecting(): void {
    for (const [a, b] of this.#pairs()) {
      if ((this.#cutUntilUs.get(`${a.id}/${b.id}`) ?? 0) > this.scheduler.nowUs) continue
      if (!a.isOnline || !b.isOnline || a.process?.isFrozen || b.process?.isFrozen) continue
      for (const kind of KINDS) {
        if (this.random.chance(0.5)) this.#networks[kind].connect(a.id, b.id)
      }
    }
    this.scheduler.after(20_000 + this.random.below(200_000), () => this.#keepConnecting())
  }

  #fault(left: number): void {
    if (left === 0) {
      this.scheduler.after(this.random.below(8 * SECOND_US), () => this.#heal())
      return
    }
    this.#oneFault()
    const gapUs = this.random.below(this.parameters.faultGapUs)
    this.scheduler.after(gapUs, () => this.#fault(left - 1))
  }

  #oneFault(): void {
    const { random, parameters } = this
    const member = random.pick(this.#nodes())
    const dice = random.below(5)
    const spanUs = random.below(random.pick([SECOND_US / 2, 4 * SECOND_US, 12 * SECOND_US]))
    if (dice === 0) this.#crash(member, parameters.powerCuts && random.chance(0.6), spanUs)
    else if (dice === 1 && parameters.freezes) this.#freeze(member, spanUs)
    else if (parameters.partitions) this.#cut(spanUs)
    else this.#crash(member, parameters.powerCuts && random.chance(0.6), spanUs)
    if (parameters.powerCuts && random.chance(0.1)) {
      for (const other of this.#members.values()) this.#crash(other, true, spanUs)
    }
  }

  #crash(member: SimNode, powerCut: boolean, spanUs: number): void {
    this.note(`${member.id}: ${powerCut ? 'power cut' : 'killed'} for ${spanUs}`)
    this.count(powerCut ? 'powerCuts' : 'kills')
    member.kill(powerCut)
    // A machine that loses its power tells nobody; the kernel of a killed process does.
    const silent = powerCut && this.random.chance(0.5)
    if (!silent) this.disconnectAll(member.id)
    this.scheduler.after(spanUs, () => {
      if (member.process) return
      this.disconnectAll(member.id)
      member.boot()
    })
  }

  #freeze(member: SimNode, spanUs: number): void {
    this.note(`${member.id}: frozen for ${spanUs}`)
    this.count('freezes')
    member.process?.freeze(this.scheduler.nowUs + spanUs)
  }

  #cut(spanUs: number): void {
    const [a, b] = this.random.pick(this.#pairs())
    const untilUs = this.scheduler.nowUs + spanUs
    const how = this.random.below(5)
    this.note(`${a.id}/${b.id}: cut ${how} for ${spanUs}`)
    this.count('cuts')
    if (how === 0) {
      for (const kind of KINDS) this.#networks[kind].stall(a.id, b.id, untilUs)
    } else if (how === 1) {
      for (const kind of KINDS) this.#networks[kind].stall(b.id, a.id, untilUs)
    } else if (how === 2) {
      this.#networks[this.random.pick(KINDS)].disconnect(a.id, b.id)
    } else {
      this.#cutUntilUs.set(`${a.id}/${b.id}`, untilUs)
      for (const kind of KINDS) this.#networks[kind].disconnect(a.id, b.id)
    }
  }

  #heal(): void {
    this.note('healed')
    this.#cutUntilUs.clear()
    for (const member of this.#nodes()) {
      this.disconnectAll(member.id)
      member.boot()
    }
    const endUs = this.scheduler.nowUs + PATIENCE_US
    this.#awaitProgress(endUs, new Set())
  }

  /** Every member has to answer a write and an fsync begun after the faults. */
  #awaitProgress(endUs: number, served: Set<MemberId>): void {
    if (this.scheduler.nowUs > endUs) {
      const states = [...this.#members.values()].map(
        ({ id, replica }) =>
          `${id} ${replica?.membership.phase} ${replica?.record.epoch} lag ${replica?.catchUp.lag()} ` +
          `applied ${[...(replica?.admission.applied ?? [])]} ` +
          `waiting ${replica?.admission.waitingEntries}`
      )
      this.fail(new LivenessError(`no progress after the faults: ${states.join(', ')}`))
      return
    }
    for (const member of this.#members.values()) {
      const { replica, state, process } = member
      if (served.has(member.id) || !replica || !state || !process || !member.isLive) continue
      const client = new SimClient({ world: this, member, replica, state, process })
      this.background(client.probe().then((done) => done && served.add(member.id)))
    }
    if (served.size < this.#members.size || !this.#allLive()) {
      this.scheduler.after(SECOND_US, () => this.#awaitProgress(endUs, served))
      return
    }
    this.#over = true
    this.scheduler.after(5 * SECOND_US, () => {
      this.#isQuiet = true
    })
    this.scheduler.after(PATIENCE_US, () => {
      this.fail(new LivenessError('members do not become equal after the faults'))
    })
  }

  #allLive(): boolean {
    return [...this.#members.values()].every(
      ({ isLive, replica }) => isLive && replica?.record.epoch === this.ledger.record?.epoch
    )
  }

  #isSettled(): boolean {
    const replicas = [...this.#members.values()].map(({ replica }) => replica)
    const [first] = replicas
    if (!first || !this.#allLive()) return false
    return replicas.every(
      (replica) => replica && vectorEquals(replica.admission.applied, first.admission.applied)
    )
  }

  #compare(): void {
    let first: string | undefined
    for (const { id, state, disk } of this.#members.values()) {
      if (!state) throw new SafetyError(`member ${id} has no state`)
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

type SimNode = SimMember | SimWitness

function firstRecord(parameters: ReturnType<typeof drawClusterParameters>): EpochRecord {
  const { hasWitness, hasTieBreaker } = parameters
  const nodes = parameters.members + (hasWitness ? 1 : 0)
  const members = Array.from({ length: nodes }, (_, index) => ({
    id: (index + 1) as MemberId,
    name: `m${index + 1}`,
    publicKey: (index + 1).toString(16).padStart(64, '0'),
    addresses: ['127.0.0.1:1'],
    role: index < parameters.members ? ('data' as const) : ('witness' as const)
  }))
  const voters = chooseVoters(members, [FIRST], undefined)
  return {
    version: 1,
    volumeId: 'ab'.repeat(16),
    volumeName: 'sim',
    epoch: 1 as Epoch,
    authority: FIRST,
    members,
    live: [],
    inSync: [FIRST],
    writers: [],
    history: [],
    voters,
    votersBefore: voters,
    ...(hasTieBreaker ? { tieBreaker: FIRST } : {}),
    nextMemberId: nodes + 1,
    removedKeys: []
  }
}

function describe(fields: LogFields): string {
  return JSON.stringify(fields, (_, value: unknown) =>
    value instanceof Error ? value.message : value instanceof Map ? [...value] : value
  )
}

/** Lets everything that waits for promises alone go on. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
