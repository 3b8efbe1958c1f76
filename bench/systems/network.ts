/**
 * The machines of the benchmark: network namespaces with one address each, joined by a bridge, or,
 * when a delay is asked for, by our own link that keeps each packet for half of it. A process
 * enters only the network of its machine; files and mounts are those of this one.
 */

import { RunningChild, run, succeeds } from '../children.ts'
import { program } from '../compile.ts'

const DEVICE = 'wire'
const LINK_MTU = 64_000

export interface Network {
  readonly delayMs: number
  /** What to put in front of a command so that it runs on machine `index`. */
  enter(index: number): readonly string[]
  address(index: number): string
  /** False: all machines are the loopback of this one, and need different ports. */
  readonly separate: boolean
  close(): Promise<void>
}

export const loopback: Network = {
  delayMs: 0,
  enter: () => [],
  address: () => '127.0.0.1',
  separate: false,
  close: async () => {}
}

const SWITCH = 'net'

class NamespaceNetwork implements Network {
  readonly delayMs: number
  readonly separate = true
  readonly #tag: string
  readonly #count: number
  #link: RunningChild | undefined

  constructor(count: number, delayMs: number) {
    this.#tag = `tandemfs-bench-${process.pid}`
    this.#count = count
    this.delayMs = delayMs
  }

  enter(index: number): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this.#name(index)}`]
  }

  address(index: number): string {
    return `10.77.0.${index + 1}`
  }

  async open(): Promise<void> {
    for (let index = 0; index < this.#count; index++) {
      await run(['ip', 'netns', 'add', this.#name(index)])
      await run(['ip', '-n', this.#name(index), 'link', 'set', 'lo', 'up'])
    }
    if (this.delayMs === 0) await this.#bridge()
    else await this.#delayedLink()
    for (let index = 0; index < this.#count; index++) {
      const inside = ['ip', '-n', this.#name(index)]
      await run([...inside, 'addr', 'add', `${this.address(index)}/24`, 'dev', DEVICE])
      const mtu = this.delayMs === 0 ? [] : ['mtu', String(LINK_MTU)]
      await run([...inside, 'link', 'set', 'dev', DEVICE, ...mtu, 'up'])
    }
  }

  async close(): Promise<void> {
    await this.#link?.end(10_000)
    this.#link = undefined
    // Whatever still runs in a namespace keeps it, without a name.
    for (const index of [...Array(this.#count).keys(), SWITCH]) {
      await succeeds(['ip', 'netns', 'del', this.#name(index)])
    }
  }

  #name(index: number | string): string {
    return `${this.#tag}-${index}`
  }

  async #bridge(): Promise<void> {
    const middle = this.#name(SWITCH)
    const inside = ['ip', '-n', middle]
    await run(['ip', 'netns', 'add', middle])
    await run([...inside, 'link', 'add', 'bridge', 'type', 'bridge'])
    await run([...inside, 'link', 'set', 'dev', 'bridge', 'up'])
    for (let index = 0; index < this.#count; index++) {
      const port = `port${index}`
      const end = ['peer', 'name', DEVICE, 'netns', this.#name(index)]
      await run([...inside, 'link', 'add', port, 'type', 'veth', ...end])
      await run([...inside, 'link', 'set', 'dev', port, 'master', 'bridge', 'up'])
    }
  }

  async #delayedLink(): Promise<void> {
    const oneWayUs = String(Math.round((this.delayMs * 1000) / 2))
    const ends = [...Array(this.#count).keys()].flatMap((index) => [
      this.#name(index),
      this.address(index)
    ])
    this.#link = new RunningChild([program('link'), oneWayUs, ...ends])
    await this.#link.line(10_000)
  }
}

/** Rejects where namespaces cannot be made (they need root and iproute2). */
export async function openNetwork(count: number, delayMs: number): Promise<Network> {
  const network = new NamespaceNetwork(count, delayMs)
  try {
    await network.open()
    return network
  } catch (error) {
    await network.close()
    throw error
  }
}
