/** Strict reading of JSON from files and peers: every field named, typed and bounded. */

export class ShapeError extends Error {
  override name = 'ShapeError'
}

export type JsonObject = Readonly<Record<string, unknown>>

/** An object with exactly these fields (those ending in `?` may be absent). */
export function readObject(value: unknown, what: string, fields: readonly string[]): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ShapeError(`${what} is not an object`)
  }
  const known = new Set(fields.map((field) => field.replace(/\?$/, '')))
  for (const field of Object.keys(value)) {
    if (!known.has(field))
      throw new ShapeError(`${what} has an unknown field ${field.slice(0, 40)}`)
  }
  for (const field of fields) {
    if (!field.endsWith('?') && !Object.hasOwn(value, field)) {
      throw new ShapeError(`${what} lacks ${field}`)
    }
  }
  return value as JsonObject
}

export function readInteger(value: unknown, what: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    throw new ShapeError(`${what} is not a whole number from ${min} to ${max}`)
  }
  return value
}

export function readText(value: unknown, what: string, pattern: RegExp, maxChars: number): string {
  if (typeof value !== 'string' || value.length > maxChars || !pattern.test(value)) {
    throw new ShapeError(`${what} is not valid`)
  }
  return value
}

export function readList<T>(
  value: unknown,
  what: string,
  maxLength: number,
  readItem: (item: unknown, what: string) => T
): T[] {
  if (!Array.isArray(value) || value.length > maxLength) {
    throw new ShapeError(`${what} is not a list of at most ${maxLength}`)
  }
  return value.map((item, index) => readItem(item, `${what}[${index}]`))
}

export function readOneOf<T extends string>(
  value: unknown,
  what: string,
  choices: readonly T[]
): T {
  const found = choices.find((choice) => choice === value)
  if (found === undefined) throw new ShapeError(`${what} is not one of ${choices.join(', ')}`)
  return found
}

/** 32 bytes in lower-case hex. */
export function readKey(value: unknown, what: string): string {
  return readText(value, what, /^[0-9a-f]{64}$/, 64)
}

/** Names of volumes and members: what is safe in a path, a table and an fstab line. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

export function readName(value: unknown, what: string): string {
  return readText(value, what, NAME_PATTERN, 63)
}

export function requireUnique(values: readonly unknown[], what: string): void {
  if (new Set(values).size !== values.length) throw new ShapeError(`${what} repeats`)
}
