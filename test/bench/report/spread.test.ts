import test from 'brittle'
import { ratio, spread } from '../../../bench/report/spread.ts'

test('spread - of even and odd counts', (t) => {
  t.alike(spread([3, 1, 2]), { min: 1, median: 2, max: 3 })
  t.alike(spread([4, 1, 2, 3]), { min: 1, median: 2.5, max: 4 })
})

test('ratio - is of rates of the same round', (t) => {
  const rated = (rates: number[]) => rates.map((rate, round) => ({ round, rate }))
  const found = ratio(rated([50, 50, 400]), rated([100, 200, 400]))
  t.alike(found, { min: 0.25, median: 0.5, max: 1 })
  const missing = ratio([{ round: 1, rate: 10 }], rated([5, 20]))
  t.alike(missing, { min: 0.5, median: 0.5, max: 0.5 }, 'a round that failed is left out')
  t.is(ratio([{ round: 0, rate: 1 }], []), undefined)
})
