/** Thrown when the program contradicts itself; never caught to go on. */
export class AssertionError extends Error {
  override name = 'AssertionError'
}

/** The message is a function where making it would cost more than the condition. */
export function assert(condition: unknown, message: string | (() => string)): asserts condition {
  if (condition) return
  throw new AssertionError(typeof message === 'string' ? message : message())
}

export function unreachable(value: never, message = 'unreachable'): never {
  throw new AssertionError(`${message}: ${JSON.stringify(value)}`)
}
