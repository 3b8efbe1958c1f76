/**
 * What the loads of native/history-load.c noted: operations with begin and end, and slow system
 * calls. All times are microseconds of CLOCK_MONOTONIC, which `historyNowUs` shares.
 */
import { readFileSync } from 'node:fs'

export const OPERATION_KINDS = [
  'put',
  'putSync',
  'remove',
  'removeSync',
  'read',
  'move',
  'line',
  'sync',
  'lock',
  'unlock',
  'count'
] as const
export type OperationKind = (typeof OPERATION_KINDS)[number]

export interface Operation {
  /** The load that did it; its files and lines carry this name. */
  readonly tag: string
  readonly node: string
  readonly kind: OperationKind
  readonly object: string
  /** Version, line number or counter value; of a read and a count what was found. */
  readonly value: number
  readonly beginUs: number
  /** Infinity when it was never answered. */
  readonly endUs: number
  /** 'ok', an errno name, 'torn', or 'none' when it was never answered. */
  readonly result: string
}

export interface SlowCall {
  readonly tag: string
  readonly node: string
  readonly call: string
  readonly fromUs: number
  readonly durationUs: number
  readonly result: string
}

export interface LoadHistory {
  readonly operations: readonly Operation[]
  readonly slowCalls: readonly SlowCall[]
}

export function historyNowUs(): number {
  return Number(process.hrtime.bigint() / 1000n)
}

export function readHistory(path: string, node: string, tag: string): LoadHistory {
  return parseHistory(readFileSync(path, 'utf8'), node, tag)
}

/** A last line without its newline was cut off with the process and is left out. */
export function parseHistory(text: string, node: string, tag: string): LoadHistory {
  const open = new Map<string, Operation>()
  const operations: Operation[] = []
  const slowCalls: SlowCall[] = []
  for (const line of text.split('\n').slice(0, -1)) {
    const [mark, first = '', second = '', third = '', fourth = '', fifth = ''] = line.split(' ')
    if (mark === 'b') {
      open.set(first, {
        tag,
        node,
        kind: kindOf(third),
        object: fourth,
        value: Number(fifth),
        beginUs: Number(second),
        endUs: Number.POSITIVE_INFINITY,
        result: 'none'
      })
    } else if (mark === 'e') {
      const begun = open.get(first)
      if (begun === undefined) throw new Error(`history of ${tag}: end without begin: ${line}`)
      open.delete(first)
      operations.push({ ...begun, endUs: Number(second), result: third, value: Number(fourth) })
    } else if (mark === 's') {
      const durationUs = Number(second)
      slowCalls.push({ tag, node, fromUs: Number(first), durationUs, call: third, result: fourth })
    } else {
      throw new Error(`history of ${tag}: ${line}`)
    }
  }
  operations.push(...open.values())
  return { operations, slowCalls }
}

function kindOf(text: string): OperationKind {
  const kind = OPERATION_KINDS.find((candidate) => candidate === text)
  if (kind === undefined) throw new Error(`history: unknown operation ${text}`)
  return kind
}
