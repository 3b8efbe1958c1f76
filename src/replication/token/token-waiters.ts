/**
 * Who waits for tokens at a member, and what is asked for them.
 *
 * Invariant: a waiter asks once for what it lacks and then for all of it, which is granted as a set: it
 * does not wait for ever while what it lacks changes. Nothing is asked for while a grant of it is being
 * installed: asking again would change nothing, and all waiters are looked at afterwards. Pure, part of
 * the client's core.
 */
import type { TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { ClientContext } from './token-client-context.ts'
import type { ClientHabits } from './token-habits.ts'
import { TOKEN_WANTS_MAX } from './token-message.ts'
import { endOf, startOf } from './token-range.ts'
import type { ClientRequests, Waiter, WaiterId } from './token-requests.ts'

export interface ClientWaitersComponents {
  readonly context: ClientContext
  readonly habits: ClientHabits
  readonly requests: ClientRequests
  /** Takes a guard for all wants when that needs nobody else. */
  readonly tryAcquire: (wants: readonly TokenWant[]) => boolean
}

export class ClientWaiters {
  readonly #components: ClientWaitersComponents
  readonly #waiters = new Map<WaiterId, Waiter>()

  constructor(components: ClientWaitersComponents) {
    this.#components = components
  }

  get size(): number {
    return this.#waiters.size
  }

  add(id: WaiterId, wants: readonly TokenWant[], ahead: readonly Ino[]): Waiter {
    const waiter: Waiter = { id, wants, ahead, request: undefined, asked: false }
    this.#waiters.set(id, waiter)
    return waiter
  }

  /** True when there is room for a request now that was not there. */
  cancel(id: WaiterId): boolean {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) return false
    this.#waiters.delete(id)
    const wasFull = this.#components.requests.isFull
    this.#leave(waiter)
    return wasFull
  }

  /** The requests of an earlier epoch are forgotten: they are made anew. */
  startEpoch(): void {
    for (const waiter of this.#waiters.values()) {
      waiter.request = undefined
      waiter.asked = false
    }
  }

  /** No member can be asked any more. */
  failAll(): void {
    const { effects } = this.#components.context
    for (const waiter of this.#waiters.keys()) effects.push({ type: 'failed', waiter })
    this.#waiters.clear()
  }

  serve(): void {
    for (const waiter of this.#waiters.values()) this.serveOne(waiter)
  }

  serveOne(waiter: Waiter): void {
    const { context, tryAcquire } = this.#components
    if (tryAcquire(waiter.wants)) {
      this.#waiters.delete(waiter.id)
      this.#leave(waiter)
      context.effects.push({ type: 'acquired', waiter: waiter.id })
    } else if (waiter.request === undefined && !this.isInstalling(waiter.wants)) {
      this.#request(waiter)
    }
  }

  isInstalling(wants: readonly TokenWant[]): boolean {
    const { states } = this.#components.context
    return wants.some((want) => states.get(want.ino)?.isInstalling(startOf(want), endOf(want)))
  }

  #request(waiter: Waiter): void {
    const { context, habits, requests } = this.#components
    const wants = waiter.asked ? waiter.wants : this.#missing(waiter.wants)
    const more = this.#free(waiter.ahead, TOKEN_WANTS_MAX - wants.length)
    const request = requests.join(waiter, [...habits.foresee(wants), ...more])
    waiter.asked = waiter.request !== undefined
    if (request === undefined) return
    const message = { type: 'want', request: request.id, wants: request.wants } as const
    context.effects.push({ type: 'send', message })
  }

  /** Of the inodes those that are shared here: who would hold one has had this member noted. */
  #free(inos: readonly Ino[], countMax: number): readonly TokenWant[] {
    const { states } = this.#components.context
    const free = inos.filter((ino) => !states.has(ino)).slice(0, countMax)
    return free.map((ino) => ({ ino, mode: 'exclusive' }))
  }

  /**
   * What is not here. The rest is not held on to meanwhile, but a holder that waits is not idle; if it
   * is lost, all is asked for.
   */
  #missing(wants: readonly TokenWant[]): readonly TokenWant[] {
    if (wants.length < 2) return wants
    const { states } = this.#components.context
    return wants.filter((want) => {
      const state = states.get(want.ino)
      if (state === undefined) return want.mode === 'exclusive'
      if (!state.allows(want)) return true
      state.uses++
      if (want.mode === 'exclusive') state.changed = true
      return false
    })
  }

  #leave(waiter: Waiter): void {
    const { context, requests } = this.#components
    const request = requests.leave(waiter)
    if (request === undefined) return
    context.effects.push({ type: 'send', message: { type: 'cancel', request: request.id } })
  }
}
