/**
/**
 * The other thread of Checkpointer: a connection of its own that copies the WAL into the database and
 * fsyncs both, and works on copies of the whole state. Speaks only in the message types below, one
 * answer for each request, in order.
 *
 * Invariant: during a checkpoint the WAL does not start over. A second connection keeps its place in
 * it, as a reader, until the sums of what was copied are durable (page-sums.ts).
 */
import { parentPort, workerData } from 'node:worker_threads'
import BetterSqlite3 from 'better-sqlite3'
import { assert, unreachable } from '../assert.ts'
import type { StatePosition } from '../ports/state-machine.ts'
import { type CheckpointCounts, checkpoint } from './checkpoint.ts'
import { adoptState, type CopiedState, copyState } from './state-copy.ts'

export interface CheckpointWorkerData {
  readonly file: string
}

export type CheckpointRequest =
  | { readonly type: 'checkpoint' }
  | { readonly type: 'copy'; readonly to: string }
  | { readonly type: 'adopt'; readonly file: string }

export type CheckpointReply =
  | { readonly type: 'checkpoint'; readonly done: CheckpointCounts }
  | { readonly type: 'copy'; readonly done: CopiedState }
  | { readonly type: 'adopt'; readonly done: StatePosition }
  | { readonly type: 'failed'; readonly message: string }

const port = parentPort
assert(port !== null, 'checkpoint-worker runs as a worker only')
const { file } = workerData as CheckpointWorkerData
const database = new BetterSqlite3(file, { fileMustExist: true })
database.pragma('synchronous = FULL')
database.pragma('wal_autocheckpoint = 0')
const reader = new BetterSqlite3(file, { fileMustExist: true, readonly: true })
const anything = reader.prepare('SELECT 1 FROM meta LIMIT 1')

port.on('message', (request: CheckpointRequest) => {
  answer(request).then(
    (reply) => port.postMessage(reply),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error)
      port.postMessage({ type: 'failed', message })
    }
  )
})

async function answer(request: CheckpointRequest): Promise<CheckpointReply> {
  const { type } = request
  switch (type) {
    case 'checkpoint':
      return { type, done: pinnedCheckpoint() }
    case 'copy':
      return { type, done: await copyState(database, request.to) }
    case 'adopt':
      return { type, done: adoptState(request.file) }
    default:
      return unreachable(request)
  }
}

function pinnedCheckpoint(): CheckpointCounts {
  reader.exec('BEGIN')
  try {
    anything.get()
    return checkpoint(database, file)
  } finally {
    reader.exec('COMMIT')
  }
}
