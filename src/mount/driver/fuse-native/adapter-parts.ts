/** What the operations of the adapter share. */
import type { Answer } from 'fuse-native'
import type { Awaitable, FilesystemApi, RequestContext } from '../../../fs/filesystem-api.ts'
import type { OpenNumbers } from './open-numbers.ts'
import type { PathLookup } from './path-lookup.ts'
import type { Outcome, ServedCalls } from './served-calls.ts'

export interface AdapterParts {
  readonly fs: FilesystemApi
  readonly calls: ServedCalls
  readonly lookup: PathLookup
  readonly open: OpenNumbers
}

/** Serves a call that answers with nothing but success. */
export function serveDone(
  { calls }: AdapterParts,
  opcode: number,
  answer: Answer,
  operation: (ctx: RequestContext) => unknown
): void {
  void calls.run(opcode, operation).then(({ errno }) => answer(errno))
}

/** Serves a call that answers with a number of bytes. */
export function serveCount(
  { calls }: AdapterParts,
  opcode: number,
  answer: Answer,
  operation: (ctx: RequestContext) => Awaitable<number>
): void {
  void calls.run(opcode, operation).then((outcome) => answer(outcome.value ?? outcome.errno))
}

/** Serves a call that answers with a value. */
export function serveValue<T>(
  { calls }: AdapterParts,
  opcode: number,
  answer: (errno: number, value?: T) => void,
  operation: (ctx: RequestContext) => Awaitable<T>
): void {
  void calls.run(opcode, operation).then((outcome: Outcome<T>) => {
    answer(outcome.errno, outcome.value)
  })
}
