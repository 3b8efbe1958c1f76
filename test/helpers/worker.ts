/**
 * A child that touches a mount on behalf of a test. It answers JSON lines on stdin with JSON lines
 * on stdout, one after another, with blocking system calls: a hung mount hangs this process, never
 * the test, whose deadline then ends it.
 */
import { createInterface } from 'node:readline'
import type { WorkerRequest, WorkerResponse } from './protocol.ts'
import { fileOps } from './worker-files.ts'
import { historyOps } from './worker-history.ts'
import { runLoad } from './worker-load.ts'
import { pageOps } from './worker-pages.ts'
import { treeOps } from './worker-tree.ts'

const operations = new Map(
  Object.entries({ ...fileOps, ...pageOps, ...treeOps, ...historyOps, load: runLoad })
)

function answer(request: WorkerRequest): WorkerResponse {
  const operation = operations.get(request.op)
  if (operation === undefined) throw new Error(`unknown worker operation ${request.op}`)
  try {
    return { id: request.id, ok: true, value: operation(request.args as never) ?? null }
  } catch (error) {
    const failure = error as NodeJS.ErrnoException
    return { id: request.id, ok: false, code: failure.code ?? '', message: failure.message }
  }
}

const input = createInterface({ input: process.stdin })
input.on('line', (line) => {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`)
})
input.on('close', () => process.exit(0))
