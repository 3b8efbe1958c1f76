/** Runs one workload in a child, so that the benchmark itself never touches a mount. */
import { measure, type WorkloadScale, workloads } from './workloads.ts'

const [name, folder, scale] = process.argv.slice(2)
const workload = workloads.find((candidate) => candidate.name === name)
if (workload === undefined || folder === undefined || scale === undefined) {
  throw new Error('usage: workload-child WORKLOAD FOLDER SCALE')
}
const rate = measure(workload, folder, JSON.parse(scale) as WorkloadScale)
process.stdout.write(`${JSON.stringify({ rate })}\n`)
