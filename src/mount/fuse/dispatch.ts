/**
 * Requests from the channel to the filesystem and the answers back. The one place where errors
 * become errno: FsError is its own, anything else is EIO with the stack in the log. Every request
 * that waits for an answer gets exactly one. RULES 33: see interrupts.ts; lease checks: gate.ts.
 *
 * A wait for a lock has no end of its own, and the processes it waits for may need to be served
 * first: it takes no place among the admitted requests, but has a bound of its own. It is the only
 * wait that any signal ends.
 *
 * The channel's buffer is given back before a request is served, except that of a WRITE, which keeps
 * it until settled: so the channel's pool bounds what a flood of writes can pin.
 */
import { assert } from '../../fs/assert.ts'
import { Errno, FsError } from '../../fs/errno.ts'
import type { Awaitable, FilesystemApi } from '../../fs/filesystem-api.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { FuseChannel } from '../channel/channel.ts'
import { Opcode, opcodeName } from './abi.ts'
import { Admission, type AdmissionLimits, defaultAdmissionLimits } from './admission.ts'
import { AnswerRoom } from './answer-room.ts'
import { RequestDecoder } from './decode.ts'
import { ReplyEncoder } from './encode.ts'
import type { RequestGate } from './gate.ts'
import { Interrupts, type KillPending } from './interrupts.ts'
import type { CachePolicy } from './policy.ts'
import { printReply, printRequest } from './print.ts'
import { errorReply, okReply, type Reply } from './reply.ts'
import type { BodyOf, FuseRequest, MalformedRequest, RequestHeader } from './request.ts'
import {
  costOf,
  expectsReply,
  isLockWait,
  isUnwatched,
  silencedByEnosys
} from './request-traits.ts'
import { RequestsInFlight } from './requests-in-flight.ts'
import { serve } from './serve.ts'
import { ServedRequest, uniqueKey } from './served-request.ts'
import { defaultSessionLimits, negotiate, type Session, type SessionLimits } from './session.ts'
import { FuseStatistics } from './statistics.ts'

export interface DispatcherComponents {
  readonly channel: FuseChannel
  readonly fs: FilesystemApi
  readonly policy: CachePolicy
  readonly gate: RequestGate
  readonly clock: Clock
  readonly logger: Logger
  readonly killPending: KillPending
}

export interface DispatcherOptions {
  readonly admission?: AdmissionLimits
  readonly session?: SessionLimits
  /** Most waits for locks at the same time; further ones answer ENOLCK. Default 16384. */
  readonly lockWaitsMax?: number
  /** Gets one line for each request and reply. */
  readonly debug?: (line: string) => void
  /** Told of every error that is no FsError, after it was logged and answered with EIO. */
  readonly onInternalError?: (error: unknown) => void
}

const DEFAULT_LOCK_WAITS_MAX = 16384

export class FuseDispatcher {
  readonly statistics = new FuseStatistics()
  /** The session once the kernel's INIT was answered; rejects when that fails. */
  readonly ready: Promise<Session>
  /** Resolves when the channel is closed, with the error if it was one. */
  readonly closed: Promise<Error | undefined>
  readonly #components: DispatcherComponents
  readonly #options: DispatcherOptions
  readonly #decoder = new RequestDecoder()
  readonly #encoder = new ReplyEncoder()
  readonly #answerRoom: AnswerRoom
  readonly #requests = new RequestsInFlight()
  readonly #admission: Admission
  readonly #interrupts: Interrupts
  /** Admitted and not begun yet: one that is served at once may make it the turn of many. */
  readonly #admitted: ServedRequest[] = []
  #isBeginning = false
  #session: Session | undefined
  #isClosed = false
  #resolveReady: (session: Session) => void = () => {}
  #rejectReady: (error: Error) => void = () => {}
  #resolveClosed: (error: Error | undefined) => void = () => {}
  #lockWaits = 0
  #idleWaiters: (() => void)[] = []

  constructor(components: DispatcherComponents, options: DispatcherOptions = {}) {
    this.#components = components
    this.#options = options
    const { channel } = components
    this.#answerRoom = new AnswerRoom({ pageOffset: (bytes) => channel.pageOffset?.(bytes) ?? 0 })
    this.#admission = new Admission(options.admission ?? defaultAdmissionLimits)
    this.#interrupts = new Interrupts({
      clock: components.clock,
      killPending: components.killPending,
      end: (request) => this.#endInterrupted(request)
    })
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    // Whoever needs it awaits it; `closed` tells the same to those who do not.
    this.ready.catch(() => {})
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
  }

  /** Begins to take requests from the channel. */
  start(): void {
    this.#components.channel.start({
      onRequest: (request, release) => this.#onRequest(request, release),
      onClose: (error) => this.#onClose(error)
    })
  }

  /** Requests being served or waiting for their turn. */
  get inFlight(): number {
    return this.#requests.size
  }

  /** Resolves when no request is in flight; the caller bounds the wait. */
  idle(): Promise<void> {
    if (this.#requests.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idleWaiters.push(resolve))
  }

  /**
   * Ends the waits of all requests in flight: their signals abort with `reason`, and those not yet
   * begun are answered with its errno. For the isolation limit (RULES 33) and for unmounting.
   */
  endWaits(reason: FsError): void {
    for (const request of this.#requests.all()) {
      request.abort(reason)
      if (request.state === 'waiting' && this.#admission.remove(request)) {
        this.#answer(request, errorReply(reason.errno))
      }
    }
  }

  #onRequest(message: Buffer, release: () => void): void {
    const decoded = this.#decoder.decode(message)
    if (!decoded.ok) {
      release()
      this.#answerMalformed(decoded)
      return
    }
    if (this.#options.debug !== undefined) this.#options.debug(printRequest(decoded))
    if (this.#servedAtOnce(decoded)) {
      release()
      return
    }
    this.#take(decoded, release)
  }

  #answerMalformed({ header, errno, reason }: MalformedRequest): void {
    const { logger } = this.#components
    if (header === undefined) {
      logger.error({ reason }, 'unreadable FUSE message')
      return
    }
    const opcode = opcodeName(header.opcode)
    logger.warn({ opcode, errno, reason }, 'refused a FUSE request')
    this.statistics.add(header.opcode, true, 0)
    if (expectsReply(header.opcode)) this.#send(header, errorReply(errno))
  }

  /** Requests about the connection, which neither wait nor need a right to be served. */
  #servedAtOnce(request: FuseRequest): boolean {
    const { header, body } = request
    switch (body.op) {
      case 'forget':
        this.#components.policy.forgotten(header.nodeid, body.lookups)
        break
      case 'batchForget':
        for (const { ino, lookups } of body.forgotten) {
          this.#components.policy.forgotten(ino, lookups)
        }
        break
      case 'interrupt':
        this.#interrupt(header, body)
        break
      case 'init':
        this.#init(header, body)
        break
      case 'destroy':
        this.#send(header, okReply)
        break
      default:
        if (this.#session !== undefined) return false
        this.#components.logger.error({ opcode: opcodeName(header.opcode) }, 'request before INIT')
        this.#send(header, errorReply(Errno.EIO))
    }
    this.statistics.add(header.opcode, false, 0)
    return true
  }

  #init(header: RequestHeader, body: BodyOf<'init'>): void {
    const { logger } = this.#components
    if (this.#session !== undefined) {
      logger.error({}, 'second INIT on one connection')
      this.#send(header, errorReply(Errno.EIO))
      return
    }
    const result = negotiate(body, this.#options.session ?? defaultSessionLimits)
    if (result.kind === 'refused') {
      logger.error({ reason: result.reason }, 'FUSE session refused')
      this.#send(header, errorReply(Errno.EPROTO))
      this.#rejectReady(new FsError('EPROTO', result.reason))
      return
    }
    this.#send(header, result.reply)
    if (result.kind === 'again') return
    this.#session = result.session
    this.#decoder.begin(result.session.flags)
    this.#components.policy.begin(result.session, this.#components.channel)
    logger.info({ ...result.session }, 'FUSE session begun')
    this.#resolveReady(result.session)
  }

  #interrupt(header: RequestHeader, body: BodyOf<'interrupt'>): void {
    const request = this.#requests.get(uniqueKey(body.uniqueLow, body.uniqueHigh))
    // Either it is not read yet (the kernel asks again), or it is answered (the kernel knows).
    if (request === undefined) this.#send(header, errorReply(Errno.EAGAIN))
    else if (isLockWait(request)) this.#endInterrupted(request)
    else this.#interrupts.interrupt(request)
  }

  #endInterrupted(request: ServedRequest): void {
    const reason = new FsError('EINTR', 'the process was signalled')
    request.abort(reason)
    if (request.state !== 'waiting' || !this.#admission.remove(request)) return
    this.#answer(request, errorReply(Errno.EINTR))
  }

  #take(decoded: FuseRequest, release: () => void): void {
    const keep = decoded.body.op === 'write' ? release : undefined
    const request = new ServedRequest(decoded, {
      costBytes: costOf(decoded),
      startedMs: performance.now(),
      cacheMark: this.#components.policy.mark(),
      releaseBuffer: keep,
      answerRoom: this.#answerRoom
    })
    if (keep === undefined) release()
    if (this.#requests.get(request.key) !== undefined) {
      // Two answers to one unique would end a request that is not theirs.
      this.#components.logger.error({ unique: request.key }, 'request with a unique in use')
      request.releaseBuffer()
      return
    }
    this.#requests.add(request)
    this.#components.policy.arrived(request)
    if (isUnwatched(request.opcode)) {
      void this.#run(request, false)
      return
    }
    if (isLockWait(request)) {
      void this.#waitForLock(request)
      return
    }
    const verdict = this.#admission.admit(request)
    if (verdict === 'serve') this.#runAdmitted(request)
    else if (verdict === 'refuse') {
      this.#components.logger.warn({ waiting: this.#admission.waiting }, 'too many FUSE requests')
      this.#answer(request, errorReply(Errno.ENOMEM))
    }
  }

  /**
   * Serves one request to its end, at once when nothing has to be waited for; never throws or rejects.
   * `watched`: somebody waits for the answer.
   */
  #run(request: ServedRequest, watched: boolean): Awaitable<void> {
    request.state = 'serving'
    let reply: Awaitable<Reply>
    try {
      const right = watched ? this.#components.gate.beforeServe(request, request.opcode) : undefined
      reply =
        right === undefined
          ? serve(this.#components, request)
          : right.then(() => serve(this.#components, request))
    } catch (error) {
      reply = this.#errorReply(request, error)
    }
    if (!(reply instanceof Promise)) return this.#finish(request, reply, watched)
    return reply.then(
      (served) => this.#finish(request, served, watched),
      (error: unknown) => this.#finish(request, this.#errorReply(request, error), watched)
    )
  }

  /** Answers under the right to do so, or waits for that. */
  #finish(request: ServedRequest, reply: Reply, watched: boolean): Awaitable<void> {
    if (watched && !this.#mayReply(request)) return this.#finishLater(request, reply)
    this.#answer(request, reply)
  }

  async #finishLater(request: ServedRequest, reply: Reply): Promise<void> {
    const isFailure = reply.kind === 'error' && reply.errno === Errno.EIO
    const allowed = isFailure ? reply : await this.#whenAllowed(request, reply)
    this.#answer(request, this.#gated(request, allowed))
  }

  /** Serves the admitted request, and then those whose turn it is by that. */
  #runAdmitted(request: ServedRequest): void {
    this.#admitted.push(request)
    if (this.#isBeginning) return
    this.#isBeginning = true
    try {
      for (let next = this.#admitted.shift(); next !== undefined; next = this.#admitted.shift()) {
        const begun = next
        const running = this.#run(begun, true)
        if (running === undefined) this.#settle(begun)
        else void running.then(() => this.#settle(begun))
      }
    } finally {
      this.#isBeginning = false
    }
  }

  #settle(request: ServedRequest): void {
    for (const next of this.#admission.settle(request)) this.#runAdmitted(next)
  }

  async #waitForLock(request: ServedRequest): Promise<void> {
    if (this.#lockWaits >= (this.#options.lockWaitsMax ?? DEFAULT_LOCK_WAITS_MAX)) {
      this.#components.logger.warn({ waiting: this.#lockWaits }, 'too many waits for locks')
      this.#answer(request, errorReply(Errno.ENOLCK))
      return
    }
    this.#lockWaits += 1
    await this.#run(request, true)
    this.#lockWaits -= 1
  }

  #mayReply(request: ServedRequest): boolean {
    try {
      return this.#components.gate.beforeReply(request, request.opcode) === 0
    } catch {
      // Asked again by `#gated`, which answers with the error.
      return false
    }
  }

  /** An answer that is ready while the right to give it cannot be proven waits (DESIGN 5). */
  async #whenAllowed(request: ServedRequest, reply: Reply): Promise<Reply> {
    const { gate } = this.#components
    try {
      await gate.untilReply(request, request.opcode)
      return reply
    } catch (error) {
      this.#giveBack(request, reply)
      return this.#errorReply(request, error)
    }
  }

  #gated(request: ServedRequest, reply: Reply): Reply {
    try {
      const errno = this.#components.gate.beforeReply(request, request.opcode)
      if (errno === 0) return reply
      this.#giveBack(request, reply)
      return errorReply(errno)
    } catch (error) {
      this.#giveBack(request, reply)
      return this.#errorReply(request, error)
    }
  }

  /** A handle the kernel will never hear of, and so never release. */
  #giveBack(request: ServedRequest, reply: Reply): void {
    const { fs } = this.#components
    const close = async (): Promise<void> => {
      if (reply.kind === 'create') await fs.release(reply.attr.ino, reply.handle)
      else if (reply.kind !== 'open') return
      else if (request.opcode === Opcode.OPENDIR) await fs.releasedir(request.nodeid, reply.handle)
      else await fs.release(request.nodeid, reply.handle)
    }
    close().catch((error: unknown) => this.#internalError(request, error))
  }

  /** The file is closed all the same, also when its FLUSH was not served: its locks end. */
  #failedClose({ body, nodeid }: ServedRequest): void {
    if (body.op === 'flush') this.#components.fs.dropLocks(nodeid, body.lockOwner)
  }

  #errorReply(request: ServedRequest, error: unknown): Reply {
    if (!(error instanceof FsError)) {
      this.#internalError(request, error)
      return errorReply(Errno.EIO)
    }
    if (error.errno === Errno.ENOSYS && silencedByEnosys.has(request.opcode)) {
      this.#internalError(request, error)
      return errorReply(Errno.EIO)
    }
    return errorReply(error.errno)
  }

  #internalError(request: ServedRequest, error: unknown): void {
    this.#components.logger.error(
      {
        opcode: opcodeName(request.opcode),
        ino: request.nodeid,
        pid: request.pid,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error)
      },
      'internal error while serving a FUSE request'
    )
    this.#options.onInternalError?.(error)
  }

  /** Sends the one answer of a request and forgets it. */
  #answer(request: ServedRequest, reply: Reply): void {
    assert(request.state !== 'answered', 'a request is answered once')
    request.state = 'answered'
    this.#requests.remove(request)
    this.#interrupts.settled(request)
    request.releaseBuffer()
    if (reply.kind === 'error') this.#failedClose(request)
    const failed = reply.kind === 'error' || reply.kind === 'absent'
    this.statistics.add(request.opcode, failed, performance.now() - request.startedMs)
    if (!this.#isClosed) this.#deliver(request, reply)
    request.releaseAnswerRoom()
    if (this.#requests.size === 0) this.#wakeIdle()
  }

  /** From the policy's word to the kernel in one piece. */
  #deliver(request: ServedRequest, reply: Reply): void {
    const { policy } = this.#components
    policy.complete(request, reply)
    if (!this.#send(request, reply)) {
      policy.undelivered(reply)
      this.#giveBack(request, reply)
      return
    }
    try {
      policy.delivered(request, reply)
    } catch (error) {
      this.#internalError(request, error)
    }
  }

  /** False when the reply did not reach the kernel. */
  #send(header: Pick<RequestHeader, 'opcode' | 'uniqueLow' | 'uniqueHigh'>, reply: Reply): boolean {
    const { channel, logger } = this.#components
    const { uniqueLow, uniqueHigh, opcode } = header
    this.#options.debug?.(printReply(header, reply))
    try {
      channel.reply(this.#encoder.encode(uniqueLow, uniqueHigh, reply))
      return true
    } catch (error) {
      logger.error({ opcode: opcodeName(opcode), error: stackOf(error) }, 'reply not written')
    }
    try {
      channel.reply(this.#encoder.encode(uniqueLow, uniqueHigh, errorReply(Errno.EIO)))
    } catch (error) {
      logger.error({ opcode: opcodeName(opcode), error: stackOf(error) }, 'request left unanswered')
    }
    return false
  }

  /** Nothing can be answered any more: ends all waits, and drops what has not begun. */
  #onClose(error: Error | undefined): void {
    this.#isClosed = true
    this.#interrupts.close()
    const reason = new FsError('ENOTCONN', 'the mount is gone')
    this.endWaits(reason)
    this.#rejectReady(error ?? reason)
    this.#resolveClosed(error)
  }

  #wakeIdle(): void {
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const wake of waiters) wake()
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
