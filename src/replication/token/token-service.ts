/**
 * The token service of one member: the thin shell around its TokenClient. It turns waiters into
 * promises, effects into calls of the injected parts and their completion into events.
 */
import { assert } from '../../fs/assert.ts'
import { FsError } from '../../fs/errno.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type {
  ByteRange,
  TokenGuard,
  TokenService,
  TokenWant
} from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import { EffectQueue } from '../effect-queue.ts'
import type { Vector } from '../vector.ts'
import { TokenClient } from './token-client.ts'
import type { ClientEffect, ClientEvent, ClientOptions } from './token-client-events.ts'
import type { ToAuthority, ToClient } from './token-message.ts'
import type { WaiterId } from './token-requests.ts'

export interface TokenServiceComponents {
  readonly clock: Clock
  /** Reliable and in order within the epoch (see TokenLink). */
  send(message: ToAuthority): void
  /** Closes the entry being gathered; resolves with all this member has applied, that included. */
  flush(): Vector | Promise<Vector>
  /** Resolves when this member has applied `vector`. */
  waitApplied(vector: Vector): void | Promise<void>
  /** Drops what the kernel caches of these inodes. */
  dropCaches(inos: readonly Ino[]): void | Promise<void>
  /** The authority breaks the protocol: cut it off. */
  onViolation(reason: string): void
  /** One of the parts above failed while its epoch goes on: the member cannot serve any more. */
  onFatal(error: unknown): void
}

interface Waiter {
  readonly wants: readonly TokenWant[]
  readonly resolve: (guard: TokenGuard) => void
  readonly reject: (reason: unknown) => void
  /** Forgets the signal. */
  readonly settle: () => void
}

class Guard implements TokenGuard {
  readonly #service: MemberTokens
  readonly #wants: readonly TokenWant[]
  #released = false

  constructor(service: MemberTokens, wants: readonly TokenWant[]) {
    this.#service = service
    this.#wants = wants
  }

  release(): void {
    assert(!this.#released, 'token guard released twice')
    this.#released = true
    this.#service.endGuard(this.#wants)
  }
}

export class MemberTokens implements TokenService {
  readonly #components: TokenServiceComponents
  readonly #client: TokenClient
  readonly #waiters = new Map<WaiterId, Waiter>()
  readonly #queries = new Map<number, (fresh: boolean) => void>()
  readonly #timers = new Set<Timer>()
  readonly #sealed: (() => void)[] = []
  #lastWaiter = 0
  /** Changes whenever what is under way becomes void: its failure is then no news. */
  #period = 0
  readonly #effects = new EffectQueue<ClientEffect>((effect) => this.#execute(effect))

  constructor(components: TokenServiceComponents, options: ClientOptions) {
    this.#components = components
    this.#client = new TokenClient(options)
  }

  /** `wants` must stay unchanged until the guard is released. */
  tryAcquire(wants: readonly TokenWant[]): TokenGuard | undefined {
    return this.#client.tryAcquire(wants) ? new Guard(this, wants) : undefined
  }

  /**
   * Waits for all wants at once, over epoch changes too; nothing is held meanwhile. `wants` must
   * stay unchanged until the guard is released. Rejects with EIO when this member is isolated,
   * with the signal's reason when that aborts first.
   */
  acquire(
    wants: readonly TokenWant[],
    signal?: AbortSignal,
    ahead?: () => readonly Ino[]
  ): Promise<TokenGuard> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    const guard = this.tryAcquire(wants)
    if (guard !== undefined) return Promise.resolve(guard)
    const id = ++this.#lastWaiter
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.delete(id)
        this.#step({ type: 'cancel', waiter: id })
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      const settle = () => signal?.removeEventListener('abort', onAbort)
      this.#waiters.set(id, { wants, resolve, reject, settle })
      const brought = ahead !== undefined && this.#client.isContended(wants) ? ahead() : []
      this.#step({ type: 'acquire', waiter: id, wants, ahead: brought })
    })
  }

  own(ino: Ino): void {
    this.#step({ type: 'own', ino })
  }

  giveUp(ino: Ino, range: ByteRange): void {
    this.#step({ type: 'give-up', ino, range })
  }

  query(ino: Ino): Promise<boolean> | undefined {
    const request = this.#client.ask(ino)
    if (request === undefined) return undefined
    return new Promise((resolve) => {
      this.#queries.set(request, resolve)
      this.#step({ type: 'query', request, ino })
    })
  }

  /** See TokenClient. */
  reserve(want: TokenWant): number | undefined {
    return this.#client.reserve(want)
  }

  settleReserved(request: number, coming: boolean): void {
    this.#step({ type: 'reserved', request, coming })
  }

  /** For the guards of this service only. */
  endGuard(wants: readonly TokenWant[]): void {
    this.#effects.run(this.#client.release(wants))
  }

  receive(message: ToClient): void {
    this.#step({ type: 'message', message, nowMs: this.#components.clock.monotonicMs() })
  }

  /** Gives no guard from here on; resolves when no exclusive guard runs any more. */
  seal(): Promise<void> {
    return new Promise((resolve) => {
      this.#sealed.push(resolve)
      this.#step({ type: 'seal' })
    })
  }

  /**
   * Serves in a new epoch, where everything is shared at first. Only after `seal` has resolved, and
   * when this member has applied every writer to its cut (RULES 18).
   */
  startEpoch(): void {
    this.#void()
    this.#step({ type: 'epoch' })
  }

  /** This member may not serve: waiters and newcomers get EIO until the next epoch. */
  isolate(): void {
    this.#void()
    this.#step({ type: 'isolate' })
  }

  counts(): ReturnType<TokenClient['counts']> {
    return this.#client.counts()
  }

  #void(): void {
    this.#period++
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
  }

  #step(event: ClientEvent): void {
    this.#effects.run(this.#client.step(event))
  }

  #execute(effect: ClientEffect): void {
    const { clock, send, onViolation } = this.#components
    switch (effect.type) {
      case 'send':
        send(effect.message)
        break
      case 'acquired':
        this.#acquired(effect.waiter)
        break
      case 'failed':
        this.#failed(effect.waiter)
        break
      case 'asked':
        this.#queries.get(effect.request)?.(effect.fresh)
        this.#queries.delete(effect.request)
        break
      case 'wait-applied': {
        const { task, vector } = effect
        const done = () => this.#step({ type: 'applied', task, nowMs: clock.monotonicMs() })
        this.#await(() => this.#components.waitApplied(vector), done)
        break
      }
      case 'flush': {
        const { task } = effect
        const done = (vector: Vector) => this.#step({ type: 'flushed', task, vector })
        this.#await(() => this.#components.flush(), done)
        break
      }
      case 'drop-caches': {
        const { task, inos } = effect
        const done = () => this.#step({ type: 'dropped', task })
        this.#await(() => this.#components.dropCaches(inos), done)
        break
      }
      case 'hold-timer':
        this.#startHold(effect.ino, effect.grant, effect.delayMs)
        break
      case 'sealed':
        for (const resolve of this.#sealed.splice(0)) resolve()
        break
      case 'violation':
        onViolation(effect.reason)
        break
    }
  }

  #acquired(id: WaiterId): void {
    const waiter = this.#waiters.get(id)
    assert(waiter !== undefined, 'guard for an unknown waiter')
    this.#waiters.delete(id)
    waiter.settle()
    waiter.resolve(new Guard(this, waiter.wants))
  }

  #failed(id: WaiterId): void {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) return
    this.#waiters.delete(id)
    waiter.settle()
    waiter.reject(new FsError('EIO', 'this member may not serve now'))
  }

  #startHold(ino: Ino, grant: number, delayMs: number): void {
    const timer = this.#components.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer)
      const nowMs = this.#components.clock.monotonicMs()
      this.#step({ type: 'hold-elapsed', ino, grant, nowMs })
    })
    this.#timers.add(timer)
  }

  #await<T>(start: () => T | Promise<T>, done: (value: T) => void): void {
    const period = this.#period
    const failed = (error: unknown) => {
      if (period === this.#period) this.#components.onFatal(error)
    }
    try {
      const result = start()
      if (result instanceof Promise) result.then(done).catch(failed)
      else done(result)
    } catch (error) {
      failed(error)
    }
  }
}
