/** Median and range of the rounds, and of the ratios of rates of the same round. */

export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
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

export function median(values: readonly number[]): number {
  return spread(values).median
}

interface Rated {
  readonly round: number
  readonly rate: number
}

/** Undefined when no round has both. */
export function ratio(of: readonly Rated[], to: readonly Rated[]): Spread | undefined {
  const ratios = of.flatMap(({ round, rate }) => {
    const other = to.find((candidate) => candidate.round === round)
    return other === undefined ? [] : [rate / other.rate]
  })
  return ratios.length === 0 ? undefined : spread(ratios)
}
