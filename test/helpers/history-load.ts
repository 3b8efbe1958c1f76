/**
 * The mixed load of the failover tests on several nodes at once - small files, large files, lines
 * appended with and without a lock, a counter under a lock - and the judgement of what came of it
 * (history/check.ts). Faults are noted here as the test causes them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster, ClusterNode } from './cluster.ts'
import { checkHistory } from './history/check.ts'
import type { Fault, FoundState } from './history/judged.ts'
import {
  historyNowUs,
  type LoadHistory,
  type Operation,
  readHistory,
  type SlowCall
} from './history/operations.ts'
import { nativeProgram } from './native-program.ts'
import { waitFor } from './system.ts'

const STOP_LIMIT_MS = 60_000
const SERVE_LIMIT_MS = 60_000
const READ_LIMIT_MS = 60_000
const SMALL = { count: 20, kibMax: 16, pauseUs: 8000 }
const LARGE = { count: 2, kibMax: 2048, pauseUs: 50_000 }
const LOCKS_PAUSE_US = 8000
/** Processes on each node. */
const KINDS = 3
/** A node serves again when each of these has succeeded there. */
const SIGNS = ['put', 'line log', 'line mbox', 'count counter']

interface RunningLoad {
  readonly node: ClusterNode
  readonly tag: string
  readonly historyPath: string
  readonly child: ChildProcess
  readonly exited: Promise<void>
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class HistoryLoad {
  readonly #cluster: Cluster
  readonly #folder: string
  readonly #seed: number
  readonly #notesFolder: string
  readonly #runPath: string
  readonly #loads: RunningLoad[] = []
  #faults: Fault[] = []

  /** `folder`: of this load alone, on every mount. */
  constructor(cluster: Cluster, folder: string, seed: number) {
    this.#cluster = cluster
    this.#folder = folder
    this.#seed = seed
    this.#notesFolder = join(cluster.scratch, 'history', folder)
    this.#runPath = join(this.#notesFolder, 'running')
  }

  /** Starts the load on all nodes. */
  async start(): Promise<void> {
    const [first] = this.#cluster.nodes
    if (first === undefined) throw new Error('no node to load')
    mkdirSync(this.#notesFolder, { recursive: true })
    writeFileSync(this.#runPath, '')
    await first.worker().call('makeHistoryFolders', { path: first.path(this.#folder) })
    for (const node of this.#cluster.nodes) this.startOn(node)
  }

  /** On a node that was mounted again: other processes with other names. */
  startOn(node: ClusterNode): void {
    const start = 1 + this.#loads.filter((load) => load.node === node).length / KINDS
    const others = this.#cluster.nodes.map(({ name }) => `${name}-1`)
    for (const [kind, { count, kibMax, pauseUs }] of [
      ['small', SMALL] as const,
      ['large', LARGE] as const
    ]) {
      const read = [...others, `${node.name}-${start}`].map((name) => `${name}-${kind}`).join(',')
      this.#run(node, `${start}-${kind}`, 'files', [pauseUs, count, kibMax, read])
    }
    this.#run(node, `${start}-locks`, 'locks', [LOCKS_PAUSE_US])
  }

  /** Ends the processes of a node whose daemon is gone: its path is a plain folder for a while. */
  async killOn(node: ClusterNode): Promise<void> {
    const ofNode = this.#loads.filter((load) => load.node === node)
    for (const { child } of ofNode) child.kill('SIGKILL')
    await Promise.all(ofNode.map(({ exited }) => exited))
  }

  /**
   * From now on the node may lose what it did not make durable; `late`: what it is refused from
   * now on must not be found. Returns the fault's number.
   */
  beginFault(node: ClusterNode, late = false): number {
    const fromUs = historyNowUs()
    const untilUs = Number.POSITIVE_INFINITY
    const fault = { node: node.name, fromUs, untilUs, ...(late ? { lateFromUs: fromUs } : {}) }
    return this.#faults.push(fault) - 1
  }

  endFault(index: number): void {
    const fault = this.#faults[index]
    if (fault !== undefined) this.#faults[index] = { ...fault, untilUs: historyNowUs() }
  }

  forgetFaultsOf(nodes: readonly string[]): void {
    this.#faults = this.#faults.filter(({ node }) => !nodes.includes(node))
  }

  faultyNodes(): Set<string> {
    return new Set(this.#faults.map(({ node }) => node))
  }

  /** Names of the nodes on which changes have been begun and finished since. */
  nodesThatWork(sinceUs: number): string[] {
    const found = this.operations()
      .filter((op) => op.beginUs > sinceUs && op.result === 'ok' && op.kind !== 'read')
      .map((op) => op.node)
    return [...new Set(found)].sort()
  }

  /** How often each errno was met since. */
  refusals(sinceUs: number): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { endUs, result } of this.operations()) {
      if (result === 'ok' || result === 'none' || endUs < sinceUs) continue
      counts[result] = (counts[result] ?? 0) + 1
    }
    return counts
  }

  /** Waits until everything the load does succeeds on the node again; how long that took. */
  async untilServing(node: ClusterNode): Promise<number> {
    const fromUs = historyNowUs()
    await waitFor(`the load goes on at ${node.name}`, SERVE_LIMIT_MS, async () => {
      // Reading the histories is work that the daemons should not have to compete with.
      await new Promise((resolve) => setTimeout(resolve, 100))
      const seen = new Set(
        this.operations()
          .filter((op) => op.node === node.name && op.beginUs > fromUs && op.result === 'ok')
          .map((op) => (op.kind.startsWith('put') ? 'put' : `${op.kind} ${op.object}`))
      )
      return SIGNS.every((sign) => seen.has(sign))
    })
    return (historyNowUs() - fromUs) / 1000
  }

  /** Ends the loads. One that hangs is killed: its last operation was never answered. */
  async stop(): Promise<void> {
    rmSync(this.#runPath, { force: true })
    const timer = setTimeout(() => this.kill(), STOP_LIMIT_MS)
    await Promise.all(this.#loads.map((load) => load.exited))
    clearTimeout(timer)
  }

  kill(): void {
    for (const { child } of this.#loads) child.kill('SIGKILL')
  }

  operations(): Operation[] {
    return this.#histories().flatMap((history) => history.operations)
  }

  slowCalls(): SlowCall[] {
    return this.#histories().flatMap((history) => history.slowCalls)
  }

  /** What is wrong, judged by what all of `nodes` find now. */
  async judge(nodes: readonly ClusterNode[] = this.#cluster.nodes): Promise<string[]> {
    const found = new Map<string, FoundState>()
    for (const node of nodes) {
      const path = node.path(this.#folder)
      found.set(node.name, await node.worker().call('findHistory', { path }, READ_LIMIT_MS))
    }
    return checkHistory({ operations: this.operations(), faults: this.#faults, found })
  }

  #histories(): LoadHistory[] {
    return this.#loads.map(({ historyPath, node, tag }) => readHistory(historyPath, node.name, tag))
  }

  #run(node: ClusterNode, kind: string, role: string, rest: readonly (string | number)[]): void {
    const tag = `${node.name}-${kind}`
    const historyPath = join(this.#notesFolder, tag)
    const seed = this.#seed + this.#loads.length
    writeFileSync(historyPath, '')
    const args = [role, node.path(this.#folder), tag, historyPath, this.#runPath, seed, ...rest]
    const child = spawn(nativeProgram('history-load'), args.map(String), {
      stdio: ['ignore', 'ignore', 'inherit']
    })
    running.add(child)
    const exited = new Promise<void>((resolve) => {
      child.once('exit', () => {
        running.delete(child)
        resolve()
      })
    })
    this.#loads.push({ node, tag, historyPath, child, exited })
  }
}
