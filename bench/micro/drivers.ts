/**
 * The drivers of a mount beside each other, on one-node volumes of this machine in one run:
 * npm run bench -- micro drivers [--rounds N]
 *
 * Prints the median rate of each and the ratio to the default of every round, lowest to highest.
 */
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Cluster, makeCluster } from '../../test/helpers/cluster.ts'

const DRIVERS = ['native', 'threadpool', 'fuse-native'] as const
type Driver = (typeof DRIVERS)[number]

interface Workload {
  readonly unit: 'op/s' | 'MiB/s'
  /** Does it in a fresh folder: how many units of work, and how long they took. */
  run(folder: string): { readonly units: number; readonly ms: number }
}

const STATS = 3000
const FILES = 300
const LISTED = 1000
const STREAM_BYTES = 32 * 2 ** 20
const MIB = 2 ** 20
const DEPTH = 8

function timed(units: number, work: () => void): { units: number; ms: number } {
  const startedMs = performance.now()
  work()
  return { units, ms: performance.now() - startedMs }
}

function repeatedStat(path: string): { units: number; ms: number } {
  fs.writeFileSync(path, 'x')
  return timed(STATS, () => {
    for (let i = 0; i < STATS; i++) fs.statSync(path)
  })
}

function written(path: string, chunkBytes: number): { units: number; ms: number } {
  const chunk = Buffer.alloc(chunkBytes, 0x61)
  const fd = fs.openSync(path, 'w')
  try {
    return timed(STREAM_BYTES / MIB, () => {
      for (let at = 0; at < STREAM_BYTES; at += chunkBytes) fs.writeSync(fd, chunk)
    })
  } finally {
    fs.closeSync(fd)
  }
}

function makeFiles(folder: string, count: number): void {
  for (let i = 0; i < count; i++) fs.writeFileSync(`${folder}/f${i}`, '')
}

const WORKLOADS: Readonly<Record<string, Workload>> = {
  stat: { unit: 'op/s', run: (folder) => repeatedStat(`${folder}/file`) },
  'stat 8 folders deep': {
    unit: 'op/s',
    run: (folder) => {
      const deep = `${folder}${'/d'.repeat(DEPTH)}`
      fs.mkdirSync(deep, { recursive: true })
      return repeatedStat(`${deep}/file`)
    }
  },
  'create, write 4 KiB, close': {
    unit: 'op/s',
    run: (folder) => {
      const data = Buffer.alloc(4096, 0x61)
      return timed(FILES, () => {
        for (let i = 0; i < FILES; i++) fs.writeFileSync(`${folder}/f${i}`, data)
      })
    }
  },
  unlink: {
    unit: 'op/s',
    run: (folder) => {
      makeFiles(folder, FILES)
      return timed(FILES, () => {
        for (let i = 0; i < FILES; i++) fs.unlinkSync(`${folder}/f${i}`)
      })
    }
  },
  'list and stat 1000 files': {
    unit: 'op/s',
    run: (folder) => {
      makeFiles(folder, LISTED)
      return timed(LISTED, () => {
        for (const name of fs.readdirSync(folder)) fs.statSync(`${folder}/${name}`)
      })
    }
  },
  'write by 4 KiB': { unit: 'MiB/s', run: (folder) => written(`${folder}/stream`, 4096) },
  'write by 1 MiB': { unit: 'MiB/s', run: (folder) => written(`${folder}/stream`, MIB) },
  'read by 1 MiB': {
    unit: 'MiB/s',
    run: (folder) => {
      written(`${folder}/stream`, MIB)
      const buffer = Buffer.alloc(MIB)
      const fd = fs.openSync(`${folder}/stream`, 'r')
      const result = timed(STREAM_BYTES / MIB, () => {
        while (fs.readSync(fd, buffer) > 0);
      })
      fs.closeSync(fd)
      return result
    }
  }
}

/** In a child, because this process must not wait for a mount. */
function measure(name: string, folder: string): Promise<number> {
  const args = [fileURLToPath(import.meta.url), 'measure', name, folder]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve(Number(output))
      else reject(new Error(`${name} in ${folder} ended with ${code}`))
    })
  })
}

function measureHere(name: string, folder: string): void {
  const workload = WORKLOADS[name]
  if (workload === undefined) throw new Error(`no such workload: ${name}`)
  fs.mkdirSync(folder)
  const { units, ms } = workload.run(folder)
  fs.rmSync(folder, { recursive: true })
  process.stdout.write(String(units / (ms / 1000)))
}

async function mountWith(driver: Driver): Promise<Cluster> {
  const cluster = await makeCluster({ nodeCount: 1 })
  if (driver === 'native') return cluster
  const node = cluster.node(0)
  await node.unmount()
  if (driver === 'threadpool') process.env['TANDEMFS_CHANNEL'] = driver
  await node.mount(...(driver === 'fuse-native' ? ['-o', 'driver=fuse-native,local_locks'] : []))
  delete process.env['TANDEMFS_CHANNEL']
  return cluster
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

function line(name: string, rates: ReadonlyMap<Driver, readonly number[]>, unit: string): string {
  const cells = DRIVERS.map((driver) => {
    const own = rates.get(driver) ?? []
    const rate = median(own)
    const text = `${rate.toFixed(unit === 'op/s' ? 0 : 1)} ${unit}`
    if (driver === 'native') return text
    const ratios = own.map((value, round) => value / (rates.get('native')?.[round] ?? Number.NaN))
    const [low, high] = [Math.min(...ratios).toPrecision(2), Math.max(...ratios).toPrecision(2)]
    return `${text}, ${median(ratios).toPrecision(2)} (${low} to ${high})`
  })
  return `| ${name} | ${cells.join(' | ')} |`
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } })
  const rounds = Number(values.rounds)
  const clusters = new Map<Driver, Cluster>()
  try {
    for (const driver of DRIVERS) clusters.set(driver, await mountWith(driver))
    process.stdout.write(`| | ${DRIVERS.join(' | ')} |\n|---|---|---|---|\n`)
    for (const [name, { unit }] of Object.entries(WORKLOADS)) {
      const rates = new Map<Driver, number[]>(DRIVERS.map((driver) => [driver, []]))
      for (let round = 0; round < rounds; round++) {
        for (const [turn] of DRIVERS.entries()) {
          const driver = DRIVERS[(round + turn) % DRIVERS.length]
          const node = driver === undefined ? undefined : clusters.get(driver)?.node(0)
          if (driver === undefined || node === undefined) continue
          rates.get(driver)?.push(await measure(name, node.path('work')))
        }
      }
      process.stdout.write(`${line(name, rates, unit)}\n`)
    }
  } finally {
    for (const cluster of clusters.values()) await cluster.close()
  }
}

const [mode, name = '', folder = ''] = process.argv.slice(2)
if (mode === 'measure') measureHere(name, folder)
else await main()
