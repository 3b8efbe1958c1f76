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
