/**
 * What a client has asked of the authority about inodes it does not take (token-queries.ts says what an
 * answer is worth), and where asking is of use: where looking did not stay possible.
 *
 * Invariant: each query ends once, by an `asked` effect: fresh when what its answer names is applied
 * here, otherwise whoever asked takes the token instead. Pure, part of the client's core.
 */
import { RANGE_END } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { ClientContext } from './token-client-context.ts'
import { TOKEN_REQUESTS_MAX, type ToldMessage } from './token-message.ts'

/** Inodes remembered as looked at or as changing; beyond it all are forgotten. */
const REMEMBERED_MAX = 4096

export class ClientQueries {
  readonly #context: ClientContext
  readonly #open = new Map<number, Ino>()
  /** Inodes that were granted here to be looked at, all of them. */
  readonly #looked = new Set<Ino>()
  /** Of those, the ones that were taken for changes again. */
  readonly #changing = new Set<Ino>()
  #last = 0

  constructor(context: ClientContext) {
    this.#context = context
  }

  looked(ino: Ino): void {
    if (this.#looked.size >= REMEMBERED_MAX) this.#looked.clear()
    this.#looked.add(ino)
  }

  noted(ino: Ino): void {
    if (!this.#looked.delete(ino)) return
    if (this.#changing.size >= REMEMBERED_MAX) this.#changing.clear()
    this.#changing.add(ino)
  }

  isChanging(ino: Ino): boolean {
    return this.#changing.has(ino)
  }

  /** Undefined when there are too many. */
  ask(ino: Ino): number | undefined {
    if (this.#open.size >= TOKEN_REQUESTS_MAX / 2) return undefined
    this.#open.set(++this.#last, ino)
    return this.#last
  }

  told({ request, idle, vector }: ToldMessage): void {
    const { effects, states } = this.#context
    const ino = this.#open.get(request)
    if (ino === undefined) {
      effects.push({ type: 'violation', reason: `token query ${request} answered, not asked` })
      return
    }
    // Whoever changed it has stopped: it is better taken than asked about.
    if (idle) this.#changing.delete(ino)
    // The authority may have forgotten what it knew of the inode: what it said then comes first.
    if (states.get(ino)?.isInstalling(0, RANGE_END)) {
      this.end(request, false)
      return
    }
    const task = this.#context.task({ type: 'told', request })
    effects.push({ type: 'wait-applied', task, vector })
  }

  /** Nothing when it is over already. */
  end(request: number, fresh: boolean): void {
    if (!this.#open.delete(request)) return
    this.#context.effects.push({ type: 'asked', request, fresh })
  }

  /** What is asked is never answered now. */
  abandon(): void {
    for (const request of [...this.#open.keys()]) this.end(request, false)
  }
}
