/**
 * (I/O) Writes what a bundle holds into a folder: `operations.txt`, and below `files` the data of
 * the files that its lost entries changed.
 *
 * A state that was put aside is brought forward by its own journal first, in a copy: its files are
 * whole, as their writer saw them. Entries alone give only the ranges they wrote; the rest of those
 * files is zeros.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRegular } from '../../../fs/attr.ts'
import type { Op, WriteOp } from '../../../fs/op.ts'
import type { Ino, Seq, WriterId } from '../../../fs/primitives.ts'
import { openState } from '../../../fs/state/open-state.ts'
import type { StateStore } from '../../../fs/state/state-store.ts'
import type { EpochRecord } from '../../../replication/record.ts'
import { type Bundle, journalEntries, lostEntries } from './bundles.ts'
import { describeOps } from './describe.ts'
import { Names, StateNames } from './names.ts'
import { type RescuedFile, RescuedFiles } from './rescued-files.ts'
import { SliceSource } from './slice-source.ts'

export interface Extraction {
  readonly files: number
  readonly bytes: number
  /** One sentence for each file of which something is missing. */
  readonly complaints: readonly string[]
}

export interface ExtractionSource {
  readonly bundle: Bundle
  readonly record: EpochRecord
  readonly segmentsDir: string
  /** Path of the member's present state, for the names of what the entries do not name. */
  readonly names: StateNames | undefined
}

/** `folder` must not exist yet. */
export function extractBundle(source: ExtractionSource, folder: string): Extraction {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { bundle } = source
  const stateFile = join(bundle.dir, 'state.db')
  if (bundle.kind === 'entries' || !existsSync(stateFile)) return extractRanges(source, folder)
  const copy = join(folder, '.state')
  mkdirSync(copy)
  for (const suffix of ['', '-wal']) {
    const file = `${stateFile}${suffix}`
    if (existsSync(file)) copyFileSync(file, join(copy, `state.db${suffix}`))
  }
  const state = openState(copy)
  try {
    bringForward(state, bundle)
    return extractWhole(source, state, folder)
  } finally {
    state.close()
    rmSync(copy, { recursive: true, force: true })
  }
}

/** What the journal has beyond the last commit. */
function bringForward(state: StateStore, bundle: Bundle): void {
  const applied = new Map<WriterId, Seq>(state.position().applied)
  for (const { entry } of journalEntries(bundle)) {
    const { writer, seq } = entry
    if (seq !== (applied.get(writer) ?? 0) + 1) continue
    for (const op of entry.ops) state.apply(op)
    applied.set(writer, seq)
  }
  // The rows of inodes are kept in memory until then.
  state.commit({ epoch: state.position().epoch, applied })
}

function changesData(op: Op): boolean {
  return ['create', 'tmpfile', 'write', 'truncate', 'punch', 'clone'].includes(op.type)
}

function extractWhole(
  { bundle, record, segmentsDir }: ExtractionSource,
  state: StateStore,
  folder: string
): Extraction {
  const slices = new SliceSource(segmentsDir)
  const changed = new Set<Ino>()
  const stateNames = new StateNames(state.database)
  const ops: Op[] = []
  for (const lost of lostEntries(bundle, record)) {
    slices.keep(lost)
    ops.push(...lost.entry.ops)
  }
  for (const op of ops) if (changesData(op)) changed.add(op.ino)
  stateNames.prefetch(new Set(ops.map(({ ino }) => ino)))
  const names = new Names(stateNames)
  writeOperations(folder, ops, names)
  const files = new RescuedFiles(join(folder, 'files'))
  const complaints: string[] = []
  for (const ino of changed) {
    const inode = state.inode(ino)
    if (inode === undefined || !isRegular(inode.mode)) continue
    const path = names.pathOf(ino)
    let missing = 0
    files.fill(ino, path, (file) => {
      file.truncate(inode.size)
      for (const extent of state.extents(ino, 0, inode.size)) {
        const bytes = slices.read(extent.slice)
        if (bytes === undefined) missing += extent.length
        else file.write(bytes.subarray(extent.delta, extent.delta + extent.length), extent.offset)
      }
    })
    if (missing > 0) complaints.push(complaint(ino, path, missing))
  }
  return { files: files.count, bytes: files.bytes, complaints }
}

function extractRanges(
  { bundle, record, segmentsDir, names: present }: ExtractionSource,
  folder: string
): Extraction {
  const slices = new SliceSource(segmentsDir)
  const names = new Names(present)
  const ops: Op[] = []
  for (const lost of lostEntries(bundle, record)) {
    slices.keep(lost)
    for (const op of lost.entry.ops) {
      names.learn(op)
      ops.push(op)
    }
  }
  writeOperations(folder, ops, names)
  const files = new RescuedFiles(join(folder, 'files'))
  const missing = new Map<Ino, number>()
  for (const op of ops) {
    if (op.type !== 'write' && op.type !== 'truncate') continue
    files.fill(op.ino, names.pathOf(op.ino), (file) => {
      if (op.type === 'truncate') file.truncate(op.size)
      else missing.set(op.ino, (missing.get(op.ino) ?? 0) + writeRange(file, op, slices))
    })
  }
  const complaints: string[] = []
  for (const [ino, bytes] of missing) {
    if (bytes > 0) complaints.push(complaint(ino, names.pathOf(ino), bytes))
  }
  return { files: files.count, bytes: files.bytes, complaints }
}

/** Returns the bytes that are nowhere. */
function writeRange(file: RescuedFile, op: WriteOp, slices: SliceSource): number {
  let offset = op.offset
  let missing = 0
  for (const slice of op.slices) {
    const bytes = slices.read(slice)
    if (bytes === undefined) missing += slice.length
    else file.write(bytes, offset)
    offset += slice.length
  }
  return missing
}

function writeOperations(folder: string, ops: readonly Op[], names: Names): void {
  const lines = [...describeOps(ops, names)]
  writeFileSync(join(folder, 'operations.txt'), `${lines.join('\n')}\n`, { mode: 0o600 })
}

function complaint(ino: Ino, path: Buffer | undefined, missing: number): string {
  const name = path === undefined ? `inode ${ino}` : path.toString('utf8')
  return `${name}: ${missing} bytes are nowhere on this disk any more, zeros stand for them`
}
