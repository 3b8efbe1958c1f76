/** One request between its arrival and its answer, as the context the filesystem sees. */
import type { FilesystemApi, RequestContext } from '../../fs/filesystem-api.ts'
import type { AnswerRoom } from './answer-room.ts'
import type { CacheMark } from './policy.ts'
import type { FuseRequest, RequestBody } from './request.ts'

/** Key of a request in tables; exact for every `unique` the kernel gives (it counts up by 2). */
export function uniqueKey(uniqueLow: number, uniqueHigh: number): number {
  return uniqueHigh * 2 ** 32 + uniqueLow
}

export class ServedRequest implements RequestContext {
  readonly opcode: number
  readonly uniqueLow: number
  readonly uniqueHigh: number
  readonly key: number
  readonly nodeid: FuseRequest['header']['nodeid']
  readonly uid: number
  readonly gid: number
  readonly pid: number
  readonly body: RequestBody
  /** Memory the request and its answer may pin. */
  readonly costBytes: number
  readonly startedMs: number
  /** CachePolicy.mark at its arrival. */
  readonly cacheMark: CacheMark
  passing = false
  servedBy: FilesystemApi | undefined
  state: 'waiting' | 'serving' | 'answered' = 'waiting'
  readonly #rooms: AnswerRoom
  #room: Buffer | undefined
  #releaseBuffer: (() => void) | undefined
  #controller: AbortController | undefined
  #abortReason: Error | undefined

  constructor(
    request: FuseRequest,
    options: {
      readonly costBytes: number
      readonly startedMs: number
      readonly cacheMark: CacheMark
      readonly releaseBuffer: (() => void) | undefined
      readonly answerRoom: AnswerRoom
    }
  ) {
    const header = request.header
    this.opcode = header.opcode
    this.uniqueLow = header.uniqueLow
    this.uniqueHigh = header.uniqueHigh
    this.key = uniqueKey(header.uniqueLow, header.uniqueHigh)
    this.nodeid = header.nodeid
    this.uid = header.uid
    this.gid = header.gid
    this.pid = header.pid
    this.body = request.body
    this.costBytes = options.costBytes
    this.startedMs = options.startedMs
    this.cacheMark = options.cacheMark
    this.#releaseBuffer = options.releaseBuffer
    this.#rooms = options.answerRoom
  }

  get umask(): number {
    return 'umask' in this.body ? this.body.umask : 0
  }

  get lockOwner(): bigint | undefined {
    const { body } = this
    return body.op === 'read' || body.op === 'write' ? body.lockOwner : undefined
  }

  /** The kernel marks the READs that go past its page cache with who reads. */
  get keepsBytes(): boolean {
    const { body } = this
    return body.op === 'read' && body.lockOwner === undefined
  }

  /** Made when somebody first asks: most requests never wait. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason)
    }
    return this.#controller.signal
  }

  get aborted(): boolean {
    return this.#abortReason !== undefined
  }

  /** Ends the waits of this request with `reason`. */
  abort(reason: Error): void {
    if (this.#abortReason !== undefined) return
    this.#abortReason = reason
    this.#controller?.abort(reason)
  }

  answerRoom(sizeBytes: number): Buffer {
    const room = this.#rooms.take(sizeBytes)
    this.#room = room
    return room
  }

  keepAnswerRoom(): void {
    this.#room = undefined
  }

  /** The answer was written: its room may be used again. */
  releaseAnswerRoom(): void {
    if (this.#room !== undefined) this.#rooms.give(this.#room)
    this.#room = undefined
  }

  /** Gives the channel its buffer back, once. */
  releaseBuffer(): void {
    const release = this.#releaseBuffer
    this.#releaseBuffer = undefined
    release?.()
  }
}
