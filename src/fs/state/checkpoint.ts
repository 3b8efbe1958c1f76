/**
 * One checkpoint: SQLite copies committed frames of the WAL into the database and fsyncs both, then
 * the sums of the pages that were copied are made durable (page-sums.ts).
 *
 * The caller sees to it that no two run at once on one database, and that the WAL does not start over
 * meanwhile: either it is the one connection that writes, or a reader keeps its place in the WAL.
 */
import type { Database } from 'better-sqlite3'
import { assert } from '../assert.ts'
import { NOTHING_COVERED, PAGE_BYTES, PageSums } from './page-sums.ts'
import { readFrames, walSalts } from './wal-file.ts'

export interface CheckpointCounts {
  /** Frames in the WAL that are committed, and how many of them are in the database now. */
  readonly walFrames: number
  readonly copiedFrames: number
}

interface CheckpointRow {
  readonly busy: number
  readonly log: number
  readonly checkpointed: number
}

export interface CheckpointOptions {
  /** Nothing will be committed after this one. */
  readonly closing?: boolean
}

export function sumsFile(databaseFile: string): string {
  return `${databaseFile}-sums`
}

/** Copies what the WAL has, as far as readers let it. */
export function copyWal(database: Database): CheckpointCounts {
  const [row] = database.pragma('wal_checkpoint(PASSIVE)') as CheckpointRow[]
  assert(row !== undefined, 'wal_checkpoint gave no row')
  return { walFrames: Math.max(0, row.log), copiedFrames: Math.max(0, row.checkpointed) }
}

/**
 * When it returns, what is counted as copied is durable in the database, and so are its sums.
 * Without a file of sums none are kept: openState makes it.
 */
export function checkpoint(
  database: Database,
  databaseFile: string,
  { closing = false }: CheckpointOptions = {}
): CheckpointCounts {
  const walFile = `${databaseFile}-wal`
  const salts = walSalts(walFile)
  const counts = copyWal(database)
  const loaded = PageSums.load(sumsFile(databaseFile))
  if (loaded === undefined) return counts
  const { sums, state } = loaded
  const covered = state.salts === salts ? state.frames : NOTHING_COVERED.frames
  const closed = closing && counts.copiedFrames === counts.walFrames
  const to = counts.copiedFrames
  if (covered >= to && state.closed === closed) return counts
  const range = { salts, from: covered + 1, to, pageBytes: PAGE_BYTES }
  const isRead = readFrames(walFile, range, (page, content) => sums.set(page, content))
  // It started over meanwhile, under a reader that had no place in it yet.
  if (!isRead || walSalts(walFile) !== salts) return { ...counts, copiedFrames: 0 }
  sums.save(sumsFile(databaseFile), { salts, frames: Math.max(covered, to), closed })
  return counts
}
