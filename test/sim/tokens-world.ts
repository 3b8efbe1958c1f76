/**
 * The token protocol in a simulated cluster: members, their processes, faults, epochs and the end
 * of all faults, after which everybody must get on. One seed draws everything, parameters too.
 */
import { RANGE_END, type TokenMode, type TokenWant } from '../../src/fs/ports/token-service.ts'
import {
  type Epoch,
  type Incarnation,
  type Ino,
  type MemberId,
  makeWriterId,
  type Seq,
  type WriterId
} from '../../src/fs/primitives.ts'
import type { EpochPacket } from '../../src/replication/token/token-message.ts'
import { TOKEN_PAGE_BYTES } from '../../src/replication/token/token-range.ts'
import { vectorEquals } from '../../src/replication/vector.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { Checker, SafetyError } from './tokens-checker.ts'
import { AUTHORITY, SimMember } from './tokens-member.ts'
import type { Mutation } from './tokens-mutation.ts'
import { Ledger, type ToyEntry } from './tokens-register.ts'
import { Trace } from './trace.ts'

export class LivenessError extends Error {
  override name = 'LivenessError'
}

/** Virtual time after the last fault in which every wait must have ended. */
const PATIENCE_US = 20_000_000
const EVENTS_MAX = 300_000

export function drawParameters(random: Random) {
  return {
    members: random.between(2, 5),
    processes: random.between(1, 4),
    directories: random.between(1, 3),
    files: random.between(1, 4),
    children: random.between(1, 6),
    minHoldMs: random.pick([0, 0, 1, 5]),
    heldMax: random.pick([1, 3, 1000]),
    ownedMax: random.pick([1, 3, 1000]),
    objectsMax: random.pick([0, 2, 1000]),
    spansMax: random.pick([1, 3, 64]),
    pages: random.pick([2, 6, 12]),
    delayMaxUs: random.pick([50, 500, 5000]),
    applyMaxUs: random.pick([20, 500, 5000]),
    gatherMaxUs: random.pick([20, 1000]),
    dropMaxUs: random.pick([1, 300, 3000]),
    holdMaxUs: random.pick([20, 500]),
    thinkMaxUs: random.pick([20, 2000, 20_000]),
    interruptChance: random.pick([0, 0.05, 0.3]),
    faultGapUs: random.pick([0, 2000, 20_000]),
    crashes: random.chance(0.5)
  }
}

export interface SimResult {
  readonly hash: string
  readonly events: number
  readonly reads: number
  readonly counters: Readonly<Record<string, number>>
}

export class TokensWorld {
  readonly scheduler = new Scheduler()
  readonly random: Random
  readonly parameters: ReturnType<typeof drawParameters>
  readonly ledger = new Ledger()
  readonly checker = new Checker(this.ledger)
  readonly mutation: Mutation
  readonly tokenNetwork: Network<EpochPacket>
  readonly counters = {
    note: 0,
    grant: 0,
    recall: 0,
    clear: 0,
    cancelled: 0,
    cachedReads: 0,
    created: 0,
    appended: 0,
    truncated: 0,
    brought: 0,
    dropped: 0,
    givenUp: 0,
    probe: 0,
    told: 0,
    cuts: 0,
    freezes: 0,
    epochs: 0
  }
  readonly #logNetwork: Network<ToyEntry>
  readonly #trace: Trace
  readonly #members = new Map<number, SimMember>()
  readonly #directories: Ino[] = []
  readonly #files: Ino[] = []
  #opsLeft: number
  readonly #opsCalm: number
  #faults = true
  #calmSinceUs = 0
  #epoch = 0
  /** Members whose seal an epoch change waits for. */
  #unsealed: Set<number> | undefined
  /** Counts epoch changes: one that begins while another does takes its place. */
  #change = 0
  #starting = 0
  #incarnation = 0
  #lastValue = 0
  #lastIno = 1000
  /** Processes at work or waiting: since when. */
  readonly #busy = new Map<string, number>()

  constructor(options: { seed: number; steps: number; mutation: Mutation; keepLines?: number }) {
    this.random = new Random(options.seed)
    this.parameters = drawParameters(this.random)
    this.mutation = options.mutation
    this.#trace = new Trace(options.keepLines ?? 0)
    this.#opsLeft = options.steps
    this.#opsCalm = Math.floor(options.steps * 0.3)
    const frozenUntilUs = (id: number) => this.#members.get(id)?.frozenUntilUs ?? 0
    const components = { scheduler: this.scheduler, random: this.random }
    this.tokenNetwork = new Network(
      {
        ...components,
        handlers: {
          frozenUntilUs,
          onPacket: (from, to, packet) => {
            this.#members.get(to)?.receive(from, packet, packet.epoch !== this.#epoch)
          },
          onConnected: (id, peer) => this.#members.get(id)?.stepLink(peer, { type: 'connected' }),
          onDisconnected: (id, peer) => {
            this.#members.get(id)?.stepLink(peer, { type: 'disconnected' })
          }
        }
      },
      this.parameters
    )
    this.#logNetwork = new Network(
      {
        ...components,
        handlers: {
          frozenUntilUs,
          onPacket: (_from, to, entry) => {
            const member = this.#members.get(to)
            member?.replica.receive(entry)
            member?.startApplying()
          },
          onConnected: (id, peer) => this.#sendMissing(id, peer),
          onDisconnected: () => {}
        }
      },
      this.parameters
    )
    for (let i = 0; i < this.parameters.directories; i++) this.#directories.push((10 + i) as Ino)
    for (let i = 0; i < this.parameters.files; i++) this.#files.push((20 + i) as Ino)
    for (let id = 1; id <= this.parameters.members; id++)
      this.#members.set(id, this.#makeMember(id))
  }

  trace(line: string): void {
    this.#trace.add(`${this.scheduler.nowUs} ${line}`)
  }

  get lines(): readonly string[] {
    return this.#trace.lines
  }

  nextValue(): number {
    return ++this.#lastValue
  }

  get files(): readonly Ino[] {
    return this.#files
  }

  isDirectory(ino: Ino): boolean {
    return this.#directories.includes(ino)
  }

  /** Runs to the end; throws SafetyError, LivenessError, or what the cores assert. */
  run(): SimResult {
    this.#connectAll()
    this.#startEpoch()
    this.#planFault()
    let events = 0
    while (this.scheduler.runNext()) {
      if (++events > EVENTS_MAX) throw new LivenessError(`no end after ${events} events`)
      if (events % 256 === 0) this.#checkPatience()
    }
    this.#checkEnd()
    return {
      hash: this.#trace.hash,
      events,
      reads: this.checker.reads,
      counters: this.counters
    }
  }

  // Log

  publish(from: number, entry: ToyEntry): void {
    for (const id of this.#members.keys()) if (id !== from) this.#logNetwork.send(from, id, entry)
  }

  #sendMissing(from: number, to: number): void {
    const sender = this.#members.get(from)
    const receiver = this.#members.get(to)
    if (sender === undefined || receiver === undefined) return
    const { writer } = sender.replica
    const missing = this.ledger.entries.get(writer)?.slice(receiver.replica.received.get(writer))
    for (const entry of missing ?? []) this.#logNetwork.send(from, to, entry)
  }

  // Members and epochs

  #makeMember(id: number, like?: SimMember): SimMember {
    const incarnation = ++this.#incarnation as Incarnation
    return new SimMember(this, id, makeWriterId(id as MemberId, incarnation), like?.replica)
  }

  #living(): SimMember[] {
    return [...this.#members.values()].filter((member) => !member.dead)
  }

  #kill(id: number, isolated: boolean): void {
    this.trace(`m${id} dies`)
    this.#members.get(id)?.die(isolated)
    for (const key of this.#busy.keys()) if (key.startsWith(`${id}.`)) this.#busy.delete(key)
    for (const peer of this.#members.keys()) {
      if (peer === id) continue
      this.tokenNetwork.disconnect(id, peer)
      this.#logNetwork.disconnect(id, peer)
    }
    this.#changeEpoch()
  }

  get #isChanging(): boolean {
    return this.#unsealed !== undefined || this.#starting > 0
  }

  #changeEpoch(): void {
    this.#unsealed = new Set(this.#living().map((member) => member.id))
    const change = ++this.#change
    for (const member of this.#living()) {
      member.after(this.random.below(this.parameters.delayMaxUs), () => {
        if (change === this.#change) member.seal()
      })
    }
  }

  sealed(id: number): void {
    this.trace(`m${id} sealed`)
    if (!this.#unsealed?.delete(id) || this.#unsealed.size > 0) return
    // Not inside the step of the member that was last; the change goes on until then.
    this.scheduler.after(1, () => {
      this.#unsealed = undefined
      this.#converge()
      this.#rejoin()
      this.#connectAll()
      this.#startEpoch()
    })
  }

  /** Every entry that a living member holds comes to all of them; the rest never was. */
  #converge(): void {
    const living = this.#living()
    for (const member of living) member.replica.close()
    const longest = new Map<WriterId, Seq>()
    for (const { replica } of living) {
      for (const [writer, seq] of replica.received) {
        if (seq > (longest.get(writer) ?? 0)) longest.set(writer, seq)
      }
    }
    const [first] = living
    for (const { id, replica } of living) {
      for (const [writer, seq] of longest) replica.received.set(writer, seq)
      while (replica.applyOne());
      replica.forgetUnapplied()
      if (first !== undefined && !vectorEquals(replica.applied, first.replica.applied)) {
        throw new SafetyError(`m${id} cannot apply what m${first.id} has applied`)
      }
    }
    this.ledger.cut(first?.replica.applied ?? new Map())
    this.#checkReplicas()
  }

  /** The dead come back as new incarnations; the authority always does. */
  #rejoin(): void {
    const [like] = this.#living()
    for (const [id, member] of this.#members) {
      if (!member.dead) continue
      if (id !== AUTHORITY && this.#faults && this.random.chance(0.3)) continue
      this.#members.set(id, this.#makeMember(id, like))
    }
  }

  #startEpoch(): void {
    const epoch = ++this.#epoch as Epoch
    this.counters.epochs++
    const living = this.#living()
    const ids = living.map((member) => member.id)
    this.trace(`epoch ${epoch} ${ids}`)
    this.#starting = living.length
    for (const member of living) {
      member.after(this.random.below(this.parameters.delayMaxUs), () => {
        this.#starting--
        member.startEpoch(epoch, ids)
        this.#startProcesses(member)
        if (this.#starting === 0 && !this.#faults) this.#endFaults()
      })
    }
  }

  #connectAll(): void {
    const ids = this.#living().map((member) => member.id)
    for (const a of ids) {
      for (const b of ids) {
        if (a >= b) continue
        this.tokenNetwork.connect(a, b)
        this.#logNetwork.connect(a, b)
      }
    }
  }

  // Faults

  #planFault(): void {
    if (this.parameters.faultGapUs === 0) return
    this.scheduler.after(this.random.below(this.parameters.faultGapUs * 2), () => {
      if (!this.#faults) return
      this.#fault()
      this.#planFault()
    })
  }

  #fault(): void {
    const living = this.#living()
    const member = this.random.pick(living)
    const other = this.random.pick(living)
    const kind = this.random.below(10)
    if (kind === 0 && this.parameters.crashes && !this.#isChanging && living.length > 1) {
      this.#kill(member.id, this.random.chance(0.3))
    } else if (kind <= 3) {
      this.counters.freezes++
      member.frozenUntilUs = this.scheduler.nowUs + this.random.below(30_000)
    } else if (member !== other) {
      this.counters.cuts++
      const network = kind % 2 === 0 ? this.tokenNetwork : this.#logNetwork
      network.disconnect(member.id, other.id)
      this.scheduler.after(this.random.below(10_000), () => {
        const alive = [member, other].every(({ id, dead }) => !dead && this.#members.has(id))
        if (alive) network.connect(member.id, other.id)
      })
    }
  }

  /** From here on nothing fails, and whoever waits must be served. */
  #endFaults(): void {
    this.#faults = false
    if (this.#isChanging) return
    if ([...this.#members.values()].some((member) => member.dead)) {
      this.#changeEpoch()
      return
    }
    this.#calmSinceUs = this.scheduler.nowUs
    this.#connectAll()
  }

  #checkPatience(): void {
    if (this.#calmSinceUs === 0) return
    for (const [process, sinceUs] of this.#busy) {
      const waitedUs = this.scheduler.nowUs - Math.max(sinceUs, this.#calmSinceUs)
      if (waitedUs > PATIENCE_US) throw new LivenessError(`process ${process} waits for ever`)
    }
  }

  // Processes

  #startProcesses(member: SimMember): void {
    for (let i = 0; i < this.parameters.processes; i++) {
      const name = `${member.id}.${i}`
      if (!this.#busy.has(name)) this.#think(member, name)
    }
  }

  #think(member: SimMember, name: string): void {
    if (this.#faults && this.#opsLeft <= this.#opsCalm) this.#endFaults()
    if (this.#opsLeft <= 0) {
      this.#busy.delete(name)
      return
    }
    this.#opsLeft--
    this.#busy.set(name, Number.POSITIVE_INFINITY)
    member.after(this.random.below(this.parameters.thinkMaxUs), () => {
      this.#busy.set(name, this.scheduler.nowUs)
      this.#operate(member, () => this.#think(member, name))
    })
  }

  #operate(member: SimMember, done: () => void): void {
    const { random } = this
    for (let i = random.below(3); i > 0; i--) member.readCached(random.pick(this.#anything()))
    switch (random.below(18)) {
      case 0:
      case 1:
        this.#use(member, [{ ino: random.pick(this.#anything()), mode: 'shared' }], done)
        break
      case 2:
      case 3:
        this.#use(member, [{ ino: random.pick(this.#files), mode: 'exclusive' }], done)
        break
      case 4:
        this.#use(member, this.#drawSet(), done)
        break
      case 5:
      case 6:
        this.#create(member, done)
        break
      case 7:
        this.#useChild(member, done)
        break
      case 8:
        this.#use(member, [this.#drawRange(), this.#drawRange()], done)
        break
      case 9:
      case 10:
        this.#use(member, [this.#drawEnd(member)], done)
        break
      case 11:
      case 12:
        this.#useUnderLock(member, done)
        break
      case 13:
      case 14:
        this.#stat(member, done)
        break
      default:
        this.#use(member, [this.#drawRange()], done)
    }
  }

  #anything(): Ino[] {
    return [...this.#files, ...this.#directories]
  }

  #drawSet(): TokenWant[] {
    const all = this.#anything()
    const count = this.random.between(2, 4)
    const wants: TokenWant[] = []
    for (let i = 0; i < count; i++) {
      const mode: TokenMode = this.random.chance(0.5) ? 'exclusive' : 'shared'
      wants.push({ ino: this.random.pick(all), mode })
    }
    return wants
  }

  /** Some bytes of a file, rarely at the edges of its pages. */
  #drawRange(): TokenWant {
    const { random } = this
    const mode: TokenMode = random.chance(0.6) ? 'exclusive' : 'shared'
    const start = random.below(this.parameters.pages * TOKEN_PAGE_BYTES)
    const range = { start, end: start + random.between(1, 3 * TOKEN_PAGE_BYTES) }
    return { ino: random.pick(this.#files), mode, range }
  }

  /** What an append needs as far as the member knows. */
  #drawEnd(member: SimMember): TokenWant {
    const ino = this.random.pick(this.#files)
    const offset = this.random.below(TOKEN_PAGE_BYTES)
    const start = this.mutation.appendNarrowly
      ? member.replica.pages(ino) * TOKEN_PAGE_BYTES
      : member.replica.pages(ino) * TOKEN_PAGE_BYTES + offset
    const end = this.mutation.appendNarrowly ? start + TOKEN_PAGE_BYTES : RANGE_END
    return { ino, mode: 'exclusive', range: { start, end } }
  }

  /** Acquires, works in a few steps on it, releases. */
  #use(
    member: SimMember,
    wants: readonly TokenWant[],
    done: () => void,
    last: () => void = () => {}
  ): void {
    const interrupt = member.acquire(
      wants,
      () => {
        const steps = this.random.between(1, 3)
        const work = (left: number) => {
          for (const want of wants) this.#touch(member, want)
          if (left > 0) {
            member.after(this.random.below(this.parameters.holdMaxUs), () => work(left - 1))
            return
          }
          last()
          member.release(wants)
          done()
        }
        work(steps)
      },
      done
    )
    if (this.random.chance(this.parameters.interruptChance)) {
      member.after(this.random.below(this.parameters.delayMaxUs * 4), interrupt)
    }
  }

  /** Waits for a lock that may bring its token, and gives that up when it is done. */
  #useUnderLock(member: SimMember, done: () => void): void {
    const { random, parameters } = this
    const want = this.#drawRange()
    const { ino, range } = want
    const use = () => {
      this.#use(member, [want], () => {
        if (range !== undefined && random.chance(0.8)) {
          this.counters.givenUp++
          member.giveUp(ino, range)
        }
        done()
      })
    }
    const request = member.client.reserve(want)
    if (request === undefined) {
      use()
      return
    }
    const epoch = this.#epoch
    const granted = random.chance(0.7)
    const delayUs = () => random.below(parameters.delayMaxUs * 4)
    this.scheduler.after(delayUs(), () => {
      const authority = this.#members.get(AUTHORITY)
      const isMade = granted && this.#epoch === epoch && this.#starting === 0 && !authority?.dead
      if (isMade && !this.mutation.loseBrought) authority?.bring(member.id, request, want)
      member.after(delayUs(), () => {
        const coming = isMade && this.#epoch === epoch && this.#starting === 0
        this.counters[coming ? 'brought' : 'dropped']++
        member.settleReserved(request, coming)
        if (granted) use()
        else done()
      })
    })
  }

  /** Asks about a file that others change, or looks at it under its token. */
  #stat(member: SimMember, done: () => void): void {
    const ino = this.random.pick(this.#files)
    const epoch = this.#epoch
    const pages = Array.from({ length: this.parameters.pages }, (_, page) => page)
    const before = pages.map((page) => this.ledger.newest(ino, page).id)
    const asked = member.query(ino, (fresh) => {
      if (!fresh) {
        this.#use(member, [{ ino, mode: 'shared' }], done)
        return
      }
      if (this.#epoch === epoch) this.checker.notOlder(member, ino, before)
      done()
    })
    if (!asked) this.#use(member, [{ ino, mode: 'shared' }], done)
  }

  #touch(member: SimMember, want: TokenWant): void {
    const { ino, mode } = want
    if (this.#files.includes(ino)) {
      this.#touchFile(member, want)
      return
    }
    const { children } = member.read(ino)
    if (mode === 'exclusive' && this.random.chance(0.5)) member.write(ino, children)
  }

  #touchFile(member: SimMember, { ino, mode, range }: TokenWant): void {
    const { random } = this
    const start = range === undefined ? 0 : Math.floor(range.start / TOKEN_PAGE_BYTES)
    const all = this.parameters.pages
    const end = Math.ceil((range?.end ?? RANGE_END) / TOKEN_PAGE_BYTES)
    const pages = member.replica.pages(ino)
    this.checker.filled(member.id, ino, start, end, pages)
    for (let page = start; page < Math.min(end, all); page++) member.read(ino, page)
    if (mode === 'shared') return
    for (let page = start; page < Math.min(end, pages); page++) {
      if (random.chance(0.5)) member.write(ino, [], page)
    }
    const ownsSize = range === undefined || range.end === RANGE_END || this.mutation.appendNarrowly
    if (ownsSize && start <= pages && pages < all && random.chance(0.7)) {
      this.counters.appended++
      member.write(ino, [], pages)
      member.resize(ino, pages + 1, true)
    } else if (range === undefined && pages > 0 && random.chance(0.3)) {
      this.counters.truncated++
      const kept = random.below(pages)
      for (let page = kept; page < pages; page++) member.write(ino, [], page)
      member.resize(ino, kept, false)
    }
  }

  #create(member: SimMember, done: () => void): void {
    const directory = this.random.pick(this.#directories)
    this.#use(member, [{ ino: directory, mode: 'exclusive' }], done, () => {
      const ino = ++this.#lastIno as Ino
      const children = [...member.read(directory).children, ino]
      if (children.length > this.parameters.children) children.shift()
      this.counters.created++
      member.write(ino, [])
      member.own(ino)
      member.write(directory, children)
      // Its creator goes on with it, as open(O_CREAT) does.
      if (this.random.chance(0.7)) this.#use(member, [{ ino, mode: 'exclusive' }], () => {})
    })
  }

  /** Looks a name up in a directory and uses what it found, or moves it to another directory. */
  #useChild(member: SimMember, done: () => void): void {
    const from = this.random.pick(this.#directories)
    let child: Ino | undefined
    const lookup: readonly TokenWant[] = [{ ino: from, mode: 'shared' }]
    const found = () => {
      if (child === undefined) done()
      else if (this.random.chance(0.3)) this.#move(member, child, from, done)
      else {
        const mode: TokenMode = this.random.chance(0.5) ? 'exclusive' : 'shared'
        this.#use(member, [{ ino: child, mode }], done)
      }
    }
    this.#use(member, lookup, found, () => {
      const { children } = member.read(from)
      if (children.length > 0) child = this.random.pick(children)
    })
  }

  #move(member: SimMember, child: Ino, from: Ino, done: () => void): void {
    const to = this.random.pick(this.#directories)
    const wants: TokenWant[] = [
      { ino: from, mode: 'exclusive' },
      { ino: to, mode: 'exclusive' },
      { ino: child, mode: 'exclusive' }
    ]
    this.#use(member, wants, done, () => {
      const { children } = member.read(from)
      if (from === to || !children.includes(child)) return
      const target = [...member.read(to).children, child].slice(-this.parameters.children)
      const rest = children.filter((ino) => ino !== child)
      member.write(from, rest)
      member.write(to, target)
    })
  }

  // The end

  #checkReplicas(): void {
    for (const { id, replica } of this.#living()) {
      for (const { ino, page } of this.ledger.registers()) {
        const newest = this.ledger.newest(ino, page)
        const { id: found } = replica.read(ino, page)
        if (found === newest.id) continue
        throw new SafetyError(`m${id} ends with ${found} in ${ino}.${page}, not ${newest.id}`)
      }
      for (const ino of this.#files) {
        const pages = this.ledger.pages(ino)
        if (replica.pages(ino) === pages) continue
        throw new SafetyError(
          `m${id} ends with ${replica.pages(ino)} pages of ${ino}, not ${pages}`
        )
      }
    }
  }

  #checkEnd(): void {
    if (this.#busy.size > 0) {
      throw new LivenessError(
        `${this.#busy.size} processes wait for ever: ${[...this.#busy.keys()]}`
      )
    }
    if (this.#isChanging) throw new LivenessError('the epoch change does not end')
    this.#checkReplicas()
    const { objectsMax, heldMax } = this.parameters
    for (const { id, client, authority } of this.#living()) {
      const counts = client.counts()
      if (counts.waiting > 0 || counts.exclusiveGuards > 0) {
        throw new LivenessError(`m${id} is left with ${JSON.stringify(counts)}`)
      }
      if (authority === undefined) continue
      const { objects, waiting } = authority.counts()
      if (waiting > 0) throw new LivenessError(`requests left at the authority: ${waiting}`)
      const bound = objectsMax + (heldMax + 8) * this.#members.size + 64
      if (objects > bound) throw new SafetyError(`${objects} inodes in the table, bound ${bound}`)
    }
  }
}
