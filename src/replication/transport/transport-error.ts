/** Why a connection or a listener could not be had; `code` is for decisions, the message for people. */
export type TransportErrorCode =
  | 'address-in-use'
  | 'bad-address'
  | 'listen-failed'
  | 'unreachable'
  | 'wrong-key'
  | 'refused'
  | 'removed'
  | 'closed'
  | 'timeout'
  | 'protocol'

export class TransportError extends Error {
  override name = 'TransportError'
  readonly code: TransportErrorCode

  constructor(code: TransportErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/**
 * Thrown by a message handler for bytes no honest member sends: the connection is closed with the
 * message as reason and the process goes on. Any other error of a handler is the program's own.
 */
export class ProtocolError extends Error {
  override name = 'ProtocolError'
}
