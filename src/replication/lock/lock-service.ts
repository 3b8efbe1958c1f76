/**
 * The lock service of one member: the thin shell around its LockClient. It turns decisions into
 * return values, errors and promises, and signals into cancels.
 */
import { assert } from '../../fs/assert.ts'
import { FsError } from '../../fs/errno.ts'
import { checkLockRequest, WHOLE_FILE } from '../../fs/lock/range.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type {
  LockConflict,
  LockKind,
  LockRequest,
  LockRow,
  LockService,
  LockWait,
  LostLock
} from '../../fs/ports/lock-service.ts'
import type { TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import { EffectQueue } from '../effect-queue.ts'
import { endOf, startOf } from '../token/token-range.ts'
import { LockClient } from './lock-client.ts'
import type {
  LockClientEffect,
  LockClientEvent,
  LockClientOptions,
  LockDecision
} from './lock-client-events.ts'
import type { LockAction, LockBring, LockToAuthority, LockToClient } from './lock-message.ts'
import { clientRows } from './lock-rows.ts'
import { Ticker } from './ticker.ts'

/** The part of the token service that lets a lock bring a token along (see TokenNode). */
export interface TokenReservations {
  reserve(want: TokenWant): number | undefined
  settleReserved(request: number, coming: boolean): void
}

export interface LockServiceComponents {
  readonly clock: Clock
  readonly tokens: TokenReservations
  /** Reliable and in order within the epoch (see TokenLink). */
  send(message: LockToAuthority): void
  /** These locks are gone though nobody unlocked them: poison their handles (RULES 5). */
  onLost(locks: readonly LostLock[]): void
  /** The authority breaks the protocol: cut it off. */
  onViolation(reason: string): void
}

interface OpenCall {
  readonly bring: LockBring | undefined
  decision: LockDecision | undefined
  decided: ((decision: LockDecision) => void) | undefined
}

export class MemberLocks implements LockService {
  readonly #components: LockServiceComponents
  readonly #client: LockClient
  readonly #ticker: Ticker
  readonly #calls = new Map<number, OpenCall>()
  readonly #effects = new EffectQueue<LockClientEffect>((effect) => this.#execute(effect))

  constructor(components: LockServiceComponents, options: LockClientOptions) {
    this.#components = components
    this.#client = new LockClient(options)
    this.#ticker = new Ticker({
      clock: components.clock,
      isWanted: () => this.#client.needsTick,
      tick: (nowMs) => this.#step({ type: 'tick', nowMs })
    })
  }

  getlk(
    ino: Ino,
    request: LockRequest,
    signal?: AbortSignal
  ): LockConflict | undefined | Promise<LockConflict | undefined> {
    if (request.type === 'unlock') throw new FsError('EINVAL', 'query of an unlock')
    const outcome = this.#request(ino, request, 'query', { signal })
    return outcome instanceof Promise ? outcome.then(conflictOf) : conflictOf(outcome)
  }

  setlk(ino: Ino, request: LockRequest, options: LockWait): void | Promise<void> {
    const outcome = this.#request(ino, request, options.wait ? 'wait' : 'try', options)
    if (outcome instanceof Promise) return outcome.then(check)
    check(outcome)
  }

  releaseOwner(ino: Ino, owner: bigint, kind: LockKind): void | Promise<void> {
    if (!this.#client.concerns(ino, owner, kind)) return
    return this.setlk(ino, { kind, type: 'unlock', owner, pid: 0, ...WHOLE_FILE }, { wait: false })
  }

  isContended(ino: Ino): boolean {
    return this.#client.isContended(ino)
  }

  /** What processes of this member hold and wait for. */
  list(): readonly LockRow[] {
    return clientRows(this.#client, this.#components.clock.monotonicMs(), () => true)
  }

  /** The same without the inodes that the authority decides about. */
  listDelegated(): readonly LockRow[] {
    const nowMs = this.#components.clock.monotonicMs()
    return clientRows(this.#client, nowMs, (delegated) => delegated)
  }

  receive(message: LockToClient): void {
    this.#step({ type: 'message', message, nowMs: this.#components.clock.monotonicMs() })
  }

  /** Asserts what is held here and asks again for what is open. */
  startEpoch(): void {
    this.#step({ type: 'epoch', nowMs: this.#components.clock.monotonicMs() })
  }

  /** This member may not serve: open and new requests get EIO until the next epoch. */
  isolate(): void {
    this.#step({ type: 'isolate' })
  }

  /** This incarnation is over for good: all its locks are lost and reported so. */
  end(): void {
    this.#step({ type: 'end' })
    this.#ticker.stop()
  }

  counts(): ReturnType<LockClient['counts']> {
    return this.#client.counts()
  }

  #request(
    ino: Ino,
    request: LockRequest,
    action: LockAction,
    options: Pick<LockWait, 'signal' | 'token'>
  ): LockDecision | Promise<LockDecision> {
    checkLockRequest(request)
    const { kind, type: lock, owner, pid, start, end } = request
    const nowMs = this.#components.clock.monotonicMs()
    const ask = { ino, kind, lock, action, owner, pid, start, end }
    const { token } = options
    const bring = token === undefined || lock === 'unlock' ? undefined : this.#reserve(token)
    const asked = this.#client.request(ask, nowMs, bring)
    if (typeof asked !== 'number') {
      this.#settleReserved(bring, asked)
      this.#run(this.#client.takeEffects())
      return asked
    }
    const call: OpenCall = { bring, decision: undefined, decided: undefined }
    this.#calls.set(asked, call)
    this.#run(this.#client.takeEffects())
    return call.decision ?? this.#wait(asked, call, options.signal)
  }

  /** Under a delegation nobody would make the request. */
  #reserve(want: TokenWant): LockBring | undefined {
    if (this.#client.isDelegated(want.ino)) return undefined
    const request = this.#components.tokens.reserve(want)
    if (request === undefined) return undefined
    return { request, mode: want.mode, range: { start: startOf(want), end: endOf(want) } }
  }

  #settleReserved(bring: LockBring | undefined, decision: LockDecision): void {
    if (bring === undefined) return
    this.#components.tokens.settleReserved(bring.request, decision.brought === true)
  }

  #wait(request: number, call: OpenCall, signal: AbortSignal | undefined): Promise<LockDecision> {
    return new Promise((resolve) => {
      const nowMs = () => this.#components.clock.monotonicMs()
      const onAbort = () => this.#step({ type: 'cancel', request, nowMs: nowMs() })
      call.decided = (decision) => {
        signal?.removeEventListener('abort', onAbort)
        resolve(decision)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      if (signal?.aborted) onAbort()
    })
  }

  #step(event: LockClientEvent): void {
    this.#run(this.#client.step(event))
  }

  #run(effects: readonly LockClientEffect[]): void {
    this.#effects.run(effects)
    this.#ticker.look()
  }

  #execute(effect: LockClientEffect): void {
    switch (effect.type) {
      case 'send':
        this.#components.send(effect.message)
        break
      case 'decided':
        this.#decided(effect.request, effect.decision)
        break
      case 'lost':
        this.#components.onLost(effect.locks)
        break
      case 'violation':
        this.#components.onViolation(effect.reason)
        break
    }
  }

  #decided(request: number, decision: LockDecision): void {
    const call = this.#calls.get(request)
    assert(call !== undefined, 'a decision nobody asked for')
    this.#calls.delete(request)
    this.#settleReserved(call.bring, decision)
    call.decision = decision
    call.decided?.(decision)
  }
}

function conflictOf(decision: LockDecision): LockConflict | undefined {
  check(decision)
  return decision.conflict
}

function check({ result }: LockDecision): void {
  switch (result) {
    case 'granted':
      return
    case 'again':
      throw new FsError('EAGAIN', 'the lock is held by another process')
    case 'deadlock':
      throw new FsError('EDEADLK', 'waiting for this lock would never end')
    case 'cancelled':
      throw new FsError('EINTR', 'the wait for a lock was interrupted')
    case 'no-locks':
      throw new FsError('ENOLCK', 'too many file locks')
    case 'isolated':
      throw new FsError('EIO', 'this member may not serve now')
  }
}
