/** One measurement of a workload by the load generator: prepare, go, collect. */
import { writeFileSync } from 'node:fs'
import { RunningChild, run } from './children.ts'
import { program } from './compile.ts'
import type { Sample } from './results.ts'
import type { Shape } from './shapes.ts'
import type { System } from './systems/system.ts'
import { UsageMeter } from './usage.ts'
import type { LoadValues, Workload, WorkloadScale } from './workloads.ts'

const PREPARE_LIMIT_MS = 5 * 60_000
/** A workload ends by itself; this is for systems that hang. */
const WORK_LIMIT_MS = 10 * 60_000
const QUIET_LIMIT_MS = 5000

export interface LoadJob {
  readonly workload: Workload
  readonly shape: Shape
  readonly system: System
  readonly scale: WorkloadScale
  readonly round: number
  /** Name of the folder below the system's own. */
  readonly folder: string
  readonly repository: string
}

interface LoadAnswer {
  readonly units: number
  readonly steps: number
  readonly startNs: number
  readonly endNs: number
  readonly p50Us: number
  readonly p99Us: number
}

function argument(name: string, value: number | string | undefined): string[] {
  return value === undefined ? [] : [`${name}=${value}`]
}

/** Command of process `index` of the workload. */
export function loadCommand(
  job: LoadJob,
  step: string,
  values: LoadValues,
  index: number
): string[] {
  const { shape, system, workload, scale } = job
  const made = shape.nodes[index] ?? 0
  const node = workload.onOther ? 1 - made : made
  const base = `${system.folders[node === 0 ? 0 : 1]}/${job.folder}`
  const folder = shape.ownFolders && workload.fixture !== 'listing' ? `${base}/p${index}` : base
  return [
    program('load'),
    step,
    folder,
    ...argument('index', shape.ownFolders ? 0 : index),
    ...argument('count', values.count),
    ...argument('limit', values.limit),
    ...argument('bytes', values.bytes),
    ...argument('min_ms', values.minMs ?? scale.minMs),
    ...argument('max_ms', scale.maxMs),
    ...argument('source', job.repository)
  ]
}

async function dropKernelCaches(): Promise<void> {
  await run(['sync'])
  writeFileSync('/proc/sys/vm/drop_caches', '3')
}

function summarise(job: LoadJob, answers: readonly LoadAnswer[], meter: UsageMeter): Sample {
  const begin = Math.min(...answers.map(({ startNs }) => startNs))
  const end = Math.max(...answers.map(({ endNs }) => endNs))
  const units = answers.reduce((sum, answer) => sum + answer.units, 0)
  const pace = answers.map(({ units, startNs, endNs }) => units / (endNs - startNs))
  return {
    round: job.round,
    rate: units / ((end - begin) / 1e9),
    p50Us: Math.max(...answers.map(({ p50Us }) => p50Us)),
    p99Us: Math.max(...answers.map(({ p99Us }) => p99Us)),
    ...(answers.length > 1 ? { fairness: Math.min(...pace) / Math.max(...pace) } : {}),
    units,
    usage: meter.read()
  }
}

/**
 * Rejects when a process fails or does not come back. The usage includes what the system still did
 * after its last answer.
 */
export async function runLoad(job: LoadJob): Promise<Sample> {
  const { load } = job.workload
  if (typeof load === 'string') throw new Error(`${job.workload.name} is no step`)
  const values = load.values(job.scale, job.shape.nodes.length)
  const meter = new UsageMeter(job.system.groups)
  const children = job.shape.nodes.map(
    (_, index) => new RunningChild(loadCommand(job, load.step, values, index))
  )
  try {
    await Promise.all(children.map((child) => child.line(PREPARE_LIMIT_MS)))
    if (job.workload.cold) await dropKernelCaches()
    if (!job.workload.rests) await meter.quiet(QUIET_LIMIT_MS)
    meter.begin()
    for (const child of children) child.write('go\n')
    const lines = await Promise.all(children.map((child) => child.line(WORK_LIMIT_MS)))
    await meter.quiet(QUIET_LIMIT_MS)
    const answers = lines.map((line) => JSON.parse(line) as LoadAnswer)
    const sample = summarise(job, answers, meter)
    await Promise.all(children.map((child) => child.end(PREPARE_LIMIT_MS)))
    return sample
  } finally {
    for (const child of children) child.kill()
  }
}
