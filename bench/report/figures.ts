/** How figures are written: three digits that mean something. */
import type { Spread } from './spread.ts'

export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (value >= 100) return Math.round(value).toLocaleString('en-US')
  if (value >= 10) return value.toFixed(1)
  return value.toFixed(2)
}

export function figures(values: Spread): string {
  const range = values.min === values.max ? '' : ` (${figure(values.min)}-${figure(values.max)})`
  return `${figure(values.median)}${range}`
}

export function times(values: Spread): string {
  const range = values.min === values.max ? '' : ` (${figure(values.min)}-${figure(values.max)})`
  return `${figure(values.median)}x${range}`
}

/** Columns of equal width, for Markdown as well as for a terminal. */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const [heading = []] = rows
  const widths = heading.map((_, column) =>
    Math.max(3, ...rows.map((row) => (row[column] ?? '').length))
  )
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [line(heading), rule, ...rows.slice(1).map(line)].join('\n')
}
