/**
 * Connections between numbered nodes: in order within one direction of one connection, random
 * delay, and all that is under way is lost when it is cut.
 */
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

export interface NetworkHandlers<T> {
  onPacket(from: number, to: number, packet: T): void
  onConnected(node: number, peer: number): void
  onDisconnected(node: number, peer: number): void
  /** Until when the node is frozen, in virtual time; what arrives meanwhile waits. */
  frozenUntilUs(node: number): number
}

interface Direction<T> {
  readonly packets: T[]
  lastArrivalUs: number
  open: boolean
}

export class Network<T> {
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #handlers: NetworkHandlers<T>
  readonly #delayMaxUs: number
  readonly #directions = new Map<string, Direction<T>>()
  readonly #stalledUntilUs = new Map<string, number>()
  delivered = 0

  constructor(
    components: { scheduler: Scheduler; random: Random; handlers: NetworkHandlers<T> },
    options: { delayMaxUs: number }
  ) {
    this.#scheduler = components.scheduler
    this.#random = components.random
    this.#handlers = components.handlers
    this.#delayMaxUs = options.delayMaxUs
  }

  isConnected(a: number, b: number): boolean {
    return this.#directions.has(`${a}>${b}`)
  }

  connect(a: number, b: number): void {
    if (this.isConnected(a, b)) return
    for (const key of [`${a}>${b}`, `${b}>${a}`]) {
      this.#directions.set(key, { packets: [], lastArrivalUs: 0, open: true })
    }
    this.#handlers.onConnected(a, b)
    this.#handlers.onConnected(b, a)
  }

  disconnect(a: number, b: number): void {
    if (!this.isConnected(a, b)) return
    for (const key of [`${a}>${b}`, `${b}>${a}`]) {
      const direction = this.#directions.get(key)
      if (direction !== undefined) direction.open = false
      this.#directions.delete(key)
    }
    this.#handlers.onDisconnected(a, b)
    this.#handlers.onDisconnected(b, a)
  }

  /** One end stops: what it has sent arrives, then the connection is gone. */
  finish(from: number, to: number): void {
    const direction = this.#directions.get(`${from}>${to}`)
    if (direction === undefined) return
    const leftUs = Math.max(0, direction.lastArrivalUs - this.#scheduler.nowUs)
    this.#scheduler.after(leftUs + 1, () => {
      if (this.#directions.get(`${from}>${to}`) === direction) this.disconnect(from, to)
    })
  }

  /** What goes from one to the other arrives no earlier; the other way stays open. */
  stall(from: number, to: number, untilUs: number): void {
    this.#stalledUntilUs.set(`${from}>${to}`, untilUs)
  }

  /** What is sent from now on is not held back. */
  heal(): void {
    this.#stalledUntilUs.clear()
  }

  /** Lost when there is no connection. */
  send(from: number, to: number, packet: T): void {
    const direction = this.#directions.get(`${from}>${to}`)
    if (direction === undefined) return
    direction.packets.push(packet)
    const nowUs = this.#scheduler.nowUs
    const arrivalUs = nowUs + 20 + this.#random.below(this.#delayMaxUs)
    const stalledUntilUs = this.#stalledUntilUs.get(`${from}>${to}`) ?? 0
    direction.lastArrivalUs = Math.max(direction.lastArrivalUs, arrivalUs, stalledUntilUs)
    this.#deliverAt(direction.lastArrivalUs, from, to, direction)
  }

  #deliverAt(atUs: number, from: number, to: number, direction: Direction<T>): void {
    this.#scheduler.after(atUs - this.#scheduler.nowUs, () => {
      if (!direction.open) return
      const frozenUntilUs = this.#handlers.frozenUntilUs(to)
      if (frozenUntilUs > this.#scheduler.nowUs) {
        this.#deliverAt(frozenUntilUs, from, to, direction)
        return
      }
      const packet = direction.packets.shift()
      if (packet === undefined) return
      this.delivered++
      this.#handlers.onPacket(from, to, packet)
    })
  }
}
