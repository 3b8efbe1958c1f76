/** The chart: one line for each workload, a dot for each system, on a scale of ratios. */
import type { SystemName } from '../systems/system.ts'
import { figure } from './figures.ts'
import { type Row, ratioOf, systemsOf } from './tables.ts'

const LEFT = 330
const WIDTH = 960
const RIGHT = 40
const TOP = 74
const LINE = 26
const COLOURS: Readonly<Record<SystemName, string>> = {
  tandemfs: '#0b6e4f',
  GlusterFS: '#c8553d',
  passthrough: '#3c6997',
  'local disk': '#8a8a8a'
}

function asXml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}

function text(x: number, y: number, content: string, more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${asXml(content)}</text>`
}

/** Maps a ratio to its place, logarithmically. */
class Scale {
  readonly low: number
  readonly high: number

  constructor(ratios: readonly number[]) {
    const logs = ratios.map((ratio) => Math.log10(ratio))
    this.low = Math.min(-1, Math.floor(Math.min(...logs)))
    this.high = Math.max(1, Math.ceil(Math.max(...logs)))
  }

  x(ratio: number): number {
    const share = (Math.log10(ratio) - this.low) / (this.high - this.low)
    return LEFT + share * (WIDTH - LEFT - RIGHT)
  }

  powers(): number[] {
    return [...Array(this.high - this.low + 1).keys()].map((step) => 10 ** (this.low + step))
  }
}

function grid(scale: Scale, bottom: number): string[] {
  return scale.powers().flatMap((power) => {
    const x = scale.x(power).toFixed(1)
    const colour = power === 1 ? '#444' : '#ddd'
    return [
      `<line x1="${x}" y1="${TOP - 12}" x2="${x}" y2="${bottom}" stroke="${colour}"/>`,
      text(
        scale.x(power),
        TOP - 18,
        `${power < 1 ? power : figure(power).replace('.00', '').replace('.0', '')}x`,
        'text-anchor="middle" fill="#555"'
      )
    ]
  })
}

function legend(systems: readonly SystemName[]): string[] {
  return systems.flatMap((name, index) => {
    const x = LEFT + index * 140
    return [`<circle cx="${x}" cy="26" r="5" fill="${COLOURS[name]}"/>`, text(x + 10, 30, name)]
  })
}

/** Rates as ratios to those of `base` in the same round: median, and the range as a line. */
export function chart(rows: readonly Row[], base: SystemName): string {
  const shown = rows.filter((row) => row.shape === row.workload.shapes[0] && row.cells.has(base))
  const systems = systemsOf(shown)
  const spreads = shown.map((row) =>
    systems.flatMap((name) => {
      const found = ratioOf(row, name, base)
      return found === undefined ? [] : [{ name, ...found }]
    })
  )
  const scale = new Scale(spreads.flat().flatMap(({ min, max }) => [min, max]))
  const bottom = TOP + shown.length * LINE
  const lines = shown.flatMap((row, index) => {
    const y = TOP + index * LINE + LINE / 2
    const marks = (spreads[index] ?? []).map(({ name, min, median, max }) => {
      const colour = COLOURS[name]
      const range = `<line x1="${scale.x(min).toFixed(1)}" y1="${y}" x2="${scale.x(max).toFixed(1)}" y2="${y}" stroke="${colour}" stroke-width="2"/>`
      const hint = `<title>${asXml(name)}: ${figure(median)}x (${figure(min)}-${figure(max)})</title>`
      return `${range}<circle cx="${scale.x(median).toFixed(1)}" cy="${y}" r="5" fill="${colour}">${hint}</circle>`
    })
    return [text(LEFT - 12, y + 4, row.workload.label, 'text-anchor="end"'), ...marks]
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${bottom + 16}" font-family="sans-serif" font-size="13">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    text(12, 30, `Rate, as a ratio to ${base}`, 'font-weight="bold"'),
    ...legend(systems),
    ...grid(scale, bottom),
    ...lines,
    '</svg>',
    ''
  ].join('\n')
}
