/** ping_pong of ctdb on two nodes: how fast a range lock goes back and forth. */
import { RunningChild, run } from './children.ts'
import { median } from './report/spread.ts'
import type { Sample } from './results.ts'
import type { LoadJob } from './run-load.ts'
import { UsageMeter } from './usage.ts'

/** One more than there are processes, as its manual says. */
const LOCKS = '3'
const QUIET_LIMIT_MS = 5000
const STOP_LIMIT_MS = 60_000

/** The program shows its rate each second on one line, over and over; the first is not whole. */
export function ratesOf(output: string): number[] {
  return [...output.matchAll(/(\d+) locks\/sec/g)].map((match) => Number(match[1])).slice(1)
}

/** Rejects when it is not installed, complains, or shows no rate. */
export async function runPingPong(job: LoadJob): Promise<Sample> {
  const seconds = job.scale.minMs < 1000 ? 4 : 6
  const options = job.workload.load === 'ping_pong -rw' ? ['-rw'] : []
  const folders = job.system.folders.map((folder) => `${folder}/${job.folder}`)
  await run(['mkdir', '-p', folders[0] ?? ''])
  const meter = new UsageMeter(job.system.groups)
  meter.begin()
  const children = folders.map(
    (folder) => new RunningChild(['ping_pong', ...options, `${folder}/file`, LOCKS])
  )
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  const outcomes = await Promise.all(children.map((child) => child.stop('SIGINT', STOP_LIMIT_MS)))
  await meter.quiet(QUIET_LIMIT_MS)
  const rates = outcomes.map(({ stdout, stderr }) => {
    const seen = ratesOf(stdout)
    if (seen.length === 0) throw new Error(`ping_pong: ${`${stderr}${stdout}`.trim().slice(-300)}`)
    return median(seen)
  })
  const rate = rates.reduce((sum, one) => sum + one, 0) / rates.length
  return {
    round: job.round,
    rate,
    fairness: Math.min(...rates) / Math.max(...rates),
    units: rate * rates.length * seconds,
    usage: meter.read()
  }
}
