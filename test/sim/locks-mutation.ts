/** A way to break the lock protocol from outside the cores, to see that the checkers notice. */
import type { LockMessage } from '../../src/replication/lock/lock-message.ts'

export interface LockMutation {
  readonly name: string
  /** Changes or (undefined) empties what is sent. */
  message?(message: LockMessage): LockMessage
  /** Packets of other epochs are obeyed. */
  readonly crossEpochs?: boolean
  /** The next authority begins while the last one's member still serves. */
  readonly forgetAtEpoch?: boolean
}
