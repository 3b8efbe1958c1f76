/** No lock has two holders at a time. */
import { describe, groupBy, isInFault, type Judged } from './judged.ts'
import type { Operation } from './operations.ts'

interface Hold {
  readonly lock: Operation
  readonly untilUs: number
}

export function checkLocks(judged: Judged): string[] {
  const problems: string[] = []
  const holds = holdsOf(judged)
  for (const [object, ofObject] of groupBy(holds, ({ lock }) => lock.object)) {
    ofObject.sort((a, b) => a.lock.endUs - b.lock.endUs)
    let longest: Hold | undefined
    for (const hold of ofObject) {
      if (longest !== undefined && hold.lock.endUs < longest.untilUs) {
        const first = `${describe(longest.lock)} until ${longest.untilUs}`
        problems.push(`lock ${object} held twice: ${first}, and ${describe(hold.lock)}`)
      }
      if (longest === undefined || hold.untilUs > longest.untilUs) longest = hold
    }
  }
  return problems
}

/**
 * For how long each granted lock was held for certain: until its release began. When the node
 * had a fault meanwhile, only until the last operation under the lock that succeeded began.
 */
function holdsOf(judged: Judged): Hold[] {
  const holds: Hold[] = []
  const byOwner = groupBy(judged.operations, ({ tag, object }) => `${tag} ${object}`)
  for (const operations of byOwner.values()) {
    operations.sort((a, b) => a.beginUs - b.beginUs)
    let lock: Operation | undefined
    let lastSuccessUs = 0
    for (const operation of operations) {
      if (operation.kind === 'lock') {
        lock = operation.result === 'ok' ? operation : undefined
        lastSuccessUs = operation.endUs
      } else if (operation.kind === 'unlock' && lock !== undefined) {
        const whole = { ...lock, endUs: operation.endUs }
        const untilUs = isInFault(judged, whole) ? lastSuccessUs : operation.beginUs
        if (untilUs > lock.endUs) holds.push({ lock, untilUs })
        lock = undefined
      } else if (operation.result === 'ok') {
        lastSuccessUs = Math.max(lastSuccessUs, operation.beginUs)
      }
    }
    // Cut off with its process while it held the lock.
    if (lock !== undefined && lastSuccessUs > lock.endUs) {
      holds.push({ lock, untilUs: lastSuccessUs })
    }
  }
  return holds
}
