/**
 * `npm run bench`: rates on a two-node volume of this machine next to the same on its local disk,
 * interleaved in one run, as ratios. Options: --rounds N, --files N, --deliveries N,
 * --stream-mib N, --only WORKLOAD, --json FILE.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeCluster } from '../test/helpers/cluster.ts'
import { formatTable, summarise, type WorkloadResult } from './report.ts'
import { type Workload, type WorkloadScale, workloads } from './workloads.ts'

const CHILD_LIMIT_MS = 15 * 60_000
const childPath = fileURLToPath(new URL('./workload-child.js', import.meta.url))

/** Something to measure: a name and a folder to do it in. */
interface Target {
  readonly name: string
  readonly folder: string
}

function runChild(workload: Workload, target: Target, scale: WorkloadScale): Promise<number> {
  const args = [childPath, workload.name, target.folder, JSON.stringify(scale)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), CHILD_LIMIT_MS)
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => {
      clearTimeout(timer)
      setImmediate(() => {
        if (code === 0) resolve((JSON.parse(output) as { rate: number }).rate)
        else reject(new Error(`${workload.name} on ${target.name} ended with ${code}: ${errors}`))
      })
    })
  })
}

/** Each round measures every target once, each time another one first. */
async function compare(
  workload: Workload,
  targets: readonly Target[],
  scale: WorkloadScale,
  rounds: number
): Promise<WorkloadResult[]> {
  const rates = new Map<string, number[]>(targets.map((target) => [target.name, []]))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < targets.length; turn++) {
      const target = targets[(round + turn) % targets.length]
      if (target === undefined) continue
      rates.get(target.name)?.push(await runChild(workload, target, scale))
    }
  }
  return summarise(workload, rates)
}

function parseCommandLine() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      files: { type: 'string', default: '1000' },
      deliveries: { type: 'string', default: '200' },
      'stream-mib': { type: 'string', default: '128' },
      only: { type: 'string' },
      json: { type: 'string', default: 'bench-result.json' }
    }
  })
  const count = (name: string, text: string): number => {
    const value = Number(text)
    if (!Number.isSafeInteger(value) || value < 1)
      throw new Error(`--${name}: not a count: ${text}`)
    return value
  }
  const chosen = workloads.filter(({ name }) => values.only === undefined || name === values.only)
  if (chosen.length === 0) {
    const names = workloads.map(({ name }) => `'${name}'`).join(', ')
    throw new Error(`--only: no workload '${values.only}', there are ${names}`)
  }
  return {
    rounds: count('rounds', values.rounds),
    scale: {
      fileCount: count('files', values.files),
      deliveryCount: count('deliveries', values.deliveries),
      streamBytes: count('stream-mib', values['stream-mib']) * 2 ** 20
    },
    chosen,
    jsonPath: values.json
  }
}

async function main(): Promise<void> {
  const { rounds, scale, chosen, jsonPath } = parseCommandLine()
  const cluster = await makeCluster()
  try {
    const local = join(cluster.scratch, 'local')
    mkdirSync(local)
    const targets: Target[] = [
      { name: 'local disk', folder: local },
      { name: 'tandemfs, 2 nodes', folder: cluster.node(0).mountPath }
    ]
    const results: WorkloadResult[] = []
    for (const workload of chosen) {
      process.stderr.write(`${workload.name}, ${rounds} rounds\n`)
      results.push(...(await compare(workload, targets, scale, rounds)))
    }
    process.stdout.write(`${formatTable(results)}\n`)
    const machine = { cpus: os.cpus().length, kernel: os.release(), node: process.version }
    const report = {
      version: 1,
      takenAt: new Date().toISOString(),
      machine,
      rounds,
      scale,
      results
    }
    writeFileSync(jsonPath, `${JSON.stringify(report, null, 2)}\n`)
  } finally {
    await cluster.close()
  }
}

try {
  await main()
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
