/**
 * `npm run bench -- scale`: what an operation costs when the volume has 1,000, 100,000 or a million
 * files, and a directory as many entries; memory, start-up and idle processor time beside it. A
 * cost that stays the same is what should be seen.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RunningChild, run } from './children.ts'
import { progress } from './compare.ts'
import { program } from './compile.ts'
import type { CompareOptions } from './options.ts'
import { figure, markdownTable } from './report/figures.ts'
import { Scratch } from './scratch.ts'
import { loopback } from './systems/network.ts'
import { TandemVolume } from './systems/tandemfs.ts'
import { UsageMeter } from './usage.ts'

const FILL_PROCESSES = 4
const LIMIT_MS = 3 * 3_600_000
const STEP_MS = 1500
const IDLE_MS = 3000
const PROBES = 300

interface LoadAnswer {
  readonly units: number
  readonly startNs: number
  readonly endNs: number
}

/** Rates a second, by what was done. */
type Rates = Record<string, number>

/** What was seen with `count` files, or entries of one directory. */
export interface ScalePoint {
  readonly kind: 'files of the volume' | 'entries of a directory'
  readonly count: number
  readonly rates: Readonly<Rates>
  readonly residentMib: readonly number[]
  /** Until the first member answers again, after an orderly unmount; only with the files. */
  readonly startSeconds?: number
  readonly idleCpuShare?: readonly number[]
}

async function load(step: string, folder: string, values: Record<string, number>): Promise<number> {
  const named = Object.entries(values).map(([name, value]) => `${name}=${value}`)
  const { stdout } = await run([program('load'), step, folder, ...named], {
    input: 'go\n',
    limitMs: LIMIT_MS
  })
  const { units, startNs, endNs } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as LoadAnswer
  return units / ((endNs - startNs) / 1e9)
}

async function fillTree(folder: string, from: number, files: number): Promise<number> {
  const begin = performance.now()
  const children = [...Array(FILL_PROCESSES).keys()].map((index) => {
    const values = { index, processes: FILL_PROCESSES, from, files, max_ms: LIMIT_MS }
    const named = Object.entries(values).map(([name, value]) => `${name}=${value}`)
    return new RunningChild([program('load'), 'tree_fill', folder, ...named])
  })
  for (const child of children) child.write('go\n')
  await Promise.all(children.map((child) => child.end(LIMIT_MS)))
  return (files - from) / ((performance.now() - begin) / 1000)
}

class ScaleRun {
  readonly #volume: TandemVolume
  readonly #mounts: readonly string[]
  readonly points: ScalePoint[] = []

  constructor(volume: TandemVolume) {
    this.#volume = volume
    this.#mounts = volume.members.map(({ mountPath }) => mountPath)
  }

  async withFiles(from: number, files: number): Promise<void> {
    progress(`filling up to ${files} files`)
    const [mount = ''] = this.#mounts
    const fillRate = await fillTree(`${mount}/tree`, from, files)
    const rates: Rates = { fill: fillRate }
    await this.#dropCaches()
    rates['stat, at random'] = await this.#timed('tree_stat', 'tree', { files })
    rates['read, at random'] = await this.#timed('tree_read', 'tree', { files })
    Object.assign(rates, await this.#changes(`probe-${files}`))
    const residentMib = await this.#resident()
    const idleCpuShare = await this.#idle()
    const startSeconds = await this.#restart()
    const kind = 'files of the volume' as const
    this.points.push({ kind, count: files, rates, residentMib, idleCpuShare, startSeconds })
  }

  async withEntries(count: number): Promise<void> {
    progress(`a directory of ${count} entries`)
    const [mount = ''] = this.#mounts
    const folder = `wide-${count}`
    const values = { index: 9, count, limit: count, max_ms: LIMIT_MS }
    const rates: Rates = { fill: await load('fill', `${mount}/${folder}`, values) }
    Object.assign(rates, await this.#changes(folder))
    await this.#dropCaches()
    const bytes = count
    rates['ls -l, cold'] = await load('list_cold', `${mount}/${folder}`, { limit: 1, bytes })
    const kind = 'entries of a directory' as const
    this.points.push({ kind, count, rates, residentMib: await this.#resident() })
  }

  /** A few hundred files of this process come, change and go in `folder`. */
  async #changes(folder: string): Promise<Rates> {
    const rates: Rates = {}
    rates['create + 4 KiB'] = await this.#timed('create', folder, {
      count: PROBES,
      limit: 20 * PROBES
    })
    rates['rename'] = await this.#timed('rename', folder, { count: PROBES })
    rates['unlink'] = await this.#timed('unlink', folder, {})
    return rates
  }

  #timed(step: string, folder: string, values: Record<string, number>): Promise<number> {
    return load(step, `${this.#mounts[0]}/${folder}`, { min_ms: STEP_MS, ...values })
  }

  async #dropCaches(): Promise<void> {
    await run(['sync'], { limitMs: LIMIT_MS })
    writeFileSync('/proc/sys/vm/drop_caches', '2')
  }

  async #resident(): Promise<number[]> {
    const meter = new UsageMeter(this.#volume.groups())
    await meter.quiet(30_000)
    meter.begin()
    return meter.read().map(({ peakMib }) => peakMib)
  }

  async #idle(): Promise<number[]> {
    const meter = new UsageMeter(this.#volume.groups())
    meter.begin()
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
    return meter.read().map(({ cpuSeconds }) => cpuSeconds / (IDLE_MS / 1000))
  }

  async #restart(): Promise<number> {
    await this.#volume.unmount(0)
    const begin = performance.now()
    await this.#volume.mount(0)
    return (performance.now() - begin) / 1000
  }
}

export function formatScale(points: readonly ScalePoint[]): string {
  const kinds = [...new Set(points.map(({ kind }) => kind))]
  return kinds
    .map((kind) => {
      const rows = points.filter((point) => point.kind === kind)
      const names = Object.keys(rows[0]?.rates ?? {})
      const withStart = rows.some(({ startSeconds }) => startSeconds !== undefined)
      const heading = [kind, ...names.map((name) => `${name} /s`), 'MiB of each']
      if (withStart) heading.push('start, s', 'idle CPU %')
      const body = rows.map(({ count, rates, residentMib, startSeconds, idleCpuShare }) => [
        count.toLocaleString('en-US'),
        ...names.map((name) => figure(rates[name] ?? Number.NaN)),
        residentMib.map(figure).join(' / '),
        ...(startSeconds === undefined ? [] : [figure(startSeconds)]),
        ...(idleCpuShare === undefined
          ? []
          : [idleCpuShare.map((share) => figure(share * 100)).join(' / ')])
      ])
      return markdownTable([heading, ...body])
    })
    .join('\n\n')
}

export async function scale(options: CompareOptions): Promise<ScalePoint[]> {
  const scratch = new Scratch(options.dir)
  try {
    const volume = new TandemVolume(join(scratch.folder, 'tandemfs'), loopback)
    await volume.addMember()
    await volume.addMember()
    const run = new ScaleRun(volume)
    const steps = options.quick ? [1000, 5000] : [1000, 100_000]
    if (options.million) steps.push(1_000_000)
    let from = 0
    for (const files of steps) {
      await run.withFiles(from, files)
      from = files
    }
    for (const count of options.quick ? [10, 1000] : [10, 1000, 10_000, 100_000]) {
      await run.withEntries(count)
    }
    await volume.close()
    for (const problem of scratch.leftovers()) progress(problem)
    return run.points
  } finally {
    scratch.destroyNow()
  }
}
