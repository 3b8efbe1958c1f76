/**
 * A member's waiters and its requests to the authority. Several waiters share a request that asks
 * for all they want; a request without waiters is of no use. Bounded by TOKEN_REQUESTS_MAX: waiters
 * beyond it have no request and are looked at again when one ends.
 *
 * A reserved request is not sent by its member: the authority makes it when it grants the file lock
 * that brings it. Nobody may wait for it before it is known to be made.
 */
import { assert } from '../../fs/assert.ts'
import type { TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import { TOKEN_REQUESTS_MAX, TOKEN_WANTS_MAX } from './token-message.ts'
import { coversWants, strongestWants } from './token-range.ts'

/** Numbers a waiting acquisition; chosen by the shell, never used twice. */
export type WaiterId = number

export interface Waiter {
  readonly id: WaiterId
  readonly wants: readonly TokenWant[]
  /** Inodes that are brought along while nobody is known to hold them. */
  readonly ahead: readonly Ino[]
  request: ClientRequest | undefined
  /** It has asked for what it lacked: from here on it asks for all it wants. */
  asked: boolean
}

export interface ClientRequest {
  readonly id: number
  readonly wants: readonly TokenWant[]
  readonly waiters: Set<Waiter>
  /** The grant has arrived; its vector is being waited for. */
  granted: boolean
  /** A file lock brings it: of use without waiters, since a process is about to have some. */
  brought: boolean
}

/** Room is left for requests that are waited for. */
const RESERVED_MAX = TOKEN_REQUESTS_MAX / 2

export class ClientRequests {
  readonly #requests = new Map<number, ClientRequest>()
  /** The last request that names the inode first: newcomers with the same wants join it. */
  readonly #byFirst = new Map<Ino, ClientRequest>()
  #last = 0

  get isFull(): boolean {
    return this.#requests.size >= TOKEN_REQUESTS_MAX
  }

  get(id: number): ClientRequest | undefined {
    return this.#requests.get(id)
  }

  /**
   * Gives the waiter a request for `asked`, which is what it wants or more. Returns it when it is new
   * and to be sent.
   */
  join(waiter: Waiter, asked: readonly TokenWant[]): ClientRequest | undefined {
    const wants = strongestWants(asked)
    const [first] = wants
    assert(first !== undefined, 'acquisition of nothing')
    assert(wants.length <= TOKEN_WANTS_MAX, 'acquisition of too many inodes')
    const known = this.#byFirst.get(first.ino)
    if (known !== undefined && coversWants(known.wants, wants)) {
      known.waiters.add(waiter)
      waiter.request = known
      return undefined
    }
    if (this.isFull) return undefined
    const request: ClientRequest = {
      id: ++this.#last,
      wants,
      waiters: new Set([waiter]),
      granted: false,
      brought: false
    }
    this.#requests.set(request.id, request)
    this.#byFirst.set(first.ino, request)
    waiter.request = request
    return request
  }

  /** The number of a request that a file lock may bring. Undefined when there are too many. */
  reserve(want: TokenWant): number | undefined {
    if (this.#requests.size >= RESERVED_MAX) return undefined
    const id = ++this.#last
    const request = { id, wants: [want], waiters: new Set<Waiter>(), granted: false, brought: true }
    this.#requests.set(id, request)
    return id
  }

  /** Its lock was granted, so its grant is here or on its way: newcomers join it. */
  announce(id: number): void {
    const request = this.#requests.get(id)
    const ino = request?.wants[0]?.ino
    if (request !== undefined && ino !== undefined) this.#byFirst.set(ino, request)
  }

  /** Its lock was not granted by the authority: it is never made. */
  drop(id: number): void {
    const request = this.#requests.get(id)
    if (request === undefined) return
    request.brought = false
    if (!request.granted) this.#forget(request)
  }

  /** The waiter needs its request no more. Returns that when it is to be cancelled. */
  leave(waiter: Waiter): ClientRequest | undefined {
    const request = waiter.request
    waiter.request = undefined
    if (request === undefined) return undefined
    request.waiters.delete(waiter)
    if (request.waiters.size > 0 || request.granted || request.brought) return undefined
    this.#forget(request)
    return request
  }

  /** The request was granted and installed. True when somebody still waited for it, or will. */
  end(id: number): boolean {
    const request = this.#requests.get(id)
    if (request === undefined) return false
    this.#forget(request)
    for (const waiter of request.waiters) waiter.request = undefined
    return request.waiters.size > 0 || request.brought
  }

  /** No request has waiters any more; what is granted from here on is given back. */
  abandon(): void {
    for (const request of this.#requests.values()) {
      request.waiters.clear()
      request.brought = false
    }
    this.#byFirst.clear()
  }

  clear(): void {
    this.#requests.clear()
    this.#byFirst.clear()
  }

  #forget(request: ClientRequest): void {
    this.#requests.delete(request.id)
    const ino = request.wants[0]?.ino
    if (ino !== undefined && this.#byFirst.get(ino) === request) this.#byFirst.delete(ino)
  }
}
