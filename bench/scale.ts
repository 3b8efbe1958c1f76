/**
 * `npm run bench -- scale`: what an operation costs when the volume has 1,000, 100,000 or a million
 * files, a directory as many entries, a file many gigabytes, and the volume more members; memory,
 * start-up and idle processor time beside it. A cost that stays the same is what should be seen.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from './children.ts'
import { progress } from './compare.ts'
import { program } from './compile.ts'
import type { CompareOptions } from './options.ts'
import type { Cost, ScaleKind, ScalePoint } from './report/scale-tables.ts'
import { Scratch } from './scratch.ts'
import { loopback } from './systems/network.ts'
import { TandemVolume } from './systems/tandemfs.ts'
import { UsageMeter } from './usage.ts'

const LIMIT_MS = 3 * 3_600_000
const QUIET_LIMIT_MS = 20_000
const IDLE_MS = 20_000
/** By then memory that only busy times need was given back (daemon/memory-relief.ts). */
const REST_MS = 25_000
const PROBES = 500
const LOOKS = 1000
const MIB_PER_GIB = 1024

interface LoadAnswer {
  readonly units: number
  readonly startNs: number
  readonly endNs: number
}

type Values = Readonly<Record<string, number>>

async function load(step: string, folder: string, values: Values): Promise<LoadAnswer> {
  const named = Object.entries({ max_ms: LIMIT_MS, ...values }).map(
    ([name, value]) => `${name}=${value}`
  )
  const { stdout } = await run([program('load'), step, folder, ...named], {
    input: 'go\n',
    limitMs: LIMIT_MS
  })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as LoadAnswer
}

class ScaleRun {
  readonly points: ScalePoint[] = []
  readonly #volume: TandemVolume

  constructor(volume: TandemVolume) {
    this.#volume = volume
  }

  async withFiles(from: number, files: number): Promise<void> {
    progress(`filling up to ${files} files`)
    const startSeconds = await this.#fill('tree', { from, files, perFolder: 1000 })
    const costs = new Map<string, Cost>()
    const looks = { files, count: LOOKS, limit: LOOKS }
    await this.#dropCaches()
    costs.set('stat, cold', await this.#cost('tree_stat', 'tree', looks))
    await this.#dropCaches()
    costs.set('open + read, cold', await this.#cost('tree_read', 'tree', looks))
    await this.#changes(`probe-${files}`, costs)
    await this.#add('files of the volume', files, costs, startSeconds)
  }

  async withEntries(entries: number): Promise<void> {
    progress(`a directory of ${entries} entries`)
    const folder = `wide-${entries}`
    await this.#fill(folder, { from: 0, files: entries, perFolder: 0 })
    const costs = new Map<string, Cost>()
    await this.#dropCaches()
    const listed = { count: 1, limit: 1, bytes: entries }
    costs.set('ls -l, cold', await this.#cost('list_cold', folder, listed))
    await this.#changes(folder, costs)
    await this.#add('entries of a directory', entries, costs)
  }

  async withData(gib: number): Promise<void> {
    progress(`a file of ${gib} GiB`)
    const costs = new Map<string, Cost>()
    const all = { count: gib * MIB_PER_GIB, limit: gib * MIB_PER_GIB }
    costs.set('write + fsync, MiB', await this.#cost('stream_write', 'large', all))
    await this.#dropCaches()
    costs.set('read elsewhere, cold, MiB', await this.#cost('stream_read', 'large', all, 1))
    await this.#changes('large/probe', costs)
    await this.#add('GiB in one file', gib, costs)
  }

  /** The disk of one machine need not hold all of it for each further member. */
  async keepData(gib: number): Promise<void> {
    const path = `${this.#volume.members[0]?.mountPath}/large`
    const { stdout } = await run(['find', path, '-type', 'f'], { limitMs: LIMIT_MS })
    const [file] = stdout.trim().split('\n')
    if (file) await run(['truncate', '-s', `<${gib}G`, file], { limitMs: LIMIT_MS })
  }

  async withMembers(count: number): Promise<void> {
    progress(`${count} members`)
    const begin = performance.now()
    const added = this.#volume.members.length < count
    while (this.#volume.members.length < count) await this.#volume.addMember()
    const joinSeconds = (performance.now() - begin) / 1000
    const costs = new Map<string, Cost>()
    await this.#changes(`members-${count}`, costs)
    await this.#add('members', count, costs, added ? joinSeconds : undefined)
  }

  /** A few hundred files of this process come, change and go in `folder`. */
  async #changes(folder: string, costs: Map<string, Cost>): Promise<void> {
    const probes = { index: 7, count: PROBES, limit: PROBES }
    costs.set('create + 4 KiB', await this.#cost('create', folder, probes))
    costs.set('rename', await this.#cost('rename', folder, probes))
    costs.set('unlink', await this.#cost('unlink', folder, { index: 7 }))
  }

  /** Rate, and processor time of all members together for one unit of work. */
  async #cost(step: string, folder: string, values: Values, member = 0): Promise<Cost> {
    const meter = new UsageMeter(this.#volume.groups())
    await meter.quiet(QUIET_LIMIT_MS)
    meter.begin()
    const mount = this.#volume.members[member]?.mountPath
    const { units, startNs, endNs } = await load(step, `${mount}/${folder}`, values)
    await meter.quiet(QUIET_LIMIT_MS)
    const cpuSeconds = meter.read().reduce((sum, usage) => sum + usage.cpuSeconds, 0)
    return { rate: units / ((endNs - startNs) / 1e9), cpuUs: (cpuSeconds / units) * 1e6 }
  }

  async #add(
    kind: ScaleKind,
    count: number,
    costs: ReadonlyMap<string, Cost>,
    startSeconds?: number
  ): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, REST_MS))
    const meter = new UsageMeter(this.#volume.groups())
    meter.begin()
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
    const usage = meter.read()
    this.points.push({
      kind,
      count,
      costs,
      residentMib: usage.map(({ peakMib }) => peakMib),
      idleCpuShare: usage.map(({ cpuSeconds }) => cpuSeconds / (IDLE_MS / 1000)),
      ...(startSeconds === undefined ? {} : { startSeconds })
    })
  }

  /** Returns how long the first member then took to start. */
  async #fill(
    folder: string,
    { from, files, perFolder }: { from: number; files: number; perFolder: number }
  ): Promise<number> {
    const filler = fileURLToPath(new URL('./fill-volume.js', import.meta.url))
    const { stateDir } = this.#volume.members[0] ?? { stateDir: '' }
    await this.#volume.unmount(0)
    const numbers = [from, files, perFolder].map(String)
    await run([process.execPath, filler, stateDir, folder, ...numbers], { limitMs: LIMIT_MS })
    const begin = performance.now()
    await this.#volume.mount(0)
    return (performance.now() - begin) / 1000
  }

  async #dropCaches(): Promise<void> {
    await run(['sync'], { limitMs: LIMIT_MS })
    writeFileSync('/proc/sys/vm/drop_caches', '2')
  }
}

async function scaleUp(run: ScaleRun, { quick, million }: CompareOptions): Promise<void> {
  const files = quick ? [1000, 5000] : [1000, 100_000, ...(million ? [1_000_000] : [])]
  let from = 0
  for (const count of files) {
    await run.withFiles(from, count)
    from = count
  }
  for (const count of quick ? [10, 1000] : [10, 1000, 10_000, 100_000]) await run.withEntries(count)
  for (const gib of quick ? [1] : [1, ...(million ? [20] : [])]) await run.withData(gib)
  await run.keepData(quick ? 1 : 10)
  for (const count of quick ? [2, 3] : [2, 3, 4, 5]) await run.withMembers(count)
}

export async function scale(options: CompareOptions): Promise<ScalePoint[]> {
  const scratch = new Scratch(options.dir)
  try {
    const volume = new TandemVolume(join(scratch.folder, 'tandemfs'), loopback)
    await volume.addMember()
    await volume.addMember()
    const run = new ScaleRun(volume)
    try {
      await scaleUp(run, options)
    } catch (error) {
      // Hours of measurements are not lost because the next one failed.
      progress(`FAILED: ${error instanceof Error ? error.message : String(error)}`)
      process.exitCode = 1
    }
    await volume.close()
    for (const problem of scratch.leftovers()) progress(problem)
    return run.points
  } finally {
    scratch.destroyNow()
  }
}
