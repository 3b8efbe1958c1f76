/** Work put off to the end of the event-loop turn; the simulation puts in its own. */
import type { Timer } from '../fs/ports/clock.ts'

export type Defer = (work: () => void) => Timer

export const deferToTurnEnd: Defer = (work) => {
  const immediate = setImmediate(work)
  return { cancel: () => clearImmediate(immediate) }
}
