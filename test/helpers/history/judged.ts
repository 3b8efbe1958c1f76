/** What a check is given, and the questions all checks ask of it. */
import type { Operation } from './operations.ts'

export interface Fault {
  readonly node: string
  /** From the first moment at which the node may have lost something ... */
  readonly fromUs: number
  /** ... until it served again. */
  readonly untilUs: number
  /** What began after this, within the fault, and failed must not be found anywhere. */
  readonly lateFromUs?: number
}

/** What one node finds in the folder of the loads. */
export interface FoundState {
  /** Version of each file, or what is wrong with it. */
  readonly files: Readonly<Record<string, number | string>>
  /** In which of the two folders each moved file is, and what is wrong with it. */
  readonly moved: Readonly<Record<string, readonly string[]>>
  readonly log: string
  readonly mbox: string
  readonly counter: number
  /** Over names, attributes and contents of the whole tree. */
  readonly hash: string
}

export interface Judged {
  readonly operations: readonly Operation[]
  readonly faults: readonly Fault[]
  /** By name of the node. */
  readonly found: ReadonlyMap<string, FoundState>
}

/** True when a fault of its node may have taken away what the operation did not make durable. */
export function mayBeLost(judged: Judged, operation: Operation): boolean {
  return judged.faults.some(
    (fault) => fault.node === operation.node && fault.untilUs > operation.beginUs
  )
}

/** True when its node had a fault while the operation ran. */
export function isInFault(judged: Judged, operation: Operation): boolean {
  return judged.faults.some(
    (fault) =>
      fault.node === operation.node &&
      fault.untilUs > operation.beginUs &&
      fault.fromUs < operation.endUs
  )
}

/** True for a refused operation of a node that had certainly lost its right to change anything. */
export function isLate(judged: Judged, operation: Operation): boolean {
  return (
    operation.result !== 'ok' &&
    judged.faults.some(
      ({ node, lateFromUs, untilUs }) =>
        node === operation.node &&
        lateFromUs !== undefined &&
        operation.beginUs > lateFromUs &&
        operation.beginUs < untilUs
    )
  )
}

export function describe(operation: Operation): string {
  const { tag, kind, object, value, result, beginUs, endUs } = operation
  return `${tag} ${kind} ${object} ${value}, ${beginUs} to ${endUs}, ${result}`
}

export function groupBy<T>(items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}
