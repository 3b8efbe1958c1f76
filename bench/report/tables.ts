/** The tables of a result: rates and ratios, and what they cost. */
import type { BenchResult, Cell, Sample } from '../results.ts'
import { SHAPES, type ShapeName } from '../shapes.ts'
import { SYSTEM_NAMES, type SystemName } from '../systems/system.ts'
import type { NodeUsage } from '../usage.ts'
import { type Goal, WORKLOADS, type Workload } from '../workloads.ts'
import { figure, figures, markdownTable, times } from './figures.ts'
import { median, ratio, type Spread, spread } from './spread.ts'

/** The cells of one workload and shape under one delay, by system. */
export interface Row {
  readonly workload: Workload
  readonly shape: ShapeName
  readonly cells: ReadonlyMap<SystemName, Cell>
}

export function rowsOf(result: BenchResult, delayMs: number): Row[] {
  return WORKLOADS.flatMap((workload) =>
    workload.shapes.flatMap((shape) => {
      const cells = result.cells.filter(
        (cell) =>
          cell.workload === workload.name && cell.shape === shape && cell.delayMs === delayMs
      )
      if (cells.length === 0) return []
      return [{ workload, shape, cells: new Map(cells.map((cell) => [cell.system, cell])) }]
    })
  )
}

export function ratioOf(row: Row, of: SystemName, to: SystemName): Spread | undefined {
  return ratio(row.cells.get(of)?.samples ?? [], row.cells.get(to)?.samples ?? [])
}

export function systemsOf(rows: readonly Row[]): SystemName[] {
  return SYSTEM_NAMES.filter((name) => rows.some(({ cells }) => cells.has(name)))
}

function title(row: Row): string[] {
  const shape = SHAPES.find(({ name }) => name === row.shape)?.label ?? row.shape
  return [row.workload.label, shape]
}

function rateText(cell: Cell | undefined): string {
  if (cell === undefined) return ''
  const failed = cell.failures.length > 0 ? `${cell.failures.length} failed` : ''
  if (cell.samples.length === 0) return failed
  return `${figures(spread(cell.samples.map(({ rate }) => rate)))} ${failed}`.trim()
}

/** A goal is for the first shape of its workload. */
function goalText(row: Row, goal: Goal | undefined, reached: Spread | undefined): string {
  if (goal === undefined || reached === undefined || row.shape !== row.workload.shapes[0]) return ''
  const verdict =
    reached.median >= goal.aim ? 'aim' : reached.median >= goal.must ? 'must' : 'missed'
  return `${verdict} (${goal.must}x, ${goal.aim}x)`
}

function fairnessText(samples: readonly Sample[]): string {
  const all = samples.flatMap(({ fairness }) => (fairness === undefined ? [] : [fairness]))
  return all.length === 0 ? '' : figure(median(all))
}

/** Rates of each system, the ratio of tandemfs to peer and floor, and the goals. */
export function rateTable(rows: readonly Row[]): string {
  const systems = systemsOf(rows)
  const against = systems.filter((name) => name !== 'tandemfs')
  const compared = systems.includes('tandemfs') ? against : []
  const heading = [
    'workload',
    'who',
    'unit',
    ...systems,
    ...compared.map((name) => `to ${name}`),
    'goal: peer',
    'goal: floor',
    'fair'
  ]
  const body = rows.map((row) => {
    const peer = ratioOf(row, 'tandemfs', 'GlusterFS')
    const floor = ratioOf(row, 'tandemfs', 'passthrough')
    return [
      ...title(row),
      row.workload.unit,
      ...systems.map((name) => rateText(row.cells.get(name))),
      ...compared.map((name) => {
        const reached = ratioOf(row, 'tandemfs', name)
        return reached === undefined ? '' : times(reached)
      }),
      goalText(row, row.workload.versusPeer, peer),
      goalText(row, row.workload.versusFloor, floor),
      fairnessText(row.cells.get('tandemfs')?.samples ?? [])
    ]
  })
  return markdownTable([heading, ...body])
}

function perNode(
  samples: readonly Sample[],
  of: (usage: NodeUsage, sample: Sample) => number
): string {
  const names = samples[0]?.usage.map(({ node }) => node) ?? []
  return names
    .map((name) =>
      figure(
        median(
          samples.flatMap((sample) =>
            sample.usage.filter(({ node }) => node === name).map((usage) => of(usage, sample))
          )
        )
      )
    )
    .join(' / ')
}

/** Processor milliseconds for one unit of work, and the most memory, of each node; latencies. */
export function costTable(rows: readonly Row[]): string {
  const systems = systemsOf(rows).filter((name) => name !== 'local disk')
  const heading = [
    'workload',
    'who',
    ...systems.flatMap((name) => [`${name}: CPU ms`, 'MiB', 'p50 us', 'p99 us'])
  ]
  const body = rows.map((row) => [
    ...title(row),
    ...systems.flatMap((name) => {
      const samples = row.cells.get(name)?.samples ?? []
      const latency = (of: (sample: Sample) => number | undefined): string => {
        const seen = samples.flatMap((sample) => of(sample) ?? [])
        return seen.length === 0 ? '' : figure(median(seen))
      }
      return [
        perNode(samples, (usage, sample) => (usage.cpuSeconds * 1000) / sample.units),
        perNode(samples, (usage) => usage.peakMib),
        latency(({ p50Us }) => p50Us),
        latency(({ p99Us }) => p99Us)
      ]
    })
  ])
  return markdownTable([heading, ...body])
}
