/**
 * Files that one load replaces again and again and all read: each read, and what is found in the
 * end, is a version that nothing certain before it rules out.
 */
import { describe, groupBy, isLate, type Judged, mayBeLost } from './judged.ts'
import type { Operation } from './operations.ts'

const DURABLE_KINDS: readonly Operation['kind'][] = ['putSync', 'removeSync']
const REMOVE_KINDS: readonly Operation['kind'][] = ['remove', 'removeSync']
const CHANGE_KINDS: readonly Operation['kind'][] = ['put', 'putSync', ...REMOVE_KINDS]

/** From `sinceUs` on nobody finds an older version. */
interface Floor {
  readonly version: number
  readonly sinceUs: number
}

export function checkFiles(judged: Judged): string[] {
  const problems: string[] = []
  const operations = judged.operations.filter(
    ({ kind }) => kind === 'read' || CHANGE_KINDS.includes(kind)
  )
  const byFile = groupBy(operations, (operation) => operation.object)
  for (const [file, ofFile] of byFile) {
    const changes = ofFile.filter((operation) => operation.kind !== 'read')
    const reads = ofFile.filter(({ kind, result }) => kind === 'read' && result === 'ok')
    problems.push(...checkFile(judged, changes, [...reads, ...lastReads(judged, file)]))
    for (const torn of ofFile.filter(({ result }) => result === 'torn')) {
      problems.push(`not one whole version: ${describe(torn)}`)
    }
  }
  for (const [node, { files }] of judged.found) {
    for (const [file, found] of Object.entries(files)) {
      if (typeof found === 'string') problems.push(`file ${file} on ${node}: ${found}`)
      else if (!byFile.has(file)) problems.push(`file ${file} on ${node}: nobody wrote it`)
    }
  }
  return problems
}

/** What was found after everything, as reads. */
function lastReads(judged: Judged, object: string): Operation[] {
  const reads: Operation[] = []
  for (const [node, { files }] of judged.found) {
    const value = files[object] ?? 0
    if (typeof value === 'string') continue
    const beginUs = Number.MAX_SAFE_INTEGER
    const place = { tag: `last on ${node}`, node, object }
    reads.push({ ...place, kind: 'read', value, beginUs, endUs: beginUs, result: 'ok' })
  }
  return reads
}

function checkFile(
  judged: Judged,
  changes: readonly Operation[],
  reads: readonly Operation[]
): string[] {
  const problems: string[] = []
  const floors: Floor[] = []
  for (const change of changes) {
    const isDurable = DURABLE_KINDS.includes(change.kind)
    if (change.result !== 'ok' || (!isDurable && mayBeLost(judged, change))) continue
    floors.push({ version: change.value, sinceUs: change.endUs })
  }
  for (const read of [...reads].sort((a, b) => a.endUs - b.endUs)) {
    const known = floors.filter((floor) => floor.sinceUs < read.beginUs)
    const least = known.reduce((version, floor) => Math.max(version, floor.version), 0)
    const explained = explanations(judged, changes, read).filter((version) => version >= least)
    if (explained.length === 0) {
      problems.push(`${read.value} found where ${least} or later was due: ${describe(read)}`)
    } else if (!mayBeLost(judged, read)) {
      floors.push({ version: Math.min(...explained), sinceUs: read.endUs })
    }
  }
  return problems
}

/** Versions a read may have seen, given what it found; 0 = the file before it was ever written. */
function explanations(
  judged: Judged,
  changes: readonly Operation[],
  read: Operation
): readonly number[] {
  const possible = changes.filter(
    (change) => change.beginUs < read.endUs && !isLate(judged, change)
  )
  if (read.value !== 0) {
    return possible
      .filter(({ kind, value }) => value === read.value && !REMOVE_KINDS.includes(kind))
      .map(({ value }) => value)
  }
  const removed = possible.filter(({ kind }) => REMOVE_KINDS.includes(kind))
  return [0, ...removed.map(({ value }) => value)]
}
