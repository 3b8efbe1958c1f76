import test from 'brittle'
import { chart } from '../../../bench/report/chart.ts'
import { formatResult } from '../../../bench/report/document.ts'
import { rowsOf } from '../../../bench/report/tables.ts'
import type { BenchResult, Cell } from '../../../bench/results.ts'
import type { SystemName } from '../../../bench/systems/system.ts'
import { quickScale } from '../../../bench/workloads.ts'

function cell(system: SystemName, rates: number[], failures: string[] = []): Cell {
  const samples = rates.map((rate, round) => ({
    round,
    rate,
    p50Us: 100,
    p99Us: 900,
    units: 1000,
    usage: [
      { node: 'node-a', cpuSeconds: 0.5, peakMib: 90 },
      { node: 'node-b', cpuSeconds: 0.25, peakMib: 80 }
    ]
  }))
  return { workload: 'create', shape: 'one', delayMs: 0, system, samples, failures }
}

const result: BenchResult = {
  version: 2,
  takenAt: '2026-01-01T00:00:00.000Z',
  machine: { cpus: 2, model: 'M', kernel: '6.18', node: 'v20', loadAverage: 0 },
  commit: 'abc',
  systems: { tandemfs: '2 members', GlusterFS: '10.3' },
  rounds: 2,
  scale: quickScale,
  cells: [cell('tandemfs', [1000, 2000]), cell('GlusterFS', [100, 100], ['round 3: <lost>'])],
  notes: ['a note']
}

test('bench tables - rates, ratios, goals, costs and failures', (t) => {
  const text = formatResult(result)
  t.ok(text.includes('1,500 (1,000-2,000)'), 'median and range')
  t.ok(text.includes('15.0x (10.0-20.0)'), 'ratio of the rounds')
  t.ok(text.includes('must (8x, 25x)'), 'what is reached of the goal')
  t.ok(text.includes('0.50 / 0.25'), 'processor milliseconds of each node')
  t.ok(text.includes('create, one, 0 ms, GlusterFS, round 3: <lost>'))
  t.ok(text.includes('- a note'))
})

test('bench chart - a dot for each system, on a scale that holds all', (t) => {
  const svg = chart(rowsOf(result, 0), 'GlusterFS')
  t.is(svg.match(/<circle [^>]*><title>/g)?.length, 2)
  t.ok(svg.includes('tandemfs: 15.0x (10.0-20.0)'))
  t.absent(svg.includes('NaN'))
  t.ok(svg.startsWith('<svg '))
})
