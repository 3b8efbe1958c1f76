/** Puts results into docs/performance.md, between their marks, with the chart beside it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../compile.ts'
import type { BenchResult } from '../results.ts'
import type { SystemName } from '../systems/system.ts'
import { chart } from './chart.ts'
import { costTable, rateTable, rowsOf } from './tables.ts'

type Section = 'figures' | 'scale'

const CHART = 'performance.svg'

function delaysOf(result: BenchResult): number[] {
  return [...new Set(result.cells.map(({ delayMs }) => delayMs))].sort((a, b) => a - b)
}

function heading(delayMs: number): string {
  return delayMs === 0 ? 'No added delay' : `${delayMs} ms added round trip`
}

function failuresOf(result: BenchResult): string[] {
  return result.cells.flatMap(({ workload, shape, delayMs, system, failures }) =>
    failures.map((failure) => `- ${workload}, ${shape}, ${delayMs} ms, ${system}, ${failure}`)
  )
}

/** All tables as text; for the terminal and for the document. */
export function formatResult(result: BenchResult): string {
  const { machine } = result
  const parts = [
    `${result.takenAt.slice(0, 16)}Z, commit ${result.commit}; ${machine.cpus} x ${machine.model}, Linux ` +
      `${machine.kernel}, Node ${machine.node}; load before the run ${machine.loadAverage.toFixed(1)}; ` +
      `${result.rounds} rounds: median (min-max).`,
    Object.entries(result.systems)
      .map(([name, description]) => `- ${name}: ${description}`)
      .join('\n')
  ]
  for (const delayMs of delaysOf(result)) {
    const rows = rowsOf(result, delayMs)
    parts.push(`### ${heading(delayMs)}`, rateTable(rows))
    parts.push(`Cost: ${heading(delayMs).toLowerCase()}`, costTable(rows))
  }
  const failures = failuresOf(result)
  if (failures.length > 0) parts.push(['Failed:', ...failures].join('\n'))
  if (result.notes.length > 0) parts.push(result.notes.map((note) => `- ${note}`).join('\n'))
  return parts.join('\n\n')
}

/** The peer where there is one, else the floor, else the disk. */
function chartBase(result: BenchResult): SystemName {
  const order: readonly SystemName[] = ['GlusterFS', 'passthrough', 'local disk', 'tandemfs']
  return order.find((name) => name in result.systems) ?? 'tandemfs'
}

/** Replaces what stands between the marks of the section. */
function replaceSection(section: Section, content: string): void {
  const path = join(projectRoot(), 'docs/performance.md')
  const first = `<!-- ${section}: written by npm run bench, do not edit -->`
  const last = `<!-- end of ${section} -->`
  const page = readFileSync(path, 'utf8')
  const begin = page.indexOf(first)
  const end = page.indexOf(last)
  if (begin < 0 || end < begin) throw new Error(`${path}: the marks of ${section} are missing`)
  const text = [first, content, last].join('\n\n')
  writeFileSync(path, page.slice(0, begin) + text + page.slice(end + last.length))
}

export function writeDocument(result: BenchResult): void {
  const [delayMs = 0] = delaysOf(result)
  const picture = chart(rowsOf(result, delayMs), chartBase(result))
  writeFileSync(join(projectRoot(), 'docs', CHART), picture)
  replaceSection('figures', [`![Rates as ratios](${CHART})`, formatResult(result)].join('\n\n'))
}

export function writeScale(text: string): void {
  replaceSection('scale', text)
}
