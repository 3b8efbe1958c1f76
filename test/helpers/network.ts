/** The test's side of network-proxy.ts: the connections between members, to be stalled and cut. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** From one member to another. */
export type Direction = readonly [from: string, to: string]

export type NetworkRequest =
  | {
      readonly op: 'add'
      readonly name: string
      readonly port: number
      readonly pidFile: string
    }
  | { readonly op: 'stall' | 'cut'; readonly directions: readonly Direction[] }
  | { readonly op: 'heal' }

const PROXY_PATH = fileURLToPath(new URL('./network-proxy.js', import.meta.url))

interface Answer {
  readonly id: number
  readonly value?: number
  readonly error?: string
}

export class Network {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #nextId = 1

  /** `mark` stands in the command line of the process, so that it is found and ended with it. */
  constructor(mark: string) {
    this.#child = spawn(process.execPath, [PROXY_PATH, mark], {
      stdio: ['pipe', 'pipe', 'inherit']
    })
    const { stdout, stdin } = this.#child
    if (stdout === null || stdin === null) throw new Error('no pipes to the network')
    createInterface({ input: stdout }).on('line', (line) => this.#onAnswer(JSON.parse(line)))
    stdin.on('error', () => {})
    this.#child.on('exit', () => {
      for (const id of [...this.#waiting.keys()]) this.#onAnswer({ id, error: 'has ended' })
    })
  }

  /** The port at which the others reach the member that listens on `port`. */
  addMember(name: string, port: number, pidFile: string): Promise<number> {
    return this.#call({ op: 'add', name, port, pidFile })
  }

  /** Nothing that the first sends reaches the second any more. */
  async stall(...directions: readonly Direction[]): Promise<void> {
    await this.#call({ op: 'stall', directions })
  }

  /** Silence in both directions between the two groups. */
  async stallBetween(some: readonly string[], others: readonly string[]): Promise<void> {
    await this.stall(...bothWays(some, others))
  }

  /** Connections between the two groups are reset, new ones refused. */
  async cutBetween(some: readonly string[], others: readonly string[]): Promise<void> {
    await this.#call({ op: 'cut', directions: bothWays(some, others) })
  }

  async heal(): Promise<void> {
    await this.#call({ op: 'heal' })
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }

  #call(request: NetworkRequest): Promise<number> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ value, error }) => {
        if (error !== undefined) reject(new Error(`network: ${request.op}: ${error}`))
        else resolve(value ?? 0)
      })
      this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`)
    })
  }

  #onAnswer(answer: Answer): void {
    this.#waiting.get(answer.id)?.(answer)
    this.#waiting.delete(answer.id)
  }
}

function bothWays(some: readonly string[], others: readonly string[]): Direction[] {
  return some.flatMap((one) =>
    others.flatMap((other): Direction[] => [
      [one, other],
      [other, one]
    ])
  )
}
