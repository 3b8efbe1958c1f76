/**
 * This member's own entries: gathers ops into an entry, and sees it into the journal, the state, the
 * peers and the hypercore.
 *
 * Order for an op: applied to the state in `submit` (in the open transaction, gone with a crash),
 * then written down (page cache), then `submit` is done and the process is answered. A crash before
 * that loses an op nobody was told of; after it, the next start brings it back. The work of applying it
 * is put off to behind the answer (`StateMachine.applySoon`): the process it woke runs meanwhile. It is
 * done before anybody looks, and before the entry is journaled.
 *
 * Each entry costs all members the same whatever it holds. So while ops keep coming an entry stays
 * open: each op goes to the open-entry file before `submit` returns, without its bytes: they are in
 * its segment. The entry is closed - journaled as a whole, then sent - a moment later, when it is large, or
 * as soon as anybody asks for what this member has applied (`flush`): what is said to a peer is said
 * behind it. An op that comes alone is closed as an entry of its own at the end of its event-loop turn, and
 * written down by that.
 */
import { assert } from '../../fs/assert.ts'
import type { Awaitable } from '../../fs/awaitable.ts'
import { ByteWriter } from '../../fs/byte-codec.ts'
import { FsError } from '../../fs/errno.ts'
import type { Op } from '../../fs/op.ts'
import type { OpListPlace } from '../../fs/op-list.ts'
import { OP_LIST_START, OpList } from '../../fs/op-list.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Origin, StateMachine } from '../../fs/ports/state-machine.ts'
import type { Epoch, Seq, WriterId } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import type { Defer } from '../defer.ts'
import type { SealedEntry } from '../entry.ts'
import { ENTRY_OPS_MAX, opDataBytes } from '../entry.ts'
import { encodeEntryHead, writeHeadStart } from '../entry-codec.ts'
import { joinPieces, Slab } from '../slab.ts'
import type { Vector } from '../vector.ts'
import { finishedWrite, mergedWrite } from './merged-write.ts'
import type { ReplicaOpenEntry } from './replica-ports.ts'

/** An entry is closed early above these; a single op may exceed none of the hard bounds. */
const GATHER_HEAD_BYTES = 256 * 1024
const GATHER_PAYLOAD_BYTES = 1024 * 1024
/** What an op takes in the head at most, beside its names and values. */
const OP_OVERHEAD_BYTES = 160
const SLICE_OVERHEAD_BYTES = 64
/** Together with a full entry they stay below the hard bound of its head. */
const TOGETHER_OPS_MAX = 8
/** For so long an entry stays open at most. */
const OPEN_MS = 4
/** It does so when the one before was closed no longer ago: single ops are sent at once. */
const BUSY_MS = 4
/** With more the entry is closed at the end of its turn: the others take it in without a pause. */
const OPEN_PAYLOAD_BYTES = 256 * 1024

export interface LocalLogComponents {
  readonly writer: WriterId
  readonly state: StateMachine
  readonly admission: Admission
  /** Journals synchronously (page cache); throws when it cannot. */
  readonly journal: (entry: SealedEntry) => void
  /** Without it every entry is closed at the end of its turn. */
  readonly openEntry: Pick<ReplicaOpenEntry, 'put'> | undefined
  /** After journaling: to the peers and the log. Resolves when there is room for more. */
  readonly publish: (entry: SealedEntry) => Promise<void> | undefined
  readonly defer: Defer
  readonly clock: Pick<Clock, 'monotonicMs' | 'setTimer'>
  /** The member cannot go on: state and journal differ. */
  readonly onFatal: (error: Error) => void
}

/** Who waits for the end of a turn. */
interface Turn {
  readonly done: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

interface Gathering {
  readonly epoch: Epoch
  readonly seq: Seq
  readonly deps: Vector
  readonly ops: Op[]
  /** Copies: what they came in is used again as soon as an op is answered. */
  readonly payloads: Buffer[]
  headBytes: number
  payloadBytes: number
  /** Parts written to the open-entry file, and which of the ops they hold. */
  parts: number
  written: OpListPlace
  /** Then the list of encoded ops, which has the pieces by themselves, is that of the parts alone. */
  isMerged: boolean
  /** The last op is a merged one, and its bytes are the payloads from this one on. */
  mergedFrom: number | undefined
}

export class LocalLog {
  readonly #components: LocalLogComponents
  readonly #slab = new Slab()
  /** The ops being gathered, as they came. */
  readonly #list = new OpList()
  readonly #head = new ByteWriter()
  #gathering: Gathering | undefined
  #turn: Turn | undefined
  #turnEnd: Timer | undefined
  #finishing: Timer | undefined
  #closing: Timer | undefined
  #closedMs = Number.NEGATIVE_INFINITY
  /** Peers or hypercore are behind: until then answers wait. */
  #room: Promise<void> | undefined
  #writable = false
  #failure: Error | undefined

  constructor(components: LocalLogComponents) {
    this.#components = components
  }

  /** Only a live member in an epoch that is not sealed may write. */
  setWritable(writable: boolean): void {
    this.#writable = writable
  }

  /** See `OpLog.submit`. */
  submit(op: Op, payload?: Uint8Array): Awaitable<void> {
    if (!this.#mayWrite()) return refused()
    this.#makeRoom(1)
    return this.#writtenDown(this.#add(op, payload))
  }

  /** See `OpLog.submitTogether`. */
  submitTogether(ops: readonly Op[]): Awaitable<void> {
    const [first, ...others] = ops
    assert(first !== undefined && ops.length <= TOGETHER_OPS_MAX, 'ops to be submitted together')
    if (!this.#mayWrite()) return refused()
    this.#makeRoom(ops.length)
    const gathering = this.#add(first)
    for (const op of others) this.#add(op)
    return this.#writtenDown(gathering)
  }

  #mayWrite(): boolean {
    return this.#failure === undefined && this.#writable
  }

  /** So many more ops go into the entry being gathered; else a new one is begun. */
  #makeRoom(ops: number): void {
    const current = this.#gathering
    if (!current) return
    if (isFull(current) || current.ops.length + ops > ENTRY_OPS_MAX) this.flush()
  }

  #add(op: Op, payload?: Uint8Array): Gathering {
    const { writer, admission } = this.#components
    const seq = (admission.appliedOf(writer) + 1) as Seq
    const gathering = this.#gathering ?? this.#begin(seq)
    try {
      if (!this.#merge(gathering, op, payload)) {
        this.#finishMerged(gathering)
        this.#apply(op, { writer, seq })
        gathering.ops.push(op)
      }
      this.#list.add(op)
    } catch (error) {
      // The op may be half applied: the transaction as a whole is not to be trusted any more.
      this.#fail(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
    // Also of one that was merged: in the open-entry file it stands by itself.
    gathering.headBytes += headBytes(op)
    if (payload && payload.length > 0) {
      assert(payload.length === opDataBytes(op), 'payload is not the bytes of the op')
      gathering.payloads.push(this.#slab.keep(payload))
      gathering.payloadBytes += payload.length
    }
    return gathering
  }

  #apply(op: Op, origin: Origin): void {
    const { state, defer } = this.#components
    state.applySoon(op, origin)
    this.#finishing ??= defer(() => this.#finishApply())
  }

  #finishApply(): void {
    this.#finishing = undefined
    try {
      this.#components.state.finishApply()
    } catch (error) {
      this.#drop()
      this.#refuse(error)
    }
  }

  /** At once where the entry stays open; else, and while answers wait for room, with the turn. */
  #writtenDown(gathering: Gathering): Awaitable<void> {
    if (this.#room !== undefined || !this.#staysOpen(gathering)) return this.#untilTurnEnd()
    const failure = this.#writePart(gathering)
    return failure === undefined ? undefined : Promise.reject(failure)
  }

  /** False when the op does not continue the one before it. */
  #merge(gathering: Gathering, op: Op, payload: Uint8Array | undefined): boolean {
    const { state, writer } = this.#components
    const { seq, ops, payloads } = gathering
    if (state.extend === undefined) return false
    const last = ops.at(-1)
    const merged = mergedWrite(last, op, payload)
    if (last === undefined || merged === undefined) return false
    state.extend(merged, opDataBytes(last), { writer, seq })
    ops[ops.length - 1] = merged
    gathering.mergedFrom ??= payloads.length - 1
    gathering.isMerged = true
    return true
  }

  #finishMerged(gathering: Gathering): void {
    const { state, writer } = this.#components
    const { seq, ops, payloads, mergedFrom } = gathering
    const last = ops.at(-1)
    if (mergedFrom === undefined || last?.type !== 'write') return
    const finished = finishedWrite(last, joinPieces(payloads.slice(mergedFrom)))
    state.extend?.(finished, opDataBytes(finished), { writer, seq })
    ops[ops.length - 1] = finished
    gathering.mergedFrom = undefined
  }

  /**
   * Closes the entry being gathered: on return it is journaled and handed to the peers. False when an op that was answered
   * may be in no entry of this process: it ends.
   */
  flush(): boolean {
    const gathering = this.#gathering
    if (!gathering) return this.#failure === undefined
    this.#drop()
    const { admission, writer, state, journal, publish, clock } = this.#components
    let sealed: SealedEntry
    try {
      this.#finishMerged(gathering)
      state.finishApply()
      const payload = joinPieces(gathering.payloads)
      const head = this.#wholeHead(gathering)
      sealed = { writer, seq: gathering.seq, head, payload }
      journal(sealed)
    } catch (error) {
      this.#refuse(error)
      return false
    }
    admission.noteOwn(writer, gathering.seq)
    this.#closedMs = clock.monotonicMs()
    this.#waitForRoom(publish(sealed))
    this.#endTurn()
    return this.#failure === undefined
  }

  /**
   * The same for who commits what is applied, or gives back what it freed. Throws when an op is in the
   * state and will be in no entry of this process.
   */
  flushOrThrow(): void {
    this.flush()
    if (this.#failure) throw this.#failure
  }

  #onTurnEnd(): void {
    this.#turnEnd = undefined
    const gathering = this.#gathering
    if (!gathering) this.#endTurn()
    else if (!this.#staysOpen(gathering)) this.flush()
    else if (this.#writePart(gathering) === undefined) this.#endTurn()
  }

  #staysOpen(gathering: Gathering): boolean {
    const { openEntry, clock } = this.#components
    if (openEntry === undefined || isFull(gathering)) return false
    if (gathering.payloadBytes >= OPEN_PAYLOAD_BYTES) return false
    return gathering.parts > 0 || clock.monotonicMs() - this.#closedMs < BUSY_MS
  }

  /** What the open-entry file lacks goes there. Gives why it did not; the member ends by that. */
  #writePart(gathering: Gathering): FsError | undefined {
    const { openEntry, writer, clock } = this.#components
    const { seq, parts, written } = gathering
    const { end } = this.#list
    if (end.ops === written.ops) return undefined
    try {
      this.#writeHead(gathering, written)
      openEntry?.put({ writer, seq, index: parts, head: this.#head.written() })
    } catch (error) {
      this.#drop()
      return this.#refuse(error)
    }
    gathering.parts++
    gathering.written = end
    this.#closing ??= clock.setTimer(OPEN_MS, () => this.flush())
    return undefined
  }

  /** Nothing is being gathered. */
  #drop(): void {
    this.#gathering = undefined
    this.#closing?.cancel()
    this.#closing = undefined
    this.#finishing?.cancel()
    this.#finishing = undefined
  }

  #wholeHead(gathering: Gathering): Buffer {
    const { writer } = this.#components
    const { epoch, seq, deps, ops, isMerged } = gathering
    if (isMerged) return encodeEntryHead({ epoch, writer, seq, deps, ops })
    this.#writeHead(gathering, OP_LIST_START)
    return this.#head.finish()
  }

  /** With the ops from that place on. */
  #writeHead({ epoch, seq, deps }: Gathering, from: OpListPlace): void {
    this.#head.reset()
    writeHeadStart(this.#head, { epoch, writer: this.#components.writer, seq, deps })
    this.#list.write(this.#head, from)
  }

  #begin(seq: Seq): Gathering {
    const { admission, writer } = this.#components
    const { epoch, live } = admission.record
    // An entry of another member is applied only behind a flush: this stays true until then.
    const deps = new Map<WriterId, Seq>()
    for (const other of live) if (other !== writer) deps.set(other, admission.appliedOf(other))
    const gathering: Gathering = {
      epoch,
      seq,
      deps,
      ops: [],
      payloads: [],
      headBytes: 0,
      payloadBytes: 0,
      parts: 0,
      written: OP_LIST_START,
      isMerged: false,
      mergedFrom: undefined
    }
    this.#list.clear()
    this.#gathering = gathering
    return gathering
  }

  #untilTurnEnd(): Promise<void> {
    if (this.#turn) return this.#turn.done
    const { promise: done, resolve, reject } = withResolvers()
    // Nobody may be waiting (a fire-and-forget reap): the failure is reported by onFatal.
    done.catch(() => {})
    this.#turn = { done, resolve, reject }
    this.#turnEnd = this.#components.defer(() => this.#onTurnEnd())
    return done
  }

  #endTurn(): void {
    const turn = this.#turn
    this.#turn = undefined
    this.#turnEnd?.cancel()
    this.#turnEnd = undefined
    if (!turn) return
    if (this.#room) this.#room.then(turn.resolve, turn.reject)
    else turn.resolve()
  }

  #waitForRoom(room: Promise<void> | undefined): void {
    if (room === undefined) return
    const over = (): void => {
      if (this.#room === room) this.#room = undefined
    }
    this.#room = room
    room.then(over, over)
  }

  #refuse(error: unknown): FsError {
    const cause = error instanceof Error ? error : new Error(String(error))
    const refusal = new FsError('EIO', 'the entry could not be journaled', { cause })
    const turn = this.#turn
    this.#turn = undefined
    this.#turnEnd?.cancel()
    turn?.reject(refusal)
    this.#fail(cause)
    return refusal
  }

  #fail(error: Error): void {
    if (this.#failure) return
    this.#failure = error
    this.#components.onFatal(error)
  }
}

function refused(): Promise<never> {
  return Promise.reject(new FsError('EIO', 'this member may not write now'))
}

function isFull(gathering: Gathering): boolean {
  return (
    gathering.ops.length >= ENTRY_OPS_MAX ||
    gathering.headBytes >= GATHER_HEAD_BYTES ||
    gathering.payloadBytes >= GATHER_PAYLOAD_BYTES
  )
}

function headBytes(op: Op): number {
  let bytes = OP_OVERHEAD_BYTES
  if ('name' in op) bytes += op.name.length
  if (op.type === 'create') bytes += op.target.length
  if (op.type === 'rename') bytes += op.newName.length
  if (op.type === 'setxattr') bytes += op.value.length
  if (op.type === 'write') bytes += op.slices.length * SLICE_OVERHEAD_BYTES
  return bytes
}

function withResolvers(): {
  promise: Promise<void>
  resolve: () => void
  reject: (error: Error) => void
} {
  let resolve: () => void = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
