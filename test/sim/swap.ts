/** For mutants: changes a class for a time. */

/** Puts `make(original)` in the place of a method until the returned function is called. */
export function swap<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: (original: T[K]) => T[K]
): () => void {
  const original = target[name]
  target[name] = make(original)
  return () => {
    target[name] = original
  }
}

/** The same for a property that is read. */
export function swapGetter<T extends object, K extends keyof T & string>(
  target: T,
  name: K,
  get: () => T[K]
): () => void {
  const original = Object.getOwnPropertyDescriptor(target, name)
  if (!original) throw new Error(`nothing is called ${name}`)
  Object.defineProperty(target, name, { get, configurable: true })
  return () => void Object.defineProperty(target, name, original)
}
