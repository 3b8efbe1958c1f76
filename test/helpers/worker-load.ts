/**
 * The load of the crash tests: random files written, replaced, appended to and removed in one
 * folder by one worker, with notes of what fsync acknowledged on the local disk (load-plan.ts).
 * Files are replaced through a temporary name, so every content found is exactly one version.
 */
import * as fs from 'node:fs'
import { makeContent } from './content.ts'
import { formatNote, type LoadNote } from './load-plan.ts'
import { SeededRandom } from './random.ts'

export interface LoadArgs {
  /** Folder on the mount that belongs to this load alone. */
  readonly path: string
  /** Prefix of file names and labels. */
  readonly tag: string
  readonly seed: number
  /** Where the notes go: on the local disk. */
  readonly notesPath: string
  /** Existing file on the local disk whose removal ends the load. */
  readonly runPath: string
  readonly fileCount: number
  readonly firstVersion: number
}

export interface LoadReport {
  readonly steps: number
  /** Failures by errno: expected while a daemon is down, never otherwise. */
  readonly failures: Record<string, number>
  readonly nextVersion: number
}

const SIZE_BYTES_MAX = 300_000
const RETRY_MS = 50

export function runLoad(args: LoadArgs): LoadReport {
  const random = new SeededRandom(args.seed)
  const notes = fs.openSync(args.notesPath, 'a')
  const failures: Record<string, number> = {}
  let version = args.firstVersion
  let steps = 0
  while (fs.existsSync(args.runPath)) {
    const file = `${args.tag}${random.below(args.fileCount)}`
    try {
      loadStep(args.path, file, version, random, (note) => fs.writeSync(notes, formatNote(note)))
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error)
      failures[code] = (failures[code] ?? 0) + 1
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS)
    }
    version++
    steps++
  }
  fs.closeSync(notes)
  return { steps, failures, nextVersion: version }
}

function loadStep(
  folder: string,
  file: string,
  version: number,
  random: SeededRandom,
  note: (note: LoadNote) => void
): void {
  const path = `${folder}/${file}`
  if (random.chance(0.1) && fs.existsSync(path)) {
    note({ stage: 'begin', file, version: 0 })
    fs.unlinkSync(path)
    note({ stage: 'done', file, version: 0 })
    if (random.chance(0.5)) {
      syncFolder(folder)
      note({ stage: 'durable', file, version: 0 })
    }
    return
  }
  const durable = random.chance(0.5)
  const size = random.chance(0.1) ? random.below(SIZE_BYTES_MAX) : random.below(8000)
  const temporary = `${folder}/.${file}.tmp`
  const fd = fs.openSync(temporary, 'w')
  try {
    const content = makeContent(file, version, size)
    let done = 0
    while (done < content.length) done += fs.writeSync(fd, content, done)
    if (durable) fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  note({ stage: 'begin', file, version })
  fs.renameSync(temporary, path)
  note({ stage: 'done', file, version })
  if (durable) {
    syncFolder(folder)
    note({ stage: 'durable', file, version })
  }
}

function syncFolder(folder: string): void {
  const fd = fs.openSync(folder, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
