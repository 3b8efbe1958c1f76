/**
 * Seals and answers to them that come once more, late: as from a leader that does not know yet that
 * another one has won a higher ballot, and as an answer that was long on its way. Whoever keeps the
 * rules takes no notice of either.
 */
import type { MemberId } from '../../src/fs/primitives.ts'
import { decodeControl } from '../../src/replication/message-codec.ts'
import type { ControlMessage } from '../../src/replication/messages.ts'
import type { ClusterWorld } from './cluster-world.ts'

const LATE_US = 300_000

interface Sent {
  readonly from: MemberId
  readonly to: MemberId
  readonly type: number
  readonly body: Buffer
}

export class Repeats {
  readonly #world: ClusterWorld
  readonly #seals = new Map<string, Sent & { readonly ballot: number }>()
  readonly #answers = new Map<string, Sent>()
  /** The highest ballot under which each was sealed. */
  readonly #ballots = new Map<MemberId, number>()

  constructor(world: ClusterWorld) {
    this.#world = world
  }

  onSent(sent: Sent): void {
    const message: ControlMessage = decodeControl(sent.type, sent.body)
    const { from, to } = sent
    if (message.type === 'sealed') this.#answers.set(`${from}>${to}`, sent)
    if (message.type !== 'seal') return
    const { ballot } = message
    this.#seals.set(`${from}>${to}`, { ...sent, ballot })
    this.#ballots.set(to, Math.max(ballot, this.#ballots.get(to) ?? 0))
    this.#again(this.#answers.get(`${to}>${from}`))
    for (const old of this.#seals.values()) {
      if (old.to === to && old.ballot < ballot) this.#again(old)
    }
  }

  /** What comes to a member late comes when others reach it again, too. */
  onConnected(a: MemberId, b: MemberId): void {
    for (const old of this.#seals.values()) {
      if (old.to !== a && old.to !== b) continue
      if (old.ballot < (this.#ballots.get(old.to) ?? 0)) this.#again(old)
    }
  }

  #again(sent: Sent | undefined): void {
    const { random, parameters, scheduler } = this.#world
    if (!sent || !random.chance(parameters.repeats)) return
    const { from, to, type, body } = sent
    scheduler.after(random.below(LATE_US), () => {
      this.#world.network('control').send(from, to, { type, body })
    })
  }
}
