/** Long lists travel as several messages, of which the last says so. */
import { LOCK_ITEMS_MAX } from './lock-message.ts'

/** At least one part, so that an empty list is said too. */
export function inParts<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length <= LOCK_ITEMS_MAX) return [items]
  const parts: T[][] = []
  for (let i = 0; i < items.length; i += LOCK_ITEMS_MAX) {
    parts.push(items.slice(i, i + LOCK_ITEMS_MAX))
  }
  return parts
}
