/**
 * Catch-up: closes gaps. Pushed entries may be lost with a connection, a member may have been
 * away; so every member knows from hellos, heartbeats and acknowledgements what the others hold,
 * and pulls what it misses, one request for a writer at a time. It also answers such requests:
 * from memory, from the shelf, from the hypercores. Older entries are answered bare (without their
 * inline bytes), which are then fetched slice by slice.
 *
 * What comes is taken in turns with everything else (turns.ts): after a rebuild it is the whole log.
 * Bounded all the same: nothing more of a writer is asked for before its last answer is taken.
 */
import { DecodeError } from '../../fs/byte-codec.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import type { SealedEntry } from '../entry.ts'
import { ENTRY_PAYLOAD_MAX_BYTES } from '../entry.ts'
import { ENTRIES_PER_FETCH_MAX } from '../message-codec.ts'
import type { EntriesMessage, FetchEntriesMessage } from '../messages.ts'
import type { WriterInfo } from '../record.ts'
import { Turns } from '../turns.ts'
import type { Vector } from '../vector.ts'
import { vectorJoin } from '../vector.ts'
import type { EntryShelf } from './entry-shelf.ts'
import type { Intake } from './intake.ts'
import type { PeerLinks } from './peer-links.ts'
import type { RecentEntries } from './recent-entries.ts'

const REPLY_BYTES_MAX = 2 * 1024 * 1024
const REQUEST_TIMEOUT_MS = 5000
const REFUSAL_PAUSE_MS = 500

export interface CatchUpComponents {
  readonly admission: Admission
  readonly intake: Intake
  readonly links: PeerLinks
  readonly recent: RecentEntries
  readonly shelf: Pick<EntryShelf, 'get'>
  readonly clock: Clock
  readonly logger: Logger
  readonly self: MemberId
  /** The block of a writer's hypercore, when it is here. */
  readonly readBlock: (writer: WriterId, seq: Seq) => Promise<Buffer | undefined>
  /** The member has sent what no honest member sends. */
  readonly onMalformed: (from: MemberId, error: DecodeError) => void
}

interface Request {
  readonly member: MemberId
  readonly from: Seq
  readonly endsMs: number
}

interface Answer {
  readonly from: MemberId
  readonly message: EntriesMessage
  readonly request: Request
  /** Entries of it that were handed to the intake. */
  taken: number
}

export class CatchUp {
  readonly #components: CatchUpComponents
  readonly #held = new Map<MemberId, Vector>()
  readonly #requests = new Map<WriterId, Request>()
  /** Until when a member is not asked again for a writer it had nothing new of. */
  readonly #pauses = new Map<string, number>()
  readonly #serving = new Set<MemberId>()
  readonly #answers: Answer[] = []
  #isResting = false

  constructor(components: CatchUpComponents) {
    this.#components = components
  }

  /** A member says what it holds. */
  heard(member: MemberId, held: Vector): void {
    this.#held.set(member, vectorJoin(this.#held.get(member) ?? new Map(), held))
  }

  gone(member: MemberId): void {
    this.#held.delete(member)
    for (const [writer, request] of this.#requests) {
      if (request.member === member) this.#requests.delete(writer)
    }
  }

  /** Entries known to exist that are not applied here. */
  lag(): number {
    let entries = 0
    for (const info of this.#components.admission.record.writers) {
      const applied = this.#components.admission.appliedOf(info.writer)
      entries += Math.max(0, this.#target(info) - applied)
    }
    return entries
  }

  /** What a member in reach is known to hold. */
  heldBy(member: MemberId): Vector | undefined {
    return this.#held.get(member)
  }

  /** Asks for what is missing. Called on a timer and whenever something came. */
  pull(): void {
    const { admission, clock, links, intake } = this.#components
    if (!intake.isOpen) return
    const now = clock.monotonicMs()
    for (const info of admission.record.writers) {
      const { writer } = info
      const pending = this.#requests.get(writer)
      if (pending && pending.endsMs > now) continue
      if (pending) this.#pause(writer, pending.member, now)
      this.#requests.delete(writer)
      const from = admission.firstMissing(writer)
      const to = this.#target(info)
      if (from > to) continue
      const member = this.#source(writer, from, now)
      if (member === undefined) continue
      this.#requests.set(writer, { member, from, endsMs: now + REQUEST_TIMEOUT_MS })
      links.sendControl(member, { type: 'fetch-entries', writer, from, to: to as Seq })
    }
  }

  onEntries(from: MemberId, message: EntriesMessage): void {
    const asked = this.#requests.get(message.writer)
    if (!asked || asked.member !== from || asked.from !== message.from) return
    const request = { ...asked, endsMs: Number.POSITIVE_INFINITY }
    this.#requests.set(message.writer, request)
    this.#answers.push({ from, message, request, taken: 0 })
    if (!this.#isResting) this.#takeAnswers()
  }

  async serve(from: MemberId, message: FetchEntriesMessage): Promise<void> {
    const { links, logger } = this.#components
    // One answer at a time: a member asks again for what it does not get.
    if (this.#serving.has(from)) return
    this.#serving.add(from)
    try {
      if (!links.controlHasRoom(from)) await links.controlDrained(from)
      const entries = await this.#read(message.writer, message.from, message.to)
      const { writer } = message
      links.sendControl(from, { type: 'entries', writer, from: message.from, entries })
    } catch (error) {
      logger.error({ from, writer: message.writer, error }, 'entries could not be read for a peer')
    } finally {
      this.#serving.delete(from)
    }
  }

  /** Takes what has come, and rests when the turn is over. */
  #takeAnswers(): void {
    const turns = new Turns(this.#components.clock)
    for (let answer = this.#answers[0]; answer !== undefined; answer = this.#answers[0]) {
      const entry = answer.message.entries[answer.taken]
      if (entry === undefined || !this.#take(answer, entry)) {
        this.#answers.shift()
        this.#taken(answer)
      } else if (turns.isOver()) {
        this.#isResting = true
        void turns.pause().then(() => {
          this.#isResting = false
          this.#takeAnswers()
        })
        return
      }
    }
  }

  /** False: nothing more of this answer. */
  #take(answer: Answer, entry: SealedEntry): boolean {
    const { intake, onMalformed } = this.#components
    answer.taken++
    try {
      intake.receive(answer.from, entry, true)
      return true
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      onMalformed(answer.from, error)
      return false
    }
  }

  #taken({ from, message, request }: Answer): void {
    const { admission, clock } = this.#components
    const { writer } = message
    if (this.#requests.get(writer) === request) this.#requests.delete(writer)
    // Nothing was there, or nothing of it can be taken now: asking at once would go on for ever.
    const isVain = admission.firstMissing(writer) === message.from
    if (isVain) this.#pause(writer, from, clock.monotonicMs())
    this.pull()
  }

  #target(info: WriterInfo): number {
    if (info.finalSeq !== undefined) return info.finalSeq
    let target = 0
    for (const held of this.#held.values()) target = Math.max(target, held.get(info.writer) ?? 0)
    return target
  }

  #source(writer: WriterId, from: Seq, now: number): MemberId | undefined {
    const { links, admission } = this.#components
    const candidates = links.connected().filter((member) => {
      if ((this.#pauses.get(`${writer}/${member}`) ?? 0) > now) return false
      const held = this.#held.get(member)?.get(writer) ?? 0
      return held >= from || member === admission.record.authority
    })
    const owner = memberOf(writer)
    const { authority } = admission.record
    return (
      candidates.find((m) => m === owner) ??
      candidates.find((m) => m === authority) ??
      candidates[0]
    )
  }

  #pause(writer: WriterId, member: MemberId, now: number): void {
    if (this.#pauses.size > 10_000) this.#pauses.clear()
    this.#pauses.set(`${writer}/${member}`, now + REFUSAL_PAUSE_MS)
  }

  async #read(writer: WriterId, from: Seq, to: Seq): Promise<SealedEntry[]> {
    const entries: SealedEntry[] = []
    let bytes = 0
    for (let seq = from; seq <= to; seq = (seq + 1) as Seq) {
      if (entries.length >= ENTRIES_PER_FETCH_MAX || bytes >= REPLY_BYTES_MAX) break
      const entry = await this.#readOne(writer, seq)
      if (!entry) break
      bytes += entry.head.length + entry.payload.length
      if (bytes > REPLY_BYTES_MAX + ENTRY_PAYLOAD_MAX_BYTES) break
      entries.push(entry)
    }
    return entries
  }

  async #readOne(writer: WriterId, seq: Seq): Promise<SealedEntry | undefined> {
    const { recent, shelf, readBlock, admission } = this.#components
    // Never more than was applied here: a block may be in the log and void all the same.
    if (seq > admission.appliedOf(writer)) return undefined
    const cached = recent.get(writer, seq)
    if (cached) return cached
    const head = shelf.get(writer, seq) ?? (await readBlock(writer, seq))
    return head && { writer, seq, head, payload: Buffer.alloc(0) }
  }
}
