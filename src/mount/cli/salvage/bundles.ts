/**
 * (I/O) What lies in a member's salvage folder. A bundle is either the entries of one writer that
 * were cut off before they were applied (`entries-WRITER`, from the files entry-WRITER-SEQ.*), or a
 * state that was put aside together with its journal because it had applied such entries
 * (`state-NNNN`). Only read here; also while a daemon runs.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DecodeError } from '../../../fs/byte-codec.ts'
import type { Seq, WriterId } from '../../../fs/primitives.ts'
import {
  ENTRY_HEAD_MAX_BYTES,
  ENTRY_PAYLOAD_MAX_BYTES,
  type Entry,
  type SealedEntry
} from '../../../replication/entry.ts'
import { openEntry } from '../../../replication/entry-codec.ts'
import type { EpochRecord } from '../../../replication/record.ts'
import type { JournalPosition } from '../../../replication/storage/journal-record.ts'
import { readEntries, scanJournal } from '../../../replication/storage/journal-scan.ts'
import { loadRecord, VOLUME_FILES } from '../../../replication/volume/volume-files.ts'
import { UserError } from '../../daemon/user-error.ts'

export interface LostEntry {
  readonly sealed: SealedEntry
  readonly entry: Entry
}

export interface Bundle {
  readonly name: string
  readonly kind: 'entries' | 'state'
  /** When it was put aside. */
  readonly timeMs: number
  /** Folder of the state and its journal; of `entries` the salvage folder. */
  readonly dir: string
  /** Files of an `entries` bundle, without their ending. */
  readonly files: readonly string[]
}

const ENTRY_FILE = /^entry-(\d{1,16})-(\d{1,16})\.head$/
const STATE_FOLDER = /^state-\d{4,}$/

/** In order of their age. */
export function listBundles(salvageDir: string): Bundle[] {
  if (!existsSync(salvageDir)) return []
  const bundles: Bundle[] = []
  const byWriter = new Map<string, { seq: number; file: string }[]>()
  for (const name of readdirSync(salvageDir)) {
    const [, writer, seq] = ENTRY_FILE.exec(name) ?? []
    if (writer !== undefined) {
      const file = join(salvageDir, name.slice(0, -'.head'.length))
      const known = byWriter.get(writer)
      if (known) known.push({ seq: Number(seq), file })
      else byWriter.set(writer, [{ seq: Number(seq), file }])
    } else if (STATE_FOLDER.test(name)) {
      const dir = join(salvageDir, name)
      bundles.push({ name, kind: 'state', timeMs: putAsideMs(dir), dir, files: [] })
    }
  }
  for (const [writer, parts] of byWriter) {
    const files = parts.sort((one, other) => one.seq - other.seq).map(({ file }) => file)
    const timeMs = Math.max(...files.map((file) => statSync(`${file}.head`).mtimeMs))
    bundles.push({ name: `entries-${writer}`, kind: 'entries', timeMs, dir: salvageDir, files })
  }
  return bundles.sort((one, other) => one.timeMs - other.timeMs)
}

/** Moving a file changes its inode, reading it does not. */
function putAsideMs(dir: string): number {
  const state = statSync(join(dir, 'state.db'), { throwIfNoEntry: false })
  return state?.ctimeMs ?? statSync(dir).mtimeMs
}

function readBounded(file: string, maxBytes: number): Buffer {
  const { size } = statSync(file)
  if (size > maxBytes) throw damaged(file, `${size} bytes are more than it can have`)
  return readFileSync(file)
}

function damaged(file: string, why: string, cause?: unknown): UserError {
  const remedy = 'the other bundles can still be read'
  return new UserError('damaged', { what: file, why, remedy }, { cause })
}

function decoded(file: string, sealed: SealedEntry): LostEntry {
  try {
    return { sealed, entry: openEntry(sealed) }
  } catch (error) {
    if (error instanceof DecodeError) throw damaged(file, error.message, error)
    throw error
  }
}

function readEntryFile(file: string): LostEntry {
  const [, writer = '', seq = ''] =
    ENTRY_FILE.exec(`${file.slice(file.lastIndexOf('/') + 1)}.head`) ?? []
  const head = readBounded(`${file}.head`, ENTRY_HEAD_MAX_BYTES)
  const hasPayload = existsSync(`${file}.payload`)
  const payload = hasPayload
    ? readBounded(`${file}.payload`, ENTRY_PAYLOAD_MAX_BYTES)
    : Buffer.alloc(0)
  const name = { writer: Number(writer) as WriterId, seq: Number(seq) as Seq }
  return decoded(`${file}.head`, { ...name, head, payload })
}

/** All entries of a set-aside journal, in its order. Throws DamagedJournalError. */
export function* journalEntries(bundle: Bundle): Generator<LostEntry> {
  const journal = join(bundle.dir, 'journal')
  if (!existsSync(journal)) return
  const { files, end } = scanJournal(journal)
  for (const { entry } of readEntries(files, 0 as JournalPosition, end)) {
    yield decoded(journal, entry)
  }
}

/**
 * The entries of a bundle that never became part of the volume, one at a time: they may hold more
 * than fits into memory. The record that was put aside with a state says where the writers of its
 * past end; `record` does where there is none.
 */
export function* lostEntries(bundle: Bundle, record: EpochRecord): Generator<LostEntry> {
  if (bundle.kind === 'entries') {
    for (const file of bundle.files) yield readEntryFile(file)
    return
  }
  const own = existsSync(join(bundle.dir, VOLUME_FILES.record))
  const ends = endsOf(own ? loadRecord(bundle.dir) : record)
  for (const lost of journalEntries(bundle)) {
    const end = ends.get(lost.entry.writer)
    if (end !== undefined && lost.entry.seq > end) yield lost
  }
}

/** The last entry of each writer that will not write again. */
export function endsOf(record: EpochRecord): Map<WriterId, Seq> {
  const ends = new Map<WriterId, Seq>()
  for (const { writer, finalSeq } of record.writers) {
    if (finalSeq !== undefined) ends.set(writer, finalSeq)
  }
  return ends
}
