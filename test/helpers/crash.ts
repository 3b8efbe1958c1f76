/** Loads on both nodes across crashes, and the check of what must be found afterwards. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster, ClusterNode } from './cluster.ts'
import { judge, readNotes } from './load-plan.ts'
import type { SeededRandom } from './random.ts'
import type { LoadReport } from './worker-load.ts'

const FILES_PER_LOAD = 30
const VERSIONS_PER_ROUND = 1_000_000
const STOP_DEADLINE_MS = 120_000
const READ_DEADLINE_MS = 120_000

interface Load {
  readonly node: ClusterNode
  readonly tag: string
  readonly report: Promise<LoadReport | undefined>
}

export class CrashLoad {
  readonly #cluster: Cluster
  readonly #folder: string
  readonly #random: SeededRandom
  readonly #notesFolder: string
  readonly #runPath: string
  #loads: Load[] = []
  #round = 0

  /** `folder` = relative path on the mounts that belongs to this load. */
  constructor(cluster: Cluster, folder: string, random: SeededRandom) {
    this.#cluster = cluster
    this.#folder = folder
    this.#random = random
    // Notes of another load's folder would name files that are not in this one's.
    this.#notesFolder = join(cluster.scratch, 'notes', folder)
    mkdirSync(this.#notesFolder, { recursive: true })
    this.#runPath = join(this.#notesFolder, 'running')
  }

  /** Two loads on each node, each in a folder of its own that the other node reads afterwards. */
  async start(): Promise<void> {
    const first = this.#cluster.node(0)
    const worker = first.worker()
    for (const tag of this.#tags()) {
      await worker.call('makeFolders', { path: first.path(`${this.#folder}/${tag}`) })
      // A load that is killed before it begins has noted nothing.
      writeFileSync(this.#notesPath(tag), '', { flag: 'a' })
    }
    writeFileSync(this.#runPath, '')
    this.#round++
    this.#loads = this.#cluster.nodes.flatMap((node, index) =>
      [0, 1].map((slot) => this.#startLoad(node, `n${index}s${slot}-`))
    )
  }

  /**
   * Ends the loads; returns the failures each saw. Loads of nodes in `killed` were cut off with
   * their daemon, so what their processes still say does not count.
   */
  async stop(killed: ReadonlySet<ClusterNode>): Promise<string[]> {
    for (const node of killed) node.killWorkers()
    rmSync(this.#runPath, { force: true })
    const summaries: string[] = []
    for (const load of this.#loads) {
      const report = await load.report
      if (killed.has(load.node)) continue
      if (report === undefined) throw new Error(`load ${load.tag} on ${load.node.name} hangs`)
      const failures = Object.entries(report.failures).map(([code, count]) => `${code}:${count}`)
      if (failures.length > 0) {
        summaries.push(`${load.node.name} ${load.tag} ${failures.join(' ')} of ${report.steps}`)
      }
    }
    return summaries
  }

  /** How much the loads did so far, from their notes. */
  summary(): string {
    const counts = { begin: 0, done: 0, durable: 0 }
    for (const tag of this.#tags()) {
      const notes = readFileSync(this.#notesPath(tag), 'utf8')
      for (const stage of ['begin', 'done', 'durable'] as const) {
        counts[stage] += notes.split(`${stage} `).length - 1
      }
    }
    return `${counts.begin} changes begun, ${counts.done} answered, ${counts.durable} made durable`
  }

  /** Reads everything on every node; what is lost, stale, torn or different. */
  async check(): Promise<string[]> {
    const problems: string[] = []
    const hashes = new Map<string, string>()
    for (const node of this.#cluster.nodes) {
      const worker = node.worker()
      const path = node.path(this.#folder)
      const tree = await worker.call('hashTree', { path }, READ_DEADLINE_MS)
      hashes.set(node.name, `${tree.hash} ${tree.count}`)
      for (const tag of this.#tags()) {
        for (const [file, expected] of readNotes(this.#notesPath(tag))) {
          const args = { path: `${path}/${tag}/${file}`, label: file }
          const outcome = await worker.outcome('lstat', args)
          const found = outcome === 'ENOENT' ? { version: 0 } : await worker.call('identify', args)
          const problem = 'problem' in found ? found.problem : undefined
          const verdict = judge(file, expected, found.version, problem)
          if (verdict !== undefined) problems.push(`on ${node.name}: ${verdict}`)
        }
      }
    }
    if (new Set(hashes.values()).size > 1) {
      problems.push(`trees differ: ${JSON.stringify([...hashes])}`)
    }
    return problems
  }

  #startLoad(node: ClusterNode, tag: string): Load {
    const report = node.worker().call(
      'load',
      {
        path: node.path(`${this.#folder}/${tag}`),
        tag,
        seed: this.#random.below(2 ** 31),
        notesPath: this.#notesPath(tag),
        runPath: this.#runPath,
        fileCount: FILES_PER_LOAD,
        firstVersion: this.#round * VERSIONS_PER_ROUND
      },
      STOP_DEADLINE_MS
    )
    // A load that is killed with its node rejects: stop() tells that from one that hangs.
    return { node, tag, report: report.catch(() => undefined) }
  }

  #tags(): string[] {
    return this.#cluster.nodes.flatMap((_, index) => [`n${index}s0-`, `n${index}s1-`])
  }

  #notesPath(tag: string): string {
    return join(this.#notesFolder, tag)
  }
}
