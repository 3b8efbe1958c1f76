/**
 * The measurements of one network: in each round every workload runs on every system, one right
 * after the other and each time another one first, so that whatever disturbs the machine disturbs
 * all of them.
 */
import { run } from './children.ts'
import { LISTING_FOLDER, makeListing } from './fixtures.ts'
import { runPingPong } from './ping-pong.ts'
import type { Cell, Sample } from './results.ts'
import { type LoadJob, runLoad } from './run-load.ts'
import { SHAPES, type Shape, type ShapeName } from './shapes.ts'
import type { System } from './systems/system.ts'
import { WORKLOADS, type Workload, type WorkloadScale } from './workloads.ts'

/** The pass before the first round: run, but not counted. */
const WARM_UP = -1
const HAVE_GOALS: ReadonlySet<ShapeName> = new Set(['one', 'sixteen', 'shared'])
const REMOVE_LIMIT_MS = 10 * 60_000

export interface RoundsOptions {
  readonly rounds: number
  readonly scale: WorkloadScale
  readonly delayMs: number
  /** Names of the workloads to measure. */
  readonly chosen: ReadonlySet<string>
  readonly shapes: ReadonlySet<ShapeName>
  readonly repository: string
  readonly progress: (line: string) => void
}

interface OpenCell {
  readonly samples: Sample[]
  readonly failures: string[]
}

export class Rounds {
  readonly #systems: readonly System[]
  readonly #options: RoundsOptions
  readonly #cells = new Map<string, Cell & OpenCell>()
  readonly #listed = new Set<System>()
  /** What went wrong beside the measurements. */
  readonly problems: string[] = []

  constructor(systems: readonly System[], options: RoundsOptions) {
    this.#systems = systems
    this.#options = options
  }

  /**
   * Before the rounds one pass of one process, and of the other shapes whose rows have goals where they
   * are asked for, warm every system up: servers run for weeks, and caches, compiled code and
   * allocators are those of a process that has worked before.
   */
  async run(): Promise<Cell[]> {
    const { shapes } = this.#options
    for (const shape of SHAPES) {
      const isAsked = HAVE_GOALS.has(shape.name) && shapes.has(shape.name)
      if (shape.name === 'one' || isAsked) await this.#runShape(shape, WARM_UP)
    }
    for (let round = 0; round < this.#options.rounds; round++) {
      for (const shape of SHAPES) {
        if (this.#options.shapes.has(shape.name)) await this.#runShape(shape, round)
      }
    }
    return [...this.#cells.values()]
  }

  async #runShape(shape: Shape, round: number): Promise<void> {
    const wanted = workloadsOf(shape, this.#options.chosen)
    const families = [...new Set(wanted.map(({ family }) => family))]
    for (const family of families) {
      for (const workload of wanted.filter((one) => one.family === family)) {
        for (let turn = 0; turn < this.#systems.length; turn++) {
          const system = this.#systems[(turn + Math.max(0, round)) % this.#systems.length]
          if (system === undefined) continue
          const passes = round === WARM_UP ? (workload.warmUps ?? 1) : 1
          for (let pass = 0; pass < passes; pass++) {
            await this.#measure(workload, shape, system, round)
          }
        }
      }
      for (const system of this.#systems) await this.#remove(system, folderOf(family, shape))
    }
  }

  async #measure(workload: Workload, shape: Shape, system: System, round: number): Promise<void> {
    const { scale, delayMs, repository } = this.#options
    const cell = this.#cell(workload, shape, system)
    const folder =
      workload.fixture === 'listing' ? LISTING_FOLDER : folderOf(workload.family, shape)
    const job: LoadJob = { workload, shape, system, scale, round, folder, repository }
    const pass = round === WARM_UP ? 'warm-up' : `round ${round + 1}`
    const title = `${delayMs} ms, ${pass}, ${workload.label}, ${shape.label}`
    try {
      if (workload.fixture === 'listing') await this.#fill(system)
      const sample = typeof workload.load === 'string' ? await runPingPong(job) : await runLoad(job)
      if (round !== WARM_UP) cell.samples.push(sample)
      this.#options.progress(
        `${title}, ${system.name}: ${sample.rate.toPrecision(4)} ${workload.unit}`
      )
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      cell.failures.push(`${pass}: ${problem}`)
      this.#options.progress(`${title}, ${system.name}: FAILED: ${problem}`)
    }
  }

  async #fill(system: System): Promise<void> {
    if (this.#listed.has(system)) return
    this.#listed.add(system)
    await makeListing(system, this.#options.scale.listed)
  }

  /** What cannot be removed makes the next round of its workload fail, which says so itself. */
  async #remove(system: System, folder: string): Promise<void> {
    try {
      await run(['rm', '-rf', `${system.folders[0]}/${folder}`], { limitMs: REMOVE_LIMIT_MS })
    } catch (error) {
      const problem = `${system.name}: ${error instanceof Error ? error.message : String(error)}`
      this.problems.push(problem)
      this.#options.progress(problem)
    }
  }

  #cell(workload: Workload, shape: Shape, system: System): OpenCell {
    const key = `${workload.name} ${shape.name} ${system.name}`
    const known = this.#cells.get(key)
    if (known !== undefined) return known
    const cell = {
      workload: workload.name,
      shape: shape.name,
      delayMs: this.#options.delayMs,
      system: system.name,
      samples: [],
      failures: []
    }
    this.#cells.set(key, cell)
    return cell
  }
}

function folderOf(family: string, shape: Shape): string {
  return `bench-${family}-${shape.name}`
}

/** Those chosen and those whose files they need, which then run as well. */
export function workloadsOf(shape: Shape, chosen: ReadonlySet<string>): Workload[] {
  const needed = new Set(
    WORKLOADS.filter(({ name, shapes }) => chosen.has(name) && shapes.includes(shape.name)).flatMap(
      ({ name, needs }) => [name, ...(needs ?? [])]
    )
  )
  return WORKLOADS.filter(({ name, shapes }) => needed.has(name) && shapes.includes(shape.name))
}
