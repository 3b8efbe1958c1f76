/** What a run of the benchmark found; the shape of its JSON. */
import type { ShapeName } from './shapes.ts'
import type { SystemName } from './systems/system.ts'
import type { NodeUsage } from './usage.ts'
import type { WorkloadScale } from './workloads.ts'

/** One measurement. */
export interface Sample {
  readonly round: number
  /** Units of work a second, all processes together. */
  readonly rate: number
  /** Of a step, the slowest process's. */
  readonly p50Us?: number
  readonly p99Us?: number
  /** Work of the process that did least, divided by that of the one that did most. */
  readonly fairness?: number
  /** Units of work done: what the usage is for. */
  readonly units: number
  readonly usage: readonly NodeUsage[]
}

export interface Cell {
  readonly workload: string
  readonly shape: ShapeName
  readonly delayMs: number
  readonly system: SystemName
  readonly samples: readonly Sample[]
  /** One sentence for each round that failed. */
  readonly failures: readonly string[]
}

export interface BenchResult {
  readonly version: 2
  readonly takenAt: string
  readonly machine: {
    readonly cpus: number
    readonly model: string
    readonly kernel: string
    readonly node: string
    /** Processes that wanted a processor during the minute before: others disturb the figures. */
    readonly loadAverage: number
  }
  readonly commit: string
  /** What the systems are: versions, members. */
  readonly systems: Readonly<Record<string, string>>
  readonly rounds: number
  readonly scale: WorkloadScale
  readonly cells: readonly Cell[]
  readonly notes: readonly string[]
}
