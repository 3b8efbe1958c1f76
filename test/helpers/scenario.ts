/**
 * The frame of an integration test: says what is missing on this machine instead of skipping in
 * silence, turns every exception into one failed assertion, and hands out the file's volume.
 */
import test, { type Test } from 'brittle'
import { type Cluster, type ClusterNode, type ClusterOptions, makeCluster } from './cluster.ts'
import { isSoak, missingHere } from './sizes.ts'
import type { Worker } from './worker-client.ts'

export interface ScenarioOptions {
  readonly minutes?: number
  readonly programs?: readonly string[]
  /** Needs daemons of its own, so it has no meaning in a reference run. */
  readonly daemons?: boolean
  /** Too long for every `npm test`. */
  readonly soak?: boolean
}

/** Two nodes with a fresh worker on each and a new folder that both see. */
export interface Pair {
  readonly cluster: Cluster
  readonly nodeA: ClusterNode
  readonly nodeB: ClusterNode
  readonly a: Worker
  readonly b: Worker
  /** Path in the test's folder on node A, and the same on node B. */
  pathA(relative: string): string
  pathB(relative: string): string
}

/** The volume that the tests of one file share; a failed test takes it away, the next makes a new one. */
export class SharedVolume {
  readonly #options: ClusterOptions
  #cluster: Promise<Cluster> | undefined
  #folders = 0

  constructor(options: ClusterOptions = {}) {
    this.#options = options
  }

  cluster(): Promise<Cluster> {
    this.#cluster ??= makeCluster(this.#options)
    return this.#cluster
  }

  /** The volume as it is, without making one. */
  current(): Promise<Cluster> | undefined {
    return this.#cluster
  }

  async pair(): Promise<Pair> {
    const cluster = await this.cluster()
    const nodeA = cluster.node(0)
    const nodeB = cluster.node(1)
    const folder = `test-${++this.#folders}`
    const a = nodeA.worker()
    const b = nodeB.worker()
    const pathA = (relative: string): string =>
      nodeA.path(relative === '' ? folder : `${folder}/${relative}`)
    const pathB = (relative: string): string =>
      nodeB.path(relative === '' ? folder : `${folder}/${relative}`)
    await a.call('makeFolders', { path: pathA('') })
    return { cluster, nodeA, nodeB, a, b, pathA, pathB }
  }

  /** After a failure: no later test may meet a hung or damaged volume. */
  async discard(): Promise<void> {
    const cluster = this.#cluster
    this.#cluster = undefined
    try {
      ;(await cluster)?.destroyNow()
    } catch {
      // It could not even be made, and has said so.
    }
  }

  async endTest(): Promise<void> {
    for (const node of (await this.#cluster)?.nodes ?? []) node.killWorkers()
  }

  async close(): Promise<void> {
    const cluster = this.#cluster
    this.#cluster = undefined
    await (await cluster)?.close()
  }
}

export function scenario(
  name: string,
  options: ScenarioOptions,
  volume: SharedVolume | undefined,
  body: (t: Test) => Promise<void>
): void {
  const tooLong = options.soak === true && !isSoak ? 'runs with TANDEMFS_TEST_SIZE=soak' : undefined
  const missing = tooLong ?? missingHere(options.programs ?? [], options.daemons ?? false)
  if (missing !== undefined) {
    void test(`${name} # ${missing}`, { skip: true }, () => {})
    return
  }
  void test(name, { timeout: (options.minutes ?? 3) * 60_000 }, async (t) => {
    const start = performance.now()
    try {
      await body(t)
      await volume?.endTest()
    } catch (error) {
      t.fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
      await explain(t, volume)
      await volume?.discard()
    }
    t.comment(`took ${((performance.now() - start) / 1000).toFixed(1)} s`)
  })
}

/** The last test of a file: unmounts in the orderly way and checks that nothing is left. */
export function finishVolume(volume: SharedVolume): void {
  scenario('volume - orderly unmount leaves nothing behind', {}, volume, async (t) => {
    await volume.close()
    t.pass('no mount, process or scratch folder')
  })
}

async function explain(t: Test, volume: SharedVolume | undefined): Promise<void> {
  try {
    for (const node of (await volume?.current())?.nodes ?? []) {
      const complaints = node
        .log()
        .split('\n')
        .filter((line) => /"level":(4|5|6)0/.test(line))
      for (const line of complaints.slice(-10)) t.comment(`${node.name}: ${line.slice(0, 800)}`)
    }
  } catch {
    // The volume could not be made: the failure above says why.
  }
}
