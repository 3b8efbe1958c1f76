/** Turns the rates of several rounds into ratios against the baseline, as a table and as JSON. */
import type { Workload } from './workloads.ts'

export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

export interface WorkloadResult {
  readonly workload: string
  readonly unit: string
  readonly target: string
  readonly rate: Spread
  /** Rate divided by the baseline's of the same round; absent for the baseline. */
  readonly ratio?: Spread
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((x, y) => x - y)
  const at = (index: number): number => sorted[index] ?? Number.NaN
  const middle = (sorted.length - 1) / 2
  return {
    min: at(0),
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    max: at(sorted.length - 1)
  }
}

/** `rates`: of each target, one rate a round; the first target is the baseline. */
export function summarise(
  workload: Workload,
  rates: ReadonlyMap<string, readonly number[]>
): WorkloadResult[] {
  const [baseline] = rates.values()
  return [...rates].map(([target, values]) => {
    const result = { workload: workload.name, unit: workload.unit, target, rate: spread(values) }
    if (values === baseline || baseline === undefined) return result
    const ratios = values.map((value, round) => value / (baseline[round] ?? Number.NaN))
    return { ...result, ratio: spread(ratios) }
  })
}

export function formatTable(results: readonly WorkloadResult[]): string {
  const rows = results.map((result) => [
    result.workload,
    result.target,
    figure(result.rate.median),
    result.unit,
    `${figure(result.rate.min)} .. ${figure(result.rate.max)}`,
    result.ratio === undefined ? '1' : result.ratio.median.toFixed(3),
    result.ratio === undefined
      ? ''
      : `${result.ratio.min.toFixed(3)} .. ${result.ratio.max.toFixed(3)}`
  ])
  const table = [['workload', 'on', 'median', '', 'min .. max', 'ratio', 'min .. max'], ...rows]
  const widths = [0, 1, 2, 3, 4, 5, 6].map((column) =>
    Math.max(...table.map((row) => (row[column] ?? '').length))
  )
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()
    )
    .join('\n')
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1)
}
