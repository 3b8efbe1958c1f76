import test from 'brittle'
import { formatTable, spread, summarise } from '../../bench/report.ts'
import type { Workload } from '../../bench/workloads.ts'

const workload: Workload = { name: 'create', unit: 'op/s', run: () => 0 }

test('bench report - spread of even and odd counts', (t) => {
  t.alike(spread([3, 1, 2]), { min: 1, median: 2, max: 3 })
  t.alike(spread([4, 1, 2, 3]), { min: 1, median: 2.5, max: 4 })
})

test('bench report - ratios are of rates of the same round', (t) => {
  const rates = new Map([
    ['local', [100, 200, 400]],
    ['volume', [50, 50, 400]]
  ])
  const [baseline, other] = summarise(workload, rates)
  t.is(baseline?.ratio, undefined)
  t.alike(other?.ratio, { min: 0.25, median: 0.5, max: 1 })
  const table = formatTable(summarise(workload, rates)).split('\n')
  t.is(table.length, 3, 'a heading and a line for each')
  t.ok(table[2]?.includes('0.500'))
})
