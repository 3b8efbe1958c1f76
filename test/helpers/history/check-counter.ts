/** A counter raised under a lock and made durable: no value twice, and never back in time. */
import { describe, type Judged } from './judged.ts'
import type { Operation } from './operations.ts'

export function checkCounter(judged: Judged): string[] {
  const problems: string[] = []
  const counts = judged.operations.filter(({ kind, result }) => kind === 'count' && result === 'ok')
  const byValue = new Map<number, Operation>()
  for (const count of counts) {
    const other = byValue.get(count.value)
    if (other !== undefined) {
      problems.push(`counter value given twice: ${describe(other)}, and ${describe(count)}`)
    }
    byValue.set(count.value, count)
  }
  const ended = [...counts].sort((a, b) => a.endUs - b.endUs)
  let highest: Operation | undefined
  for (const count of [...counts].sort((a, b) => a.beginUs - b.beginUs)) {
    while (ended[0] !== undefined && ended[0].endUs < count.beginUs) {
      const done = ended.shift()
      if (done !== undefined && done.value > (highest?.value ?? 0)) highest = done
    }
    if (highest !== undefined && count.value < highest.value) {
      problems.push(`counter went back: ${describe(highest)}, then ${describe(count)}`)
    }
  }
  const most = counts.reduce((highestValue, { value }) => Math.max(highestValue, value), 0)
  for (const [node, { counter }] of judged.found) {
    if (counter < most) problems.push(`counter on ${node}: ${counter}, durable was ${most}`)
  }
  return problems
}
