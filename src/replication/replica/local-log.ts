/**
 * This member's own entries: gathers the ops of one event-loop turn into an entry, and sees it
 * into the journal, the state, the peers and the hypercore.
 *
 * Order for an op: applied to the state in `submit` (in the open transaction, gone with a crash);
 * at the end of the turn its entry is journaled (page cache), then sent, then `submit` resolves
 * and the process is answered. A crash before the journal write loses an op nobody was told of;
 * after it, the journal brings it back.
 */
import { assert } from '../../fs/assert.ts'
import { FsError } from '../../fs/errno.ts'
import type { Op } from '../../fs/op.ts'
import type { Timer } from '../../fs/ports/clock.ts'
import type { StateMachine } from '../../fs/ports/state-machine.ts'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import type { Defer } from '../defer.ts'
import type { SealedEntry } from '../entry.ts'
import { ENTRY_OPS_MAX, opDataBytes } from '../entry.ts'
import { encodeEntryHead } from '../entry-codec.ts'

/** An entry is closed early above these; a single op may exceed none of the hard bounds. */
const GATHER_HEAD_BYTES = 256 * 1024
const GATHER_PAYLOAD_BYTES = 1024 * 1024
/** What an op takes in the head at most, beside its names and values. */
const OP_OVERHEAD_BYTES = 160
const SLICE_OVERHEAD_BYTES = 64
/** Together with a full entry they stay below the hard bound of its head. */
const TOGETHER_OPS_MAX = 8

export interface LocalLogComponents {
  readonly writer: WriterId
  readonly state: StateMachine
  readonly admission: Admission
  /** Journals synchronously (page cache); throws when it cannot. */
  readonly journal: (entry: SealedEntry) => void
  /** After journaling: to the peers and the log. Resolves when there is room for more. */
  readonly publish: (entry: SealedEntry) => Promise<void> | undefined
  readonly defer: Defer
  /** The member cannot go on: state and journal differ. */
  readonly onFatal: (error: Error) => void
}

interface Gathering {
  readonly seq: Seq
  readonly ops: Op[]
  readonly payloads: Uint8Array[]
  headBytes: number
  payloadBytes: number
  readonly done: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class LocalLog {
  readonly #components: LocalLogComponents
  #gathering: Gathering | undefined
  #scheduled: Timer | undefined
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
  submit(op: Op, payload?: Uint8Array): Promise<void> {
    if (!this.#mayWrite()) return refused()
    this.#makeRoom(1)
    return this.#add(op, payload)
  }

  /** See `OpLog.submitTogether`. */
  submitTogether(ops: readonly Op[]): Promise<void> {
    assert(ops.length > 0 && ops.length <= TOGETHER_OPS_MAX, 'ops to be submitted together')
    if (!this.#mayWrite()) return refused()
    this.#makeRoom(ops.length)
    return Promise.all(ops.map((op) => this.#add(op))).then(() => undefined)
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

  #add(op: Op, payload?: Uint8Array): Promise<void> {
    const { state, writer, admission } = this.#components
    const seq = (admission.appliedOf(writer) + 1) as Seq
    try {
      state.apply(op, { writer, seq })
    } catch (error) {
      // The op may be half applied: the transaction as a whole is not to be trusted any more.
      this.#fail(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
    const gathering = this.#gathering ?? this.#begin(seq)
    gathering.ops.push(op)
    gathering.headBytes += headBytes(op)
    if (payload && payload.length > 0) {
      assert(payload.length === opDataBytes(op), 'payload is not the bytes of the op')
      gathering.payloads.push(payload)
      gathering.payloadBytes += payload.length
    }
    return gathering.done
  }

  /** Closes the entry being gathered: on return it is journaled and handed to the peers. */
  flush(): void {
    const gathering = this.#gathering
    if (!gathering) return
    this.#gathering = undefined
    this.#scheduled?.cancel()
    this.#scheduled = undefined
    const { admission, writer, journal, publish } = this.#components
    const deps = new Map<WriterId, Seq>()
    for (const live of admission.record.live) {
      if (live !== writer) deps.set(live, admission.appliedOf(live))
    }
    let sealed: SealedEntry
    try {
      const { seq, ops } = gathering
      const head = encodeEntryHead({ epoch: admission.record.epoch, writer, seq, deps, ops })
      sealed = { writer, seq, head, payload: Buffer.concat(gathering.payloads) }
      journal(sealed)
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error))
      gathering.reject(new FsError('EIO', 'the entry could not be journaled', { cause }))
      this.#fail(cause)
      return
    }
    admission.noteOwn(writer, gathering.seq)
    const room = publish(sealed)
    if (room) room.then(gathering.resolve, gathering.reject)
    else gathering.resolve()
  }

  #begin(seq: Seq): Gathering {
    const { promise, resolve, reject } = withResolvers()
    // Nobody may be waiting (a fire-and-forget reap): the failure is reported by onFatal.
    promise.catch(() => {})
    const gathering: Gathering = {
      seq,
      ops: [],
      payloads: [],
      headBytes: 0,
      payloadBytes: 0,
      done: promise,
      resolve,
      reject
    }
    this.#gathering = gathering
    this.#scheduled = this.#components.defer(() => this.flush())
    return gathering
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
