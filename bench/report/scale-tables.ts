/** The figures of `npm run bench -- scale` as tables, one for each thing that grows. */
import { figure, markdownTable } from './figures.ts'

export interface Cost {
  /** Units a second. */
  readonly rate: number
  /** Processor microseconds of all members together for one unit. */
  readonly cpuUs: number
}

export type ScaleKind =
  | 'files of the volume'
  | 'entries of a directory'
  | 'GiB in one file'
  | 'members'

/** What was seen with `count` of them. */
export interface ScalePoint {
  readonly kind: ScaleKind
  readonly count: number
  readonly costs: ReadonlyMap<string, Cost>
  /** Of each member, at rest. */
  readonly residentMib: readonly number[]
  readonly idleCpuShare: readonly number[]
  /** Until the first member answers again, after an orderly stop; until a member that joined serves. */
  readonly startSeconds?: number
}

export function formatScale(points: readonly ScalePoint[]): string {
  const kinds = [...new Set(points.map(({ kind }) => kind))]
  return kinds
    .map((kind) => {
      const rows = points.filter((point) => point.kind === kind)
      const names = [...(rows[0]?.costs.keys() ?? [])]
      const withStart = rows.some(({ startSeconds }) => startSeconds !== undefined)
      const heading = [kind, ...names, 'MiB at rest', 'CPU % at rest']
      if (withStart) heading.push('start, s')
      const body = rows.map((row) => [
        row.count.toLocaleString('en-US'),
        ...names.map((name) => costText(row.costs.get(name))),
        row.residentMib.map(figure).join(' / '),
        row.idleCpuShare.map((share) => (share * 100).toFixed(1)).join(' / '),
        ...(row.startSeconds === undefined ? [] : [figure(row.startSeconds)])
      ])
      return markdownTable([heading, ...body])
    })
    .join('\n\n')
}

function costText(cost: Cost | undefined): string {
  return cost === undefined ? '-' : `${figure(cost.rate)} /s, ${figure(cost.cpuUs)} us`
}
