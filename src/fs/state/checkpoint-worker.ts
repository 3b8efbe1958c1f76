/**
 * The other thread of Checkpointer: a second connection that copies the WAL into the database and
 * fsyncs both. Speaks only in the message types below.
 */
import { parentPort, workerData } from 'node:worker_threads'
import BetterSqlite3 from 'better-sqlite3'
import { assert } from '../assert.ts'

export interface CheckpointWorkerData {
  readonly file: string
}

/** Any message from the owner asks for one checkpoint; this is the answer. */
export type CheckpointReply =
  | {
      readonly ok: true
      /** Frames in the WAL that are committed, and how many of them are in the database now. */
      readonly walFrames: number
      readonly copiedFrames: number
      readonly pageBytes: number
    }
  | { readonly ok: false; readonly message: string }

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

port.on('message', () => {
  port.postMessage(checkpoint())
})

function checkpoint(): CheckpointReply {
  try {
    const [row] = database.pragma('wal_checkpoint(PASSIVE)') as CheckpointRow[]
    assert(row !== undefined, 'wal_checkpoint gave no row')
    return { ok: true, walFrames: row.log, copiedFrames: row.checkpointed, pageBytes }
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) }
  }
}
