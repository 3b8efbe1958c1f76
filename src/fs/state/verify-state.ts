/**
 * Compares every page of a database that is not open anywhere with its sum. Reading the file beside
 * an open connection and closing it again would take away the locks SQLite has on it (fcntl), so the
 * WAL is settled through a connection first, which is closed then.
 */
import type { Database } from 'better-sqlite3'
import { copyWal, sumsFile } from './checkpoint.ts'
import { NOTHING_COVERED, PAGE_BYTES, PageSums, type SumsState } from './page-sums.ts'
import { StateDamagedError } from './state-damaged-error.ts'
import { NO_SALTS, readFrames, walSalts } from './wal-file.ts'

/** What is known of a database before its pages are looked at. */
export interface SettledState {
  readonly sums: PageSums
  readonly state: SumsState
  /** Pages that another program keeps in the WAL. */
  readonly inWal: ReadonlySet<number>
  /** Another program may have copied pages of which these sums know nothing. */
  readonly doubtful: boolean
}

/**
 * Copies the WAL into the database; undefined when there are no sums. `hadWal`: the WAL was there
 * before the connection was opened. Throws StateDamagedError when frames are gone that were durable.
 */
export function settleWal(
  database: Database,
  file: string,
  hadWal: boolean
): SettledState | undefined {
  const walFile = `${file}-wal`
  const loaded = PageSums.load(sumsFile(file))
  const salts = walSalts(walFile)
  const { walFrames, copiedFrames } = copyWal(database)
  if (loaded === undefined) return undefined
  const { sums, state } = loaded
  if (salts !== NO_SALTS && salts === state.salts && walFrames < state.frames) {
    const reason = `its WAL has ${walFrames} frames, ${state.frames} were durable`
    throw new StateDamagedError(file, `damaged: ${reason}`)
  }
  const inWal = new Set<number>()
  const range = { salts, pageBytes: PAGE_BYTES }
  const isRead =
    readFrames(walFile, { ...range, from: 1, to: copiedFrames }, (page, content) =>
      sums.set(page, content)
    ) &&
    readFrames(walFile, { ...range, from: copiedFrames + 1, to: walFrames }, (page) =>
      inWal.add(page)
    )
  if (!isRead) return undefined
  const doubtful = !hadWal && !state.closed
  // Until it is opened for use nothing comes after these sums, however often it is refused.
  const closed = !doubtful && inWal.size === 0
  const now: SumsState = { salts, frames: copiedFrames, closed }
  if (copiedFrames > 0 || closed !== state.closed) sums.save(sumsFile(file), now)
  return { sums, state: now, inWal, doubtful }
}

/** From now on its pages change. */
export function markOpen(file: string, { sums, state }: SettledState): void {
  sums.save(sumsFile(file), { ...state, closed: false })
}

/** The first page that is not what was written. */
export function firstDamagedPage(file: string, { sums, inWal }: SettledState): number | undefined {
  return sums.firstDamaged(file, (page) => inWal.has(page))
}

/** Sums of the pages as they are, when there is nothing to compare them with. */
export function saveFirstSums(file: string): void {
  PageSums.of(file).save(sumsFile(file), NOTHING_COVERED)
}
