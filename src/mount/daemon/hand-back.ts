/**
 * What a starting daemon tells the command that launched it, over the IPC channel: that it is
 * ready, or its error, once; then the channel is closed.
 */
import type { ControlError } from './control-protocol.ts'

export type HandBack =
  | { readonly kind: 'ready'; readonly pid: number }
  | { readonly kind: 'failed'; readonly error: ControlError }

export function parseHandBack(message: unknown): HandBack | undefined {
  if (typeof message !== 'object' || message === null || !('kind' in message)) return undefined
  if (message.kind === 'ready' && 'pid' in message && typeof message.pid === 'number') {
    return { kind: 'ready', pid: message.pid }
  }
  if (message.kind === 'failed' && 'error' in message) {
    return { kind: 'failed', error: message.error as ControlError }
  }
  return undefined
}
