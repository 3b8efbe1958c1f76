/**
 * The epoch register alone, simulated: voters and candidates with real leases over toy disks and a
 * toy network in virtual time. Whoever leads proposes records with ever other voters. Small enough
 * for thousands of seeds, so it says most about consensus; the rest is in cluster-world.ts.
 */
import type { Logger } from '../../src/fs/ports/logger.ts'
import type { Epoch, MemberId } from '../../src/fs/primitives.ts'
import { Beat } from '../../src/replication/beat.ts'
import { LEASE_DEFAULTS, type LeaseOptions } from '../../src/replication/lease.ts'
import type { ControlMessage } from '../../src/replication/messages.ts'
import type { EpochRecord, MemberInfo } from '../../src/replication/record.ts'
import { RegisterNode } from '../../src/replication/register/register-node.ts'
import type { VoterState } from '../../src/replication/register/voter.ts'
import { FRESH_VOTER } from '../../src/replication/register/voter.ts'
import { chooseVoters } from '../../src/replication/register/voters.ts'
import { LivenessError, SafetyError, SimProcess } from './cluster-faults.ts'
import { ChosenRecords } from './cluster-register.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { Trace } from './trace.ts'

export interface RegisterOptions {
  readonly seed: number
  /** Faults at most. */
  readonly steps: number
  readonly keepLines?: number
  /** In the place of what the seed draws. */
  readonly parameters?: Partial<RegisterParameters>
}

export interface RegisterResult {
  readonly hash: string
  readonly events: number
  readonly counters: Readonly<Record<string, number>>
}

const SECOND_US = 1_000_000
const EVENTS_MAX = 200_000
/** After the last fault somebody must lead within this, and records must be chosen. */
const PATIENCE_US = 20 * SECOND_US
const DEAF_US = SECOND_US / 4
const FIRST = 1 as MemberId
/** For many changes of the lead in little time. */
export const QUICK_LEASE: LeaseOptions = { leaseMs: 450, marginMs: 50, heartbeatMs: 75 }

function drawParameters(random: Random) {
  return {
    members: random.pick([1, 2, 2, 3, 3, 4, 5]),
    hasWitness: random.chance(0.5),
    hasTieBreaker: random.chance(0.3),
    delayMaxUs: random.pick([100, 5000, 50_000]),
    proposeMaxUs: random.pick([10_000, 200_000]),
    faultGapUs: random.pick([50_000, 300_000, 2 * SECOND_US]),
    lease: random.pick([LEASE_DEFAULTS, QUICK_LEASE, QUICK_LEASE]),
    /** Of each clock; what the margin allows for. */
    driftMax: random.pick([0.001, 0.09]),
    dieAtSave: random.pick([0, 0.02, 0.1]),
    /** That a process is killed with what it has just said on its way. */
    dieAfterMessage: random.pick([0, 0.01, 0.05]),
    /** That a voter takes a leader for deaf, right or wrong, for a while each. */
    takenForDeaf: 0
  }
}

export type RegisterParameters = ReturnType<typeof drawParameters>

class Node {
  readonly id: MemberId
  readonly rate: number
  process: SimProcess | undefined
  register: RegisterNode | undefined
  voter: VoterState = FRESH_VOTER
  record: EpochRecord
  /** A record is on its way. */
  isProposing = false

  constructor(id: MemberId, record: EpochRecord, rate: number) {
    this.id = id
    this.record = record
    this.rate = rate
  }
}

export class RegisterWorld {
  readonly scheduler = new Scheduler()
  readonly random: Random
  readonly parameters: RegisterParameters
  readonly #trace: Trace
  readonly #nodes: Node[] = []
  readonly #chosen: ChosenRecords
  readonly #network: Network<ControlMessage>
  readonly #cutUntilUs = new Map<string, number>()
  readonly #counters = new Map<string, number>()
  readonly #steps: number
  #newest: EpochRecord
  #failure: Error | undefined
  #events = 0
  #isCalm = false

  constructor(options: RegisterOptions) {
    this.random = new Random(options.seed)
    const { random } = this
    this.parameters = { ...drawParameters(random), ...options.parameters }
    this.#steps = random.between(0, options.steps)
    this.#trace = new Trace(options.keepLines)
    const record = firstRecord(this.parameters)
    this.#newest = record
    this.#chosen = new ChosenRecords(record)
    const { driftMax, delayMaxUs } = this.parameters
    for (const { id } of record.members) {
      this.#nodes.push(new Node(id, record, 1 - driftMax + 2 * driftMax * random.share()))
    }
    this.#network = new Network<ControlMessage>(
      {
        scheduler: this.scheduler,
        random,
        handlers: {
          onPacket: (from, to, message) => this.#onPacket(from, to, message),
          onConnected: (node) => this.#node(node)?.register?.connected(),
          onDisconnected: () => {},
          frozenUntilUs: (node) => this.#node(node)?.process?.frozenUntilUs ?? 0
        }
      },
      { delayMaxUs }
    )
  }

  get lines(): readonly string[] {
    return this.#trace.lines
  }

  /** Runs it all; throws what went wrong. */
  run(): RegisterResult {
    const { scheduler, random } = this
    for (const node of this.#nodes) scheduler.after(random.below(SECOND_US), () => this.#boot(node))
    this.#keepConnecting()
    scheduler.after(random.below(2 * SECOND_US), () => this.#fault(this.#steps))
    while (this.#failure === undefined && !this.#isCalm && scheduler.runNext()) {
      this.#checkLeases()
      if (++this.#events > EVENTS_MAX) throw new LivenessError('too many events')
    }
    if (this.#failure) throw this.#failure
    const counters = Object.fromEntries(this.#counters)
    return { hash: this.#trace.hash, events: this.#events, counters }
  }

  #count(what: string): void {
    this.#counters.set(what, (this.#counters.get(what) ?? 0) + 1)
  }

  #note(line: string): void {
    this.#trace.add(`${(this.scheduler.nowUs / 1000).toFixed(1)} ${line}`)
  }

  #guard(check: () => void): void {
    try {
      check()
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error))
    }
  }

  #node(id: number): Node | undefined {
    return this.#nodes.find((node) => node.id === id)
  }

  /** Two that both can prove to lead would both answer. */
  #checkLeases(): void {
    const leaders = this.#nodes.filter(
      ({ process, register }) => process && !process.isDead && (register?.leaseLeftMs() ?? 0) > 0
    )
    if (leaders.length < 2) return
    throw new SafetyError(`${leaders.map(({ id }) => id)} hold the lead at the same time`)
  }

  #boot(node: Node): void {
    if (node.process && !node.process.isDead) return
    const { scheduler, random } = this
    for (const other of this.#nodes) this.#network.disconnect(node.id, other.id)
    const process = new SimProcess(scheduler, node.rate)
    const isWitness = node.record.members.some((m) => m.id === node.id && m.role === 'witness')
    this.#note(`${node.id}: starts`)
    node.process = process
    node.isProposing = false
    const register: RegisterNode = new RegisterNode(
      {
        self: node.id,
        record: () => node.record,
        voterState: node.voter,
        saveVoter: (state) => this.#saveVoter(node, process, state),
        onPending: () => {},
        links: {
          sendControl: (to, message) => {
            if (!process.isDead) this.#network.send(node.id, to, message)
            return !process.isDead
          }
        },
        clock: process.clock(),
        random: () => random.share(),
        logger: this.#logger(node.id),
        isDeaf: (leader) => this.#isTakenForDeaf(node.id, leader),
        mayCampaign: () => !isWitness && node.record.inSync.includes(node.id),
        onChosen: (record) => this.#learn(node, process, record),
        onElected: () => {
          this.#count('elected')
          if (!node.record.inSync.includes(node.id)) register.resign()
        },
        onDeposed: () => {
          this.#count('deposed')
          node.isProposing = false
        }
      },
      this.parameters.lease
    )
    node.register = register
    new Beat(
      { clock: process.clock(), work: () => register.beat() },
      { periodMs: this.parameters.lease.heartbeatMs }
    ).start()
    this.#keepProposing(node, process)
  }

  #saveVoter(node: Node, process: SimProcess, state: VoterState): void {
    if (process.isDead) return
    const dies = !this.#isHealed && this.random.chance(this.parameters.dieAtSave)
    const isSaved = !dies || this.random.chance(0.5)
    if (isSaved) {
      node.voter = state
      this.#guard(() => {
        const record = this.#chosen.onSaved(node.id, state)
        if (record) this.#onChosen(record)
      })
    }
    if (dies) this.#kill(node, this.random.below(4 * SECOND_US))
  }

  #onChosen(record: EpochRecord): void {
    const { epoch, inSync, voters } = record
    this.#note(`chosen ${epoch} in sync ${inSync} voters ${voters.join(' ')}`)
    this.#newest = record
    this.#count('chosen')
  }

  #learn(node: Node, process: SimProcess, record: EpochRecord): void {
    if (process.isDead || record.epoch <= node.record.epoch) return
    this.#guard(() => this.#chosen.onBelieved(node.id, record))
    node.record = record
    node.isProposing = false
    node.register?.known(record)
    if (!node.register?.leads) return
    for (const { id } of this.#nodes) {
      this.#network.send(node.id, id, { type: 'record', record, leads: true })
    }
    if (record.authority !== node.id) node.register.resign()
  }

  #onPacket(from: number, to: number, message: ControlMessage): void {
    const node = this.#node(to)
    if (!node?.process || node.process.isDead) return
    if (message.type === 'register') {
      node.register?.receive(from as MemberId, message.body)
      if (this.#isHealed || !this.random.chance(this.parameters.dieAfterMessage)) return
      this.#kill(node, this.random.below(SECOND_US / 5))
    }
    if (message.type === 'record') this.#learn(node, node.process, message.record)
  }

  #keepProposing(node: Node, process: SimProcess): void {
    const { random, parameters } = this
    process.after(random.below(parameters.proposeMaxUs), () => {
      const { register } = node
      if (register?.leads && !node.isProposing) {
        node.isProposing = true
        register.propose(this.#nextRecord(node))
      }
      this.#keepProposing(node, process)
    })
  }

  #nextRecord({ id, record }: Node): EpochRecord {
    const { random } = this
    const others = record.members.filter((m) => m.role === 'data' && m.id !== id)
    const inSync = [id, ...others.filter(() => random.chance(0.6)).map((m) => m.id)]
    const authority = random.chance(0.15) ? random.pick(inSync) : id
    const voters = chooseVoters(record.members, inSync, record.tieBreaker)
    const epoch = (record.epoch + 1) as Epoch
    const volumeName = `by-${id}-${this.#events}`
    return { ...record, epoch, authority, inSync, volumeName, voters, votersBefore: record.voters }
  }

  #keepConnecting(): void {
    const { random, scheduler } = this
    for (const [a, b] of this.#pairs()) {
      if ((this.#cutUntilUs.get(`${a.id}/${b.id}`) ?? 0) > scheduler.nowUs) continue
      if (!a.process || a.process.isDead || !b.process || b.process.isDead) continue
      if (random.chance(0.5)) this.#network.connect(a.id, b.id)
    }
    scheduler.after(20_000 + random.below(200_000), () => this.#keepConnecting())
  }

  #pairs(): [Node, Node][] {
    return this.#nodes.flatMap((a) =>
      this.#nodes.filter((b) => b.id > a.id).map((b): [Node, Node] => [a, b])
    )
  }

  get #isHealed(): boolean {
    return this.#faultsLeft === 0
  }

  #faultsLeft = Number.POSITIVE_INFINITY

  #fault(left: number): void {
    const { random, scheduler } = this
    if (left === 0) {
      this.#heal()
      return
    }
    this.#oneFault()
    scheduler.after(random.below(this.parameters.faultGapUs), () => this.#fault(left - 1))
  }

  #oneFault(): void {
    const { random, scheduler } = this
    const node = random.pick(this.#nodes)
    const spanUs = random.below(random.pick([SECOND_US / 10, SECOND_US, 4 * SECOND_US]))
    const dice = random.below(8)
    this.#count('faults')
    if (dice < 2) this.#kill(node, spanUs)
    else if (dice < 4) {
      this.#note(`${node.id}: frozen for ${spanUs}`)
      node.process?.freeze(scheduler.nowUs + spanUs)
    } else if (dice === 4) {
      for (const [a, b] of this.#pairs()) {
        if (a === node || b === node) this.#cut(a, b, spanUs)
      }
    } else if (this.#nodes.length > 1) {
      const [a, b] = random.pick(this.#pairs())
      if (dice === 5) this.#cut(a, b, spanUs)
      else {
        const [from, to] = random.chance(0.5) ? [a, b] : [b, a]
        this.#note(`${from.id}>${to.id}: stalled for ${spanUs}`)
        this.#network.stall(from.id, to.id, scheduler.nowUs + spanUs)
      }
    }
  }

  #cut(a: Node, b: Node, spanUs: number): void {
    this.#note(`${a.id}/${b.id}: cut for ${spanUs}`)
    this.#cutUntilUs.set(`${a.id}/${b.id}`, this.scheduler.nowUs + spanUs)
    this.#network.disconnect(a.id, b.id)
  }

  #kill(node: Node, spanUs: number): void {
    this.#note(`${node.id}: killed for ${spanUs}`)
    this.#count('kills')
    node.register?.stop()
    node.process?.kill()
    // What it has said arrives.
    for (const other of this.#nodes) this.#network.finish(node.id, other.id)
    this.scheduler.after(spanUs, () => this.#boot(node))
  }

  #heal(): void {
    this.#note('healed')
    this.#faultsLeft = 0
    this.#cutUntilUs.clear()
    for (const node of this.#nodes) {
      for (const other of this.#nodes) this.#network.disconnect(node.id, other.id)
      this.#boot(node)
    }
    const { epoch } = this.#newest
    this.#awaitProgress(this.scheduler.nowUs + PATIENCE_US, epoch)
  }

  /** Three more records, known to everybody. */
  #awaitProgress(endUs: number, epoch: Epoch): void {
    if (this.#newest.epoch >= epoch + 3) {
      this.#isCalm = true
      return
    }
    if (this.scheduler.nowUs > endUs) {
      this.#failure ??= new LivenessError(`nobody leads after the faults, at epoch ${epoch}`)
      return
    }
    this.scheduler.after(SECOND_US / 4, () => this.#awaitProgress(endUs, epoch))
  }

  #isTakenForDeaf(voter: MemberId, leader: MemberId): boolean {
    const { takenForDeaf } = this.parameters
    if (takenForDeaf === 0 || this.#faultsLeft === 0) return false
    const span = Math.floor(this.scheduler.nowUs / DEAF_US)
    const isDeaf = new Random(span * 64 + voter * 8 + leader).chance(takenForDeaf)
    if (isDeaf) this.#count('takenForDeaf')
    return isDeaf
  }

  #logger(id: MemberId): Logger {
    const log = (fields: object, message: string): void => {
      this.#note(`${id}: ${message} ${JSON.stringify(fields)}`)
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
}

function firstRecord(parameters: ReturnType<typeof drawParameters>): EpochRecord {
  const { hasWitness, hasTieBreaker } = parameters
  const nodes = parameters.members + (hasWitness ? 1 : 0)
  const members = Array.from(
    { length: nodes },
    (_, index): MemberInfo => ({
      id: (index + 1) as MemberId,
      name: `m${index + 1}`,
      publicKey: (index + 1).toString(16).padStart(64, '0'),
      addresses: ['127.0.0.1:1'],
      role: index < parameters.members ? 'data' : 'witness'
    })
  )
  const inSync = members.filter((m) => m.role === 'data').map((m) => m.id)
  const tie = hasTieBreaker ? { tieBreaker: FIRST } : {}
  const voters = chooseVoters(members, inSync, tie.tieBreaker)
  return {
    version: 1,
    volumeId: 'ab'.repeat(16),
    volumeName: 'sim',
    epoch: 1 as Epoch,
    authority: FIRST,
    members,
    live: [],
    inSync,
    writers: [],
    history: [],
    forgotten: 0,
    lastWriters: [],
    voters,
    votersBefore: voters,
    ...tie,
    nextMemberId: nodes + 1,
    removedKeys: []
  }
}

/** The result, or what went wrong. */
export function runRegister(
  seed: number,
  steps: number,
  parameters: Partial<RegisterParameters> = {}
): RegisterResult | Error {
  try {
    return new RegisterWorld({ seed, steps, parameters }).run()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** The last lines before a failure, for a person. */
export function explainRegister(seed: number, steps: number): string {
  const world = new RegisterWorld({ seed, steps, keepLines: 2000 })
  const parameters = JSON.stringify(world.parameters)
  try {
    const { counters } = world.run()
    return [parameters, ...world.lines, JSON.stringify(counters), 'passes'].join('\n')
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return [parameters, ...world.lines, what].join('\n')
  }
}
