/** Results that are there at once where nobody has to be waited for: no promise, no turn of the loop. */
export type Awaitable<T> = T | Promise<T>

/** What `next` makes of the value: at once, or when it is there. */
export function whenDone<T, R>(
  value: Awaitable<T>,
  next: (value: T) => Awaitable<R>
): Awaitable<R> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/** Nothing when all of it is done, else a promise of that; rejects with the first failure. */
export function allDone(works: readonly Awaitable<void>[]): Awaitable<void> {
  const waits = works.filter((work) => work instanceof Promise)
  if (waits.length === 0) return
  return waits.length === 1 ? waits[0] : Promise.all(waits).then(() => undefined)
}
