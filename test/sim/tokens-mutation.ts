/** A way to break the protocol from outside the cores, to see that the checkers notice. */
import type { TokenMode } from '../../src/fs/ports/token-service.ts'
import type { ToAuthority, ToClient } from '../../src/replication/token/token-message.ts'

export interface Mutation {
  readonly name: string
  /** Changes or (undefined) loses what clients send. */
  toAuthority?(message: ToAuthority): ToAuthority | undefined
  /** Changes or (undefined) loses what the authority sends. */
  toClient?(message: ToClient): ToClient | undefined
  /** The authority takes a note for acknowledged when it is sent. */
  readonly ackNotesAtOnce?: boolean
  /** Guards of this mode do not count. */
  readonly forgetGuards?: TokenMode
  /** Directories are given up like files. */
  readonly keepOwnership?: boolean
  /** Grants serve before their vector is applied. */
  readonly applyNothing?: boolean
  /** A release does not wait for the entry being gathered. */
  readonly flushNothing?: boolean
  /** Caches outlive the acknowledgement of a note. */
  readonly dropNothing?: boolean
  /** An append asks for its own page, not for all from the end of the file on. */
  readonly appendNarrowly?: boolean
  /** The authority does not make the requests that locks bring. */
  readonly loseBrought?: boolean
  /** Messages of earlier epochs are obeyed. */
  readonly crossEpochs?: boolean
  /** A release counts for whatever grant its inode has now. */
  readonly anyGrantNumber?: boolean
}
