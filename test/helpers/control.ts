/** Asks a daemon over its control socket, as the commands do but without a process for each question. */
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

const ANSWER_LIMIT_MS = 2000

/** What the tests look at of `status --json`; fields that a release does not have are absent. */
export interface StatusReport {
  readonly epoch?: number
  readonly authority?: { readonly id: number; readonly name: string; readonly reachable?: boolean }
  readonly leaseLeftMs?: number | null
  readonly quorum?: { readonly have: number; readonly need: number }
  readonly lastFailover?: {
    readonly durationMs: number
    readonly reason: string
    readonly at: string | number
  } | null
  readonly members?: readonly {
    readonly id: number
    readonly name: string
    readonly live: boolean
    readonly inSync: boolean
    readonly connection: string
  }[]
  readonly warnings?: readonly string[]
}

/** Undefined when there is no daemon or it does not answer in time. */
export function askStatus(socketPath: string): Promise<StatusReport | undefined> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    const finish = (report?: StatusReport): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(report)
    }
    const timer = setTimeout(finish, ANSWER_LIMIT_MS)
    socket.once('error', () => finish())
    socket.once('close', () => finish())
    socket.write(`${JSON.stringify({ version: 1, id: 1, method: 'status', params: {} })}\n`)
    createInterface({ input: socket })
      .on('error', () => {})
      .once('line', (line) => finish((JSON.parse(line) as { result?: StatusReport }).result))
  })
}
