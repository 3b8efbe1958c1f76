/**
 * The other thread of Checkpointer: a second connection that copies the WAL into the database and
 * fsyncs both, and works on copies of the whole state. Speaks only in the message types below, one
 * answer for each request, in order.
 */
import { parentPort, workerData } from 'node:worker_threads'
import BetterSqlite3 from 'better-sqlite3'
import { assert, unreachable } from '../assert.ts'
import type { StatePosition } from '../ports/state-machine.ts'
import { adoptState, type CopiedState, copyState } from './state-copy.ts'

export interface CheckpointWorkerData {
  readonly file: string
}

export type CheckpointRequest =
  | { readonly type: 'checkpoint' }
  | { readonly type: 'copy'; readonly to: string }
  | { readonly type: 'adopt'; readonly file: string }

export interface CheckpointDone {
  /** Frames in the WAL that are committed, and how many of them are in the database now. */
  readonly walFrames: number
  readonly copiedFrames: number
  readonly pageBytes: number
}

export type CheckpointReply =
  | { readonly type: 'checkpoint'; readonly done: CheckpointDone }
  | { readonly type: 'copy'; readonly done: CopiedState }
  | { readonly type: 'adopt'; readonly done: StatePosition }
  | { readonly type: 'failed'; readonly message: string }

interface CheckpointRow {
  readonly busy: number
  readonly log: number
  readonly checkpointed: number
}

const port = parentPort
assert(port !== null, 'checkpoint-worker runs as a worker only')
const { file } = workerData as CheckpointWorkerData
const database = new BetterSqlite3(file, { fileMustExist: true })
database.pragma('synchronous = FULL')
database.pragma('wal_autocheckpoint = 0')
const pageBytes = database.pragma('page_size', { simple: true }) as number

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
      return { type, done: checkpoint() }
    case 'copy':
      return { type, done: await copyState(database, request.to) }
    case 'adopt':
      return { type, done: adoptState(request.file) }
    default:
      return unreachable(request)
  }
}

function checkpoint(): CheckpointDone {
  const [row] = database.pragma('wal_checkpoint(PASSIVE)') as CheckpointRow[]
  assert(row !== undefined, 'wal_checkpoint gave no row')
  return { walFrames: row.log, copiedFrames: row.checkpointed, pageBytes }
}
