/**
 * Judges from the outside what several nodes did at the same time across faults: from the histories
 * of the loads and what is found on every node afterwards.
 *
 * A fault of a node may take from it what it had not made durable, and its locks. Everything else
 * holds for every node: what fsync acknowledged is there; what a node without a fault acknowledged
 * is there; what such a node has read does not vanish; a lock has one holder; files are exactly one
 * version, lines are whole and there once, both in the order of the clock; a renamed file has one
 * place; a node without a fault refuses nothing; all nodes find the same.
 */
import { checkCounter } from './check-counter.ts'
import { checkFiles } from './check-files.ts'
import { checkLines } from './check-lines.ts'
import { checkLocks } from './check-locks.ts'
import { describe, groupBy, isInFault, type Judged, mayBeLost } from './judged.ts'

/** One sentence for each violation. */
export function checkHistory(judged: Judged): string[] {
  return [
    ...checkRefusals(judged),
    ...checkLocks(judged),
    ...checkCounter(judged),
    ...checkFiles(judged),
    ...checkMoves(judged),
    ...checkLines(judged),
    ...checkEqual(judged)
  ]
}

function checkRefusals(judged: Judged): string[] {
  const problems: string[] = []
  for (const operation of judged.operations) {
    if (operation.result === 'ok' || isInFault(judged, operation)) continue
    // After a fault a load may have to find out where its file is.
    const isLost = operation.kind === 'move' && operation.result === 'ENOENT'
    if (isLost && judged.faults.some((fault) => fault.node === operation.node)) continue
    const what = operation.result === 'none' ? 'never answered' : 'refused'
    problems.push(`${what} without a fault of its node: ${describe(operation)}`)
  }
  return problems
}

function checkMoves(judged: Judged): string[] {
  const problems: string[] = []
  const moves = judged.operations.filter((operation) => operation.kind === 'move')
  for (const [node, { moved }] of judged.found) {
    for (const [tag, operations] of groupBy(moves, (operation) => operation.tag)) {
      const places = moved[tag] ?? []
      const last = operations.filter(({ result }) => result === 'ok').at(-1)
      const [place] = places
      if (places.length !== 1 || (place !== 'left' && place !== 'right')) {
        problems.push(`moved file ${tag} on ${node}: ${places.join(' and ') || 'is nowhere'}`)
      } else if (last !== undefined && last === operations.at(-1) && !mayBeLost(judged, last)) {
        const expected = last.value === 1 ? 'right' : 'left'
        if (place !== expected) problems.push(`moved file ${tag} on ${node}: in ${place} again`)
      }
    }
  }
  return problems
}

function checkEqual(judged: Judged): string[] {
  const hashes = groupBy(judged.found, ([, state]) => state.hash)
  if (hashes.size <= 1) return []
  const sides = [...hashes].map(([hash, states]) => `${states.map(([node]) => node)}: ${hash}`)
  return [`the trees differ: ${sides.join(', ')}`]
}
