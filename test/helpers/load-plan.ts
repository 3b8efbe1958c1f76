/**
 * What a load writes and what may be found of it after a crash. The load notes each step in a file
 * on the local disk before it starts (`begin`), when the call returned (`done`) and when an fsync
 * acknowledged it (`durable`); the check replays the notes. A later state than the durable one may
 * be found, an earlier one never, and content is always exactly one version.
 */
import { readFileSync } from 'node:fs'

export interface LoadNote {
  readonly stage: 'begin' | 'done' | 'durable'
  readonly file: string
  /** 0 = the file is removed. */
  readonly version: number
}

export interface FileExpectation {
  /** The state an fsync acknowledged last, if any. */
  readonly durable: number | undefined
  /** States written after it, whether the call returned or not. */
  readonly later: readonly number[]
}

export function readNotes(path: string): Map<string, FileExpectation> {
  const expectations = new Map<string, { durable: number | undefined; later: number[] }>()
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  for (const line of lines) {
    const note = parseNote(line)
    const known = expectations.get(note.file) ?? { durable: undefined, later: [] }
    expectations.set(note.file, known)
    if (note.stage === 'begin') known.later.push(note.version)
    if (note.stage === 'durable') {
      known.durable = note.version
      known.later = known.later.slice(known.later.lastIndexOf(note.version) + 1)
    }
  }
  return expectations
}

/** What is wrong with `found` (0 = no such file), or undefined. */
export function judge(
  file: string,
  expected: FileExpectation,
  found: number | undefined,
  problem: string | undefined
): string | undefined {
  if (problem !== undefined) return `${file}: ${problem}`
  const version = found ?? 0
  if (expected.durable === version || expected.later.includes(version)) return undefined
  if (expected.durable === undefined && version === 0) return undefined
  const allowed = `durable ${expected.durable}, later ${expected.later.join(' ') || 'none'}`
  return `${file}: version ${version} found, allowed ${allowed} (0 = absent)`
}

export function formatNote(note: LoadNote): string {
  return `${note.stage} ${note.file} ${note.version}\n`
}

function parseNote(line: string): LoadNote {
  const [stage, file, version] = line.split(' ')
  if (file === undefined || version === undefined) throw new Error(`bad load note: ${line}`)
  if (stage !== 'begin' && stage !== 'done' && stage !== 'durable') {
    throw new Error(`bad load note: ${line}`)
  }
  return { stage, file, version: Number(version) }
}
