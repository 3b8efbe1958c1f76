/** Position vectors: which entries of which writers. A missing writer means seq 0. */
import type { Seq, WriterId } from '../fs/primitives.ts'

export type Vector = ReadonlyMap<WriterId, Seq>

export function vectorCovers(vector: Vector, other: Vector): boolean {
  for (const [writer, seq] of other) {
    if ((vector.get(writer) ?? 0) < seq) return false
  }
  return true
}

/** Componentwise maximum. */
export function vectorJoin(a: Vector, b: Vector): Map<WriterId, Seq> {
  const joined = new Map(a)
  for (const [writer, seq] of b) {
    if ((joined.get(writer) ?? 0) < seq) joined.set(writer, seq)
  }
  return joined
}

export function vectorEquals(a: Vector, b: Vector): boolean {
  return vectorCovers(a, b) && vectorCovers(b, a)
}
