/** The token and the lock protocol of this member, on the control connections. */
import type { Clock } from '../../fs/ports/clock.ts'
import type { LostLock } from '../../fs/ports/lock-service.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import { LockNode } from '../lock/lock-node.ts'
import { TokenNode } from '../token/token-node.ts'
import type { Vector } from '../vector.ts'
import type { Peers } from './peers.ts'

/** A token costs about 650 bytes; asking for one again costs a round trip. */
const TOKEN_BOUNDS = { heldMax: 16_384, ownedMax: 16_384, objectsMax: 65_536 } as const

export interface CoherenceComponents {
  readonly self: MemberId
  readonly peers: Pick<Peers, 'sendControl' | 'cut'>
  readonly clock: Clock
  readonly logger: Logger
}

export interface TokenComponents extends CoherenceComponents {
  /** Gives own ops gathered so far their entry; then, what is applied of the live writers. */
  readonly flush: () => Vector
  readonly waitApplied: (vector: Vector) => void | Promise<void>
  readonly dropCaches: (inos: readonly Ino[]) => void | Promise<void>
  readonly isDirectory: (ino: Ino) => boolean
  readonly onFatal: (error: Error) => void
}

export interface LockComponents extends CoherenceComponents {
  readonly tokens: TokenNode
  readonly onLost: (locks: readonly LostLock[]) => void
}

export function makeTokenNode(
  components: TokenComponents,
  options: { readonly minHoldMs: number }
): TokenNode {
  const { self, peers, clock, logger, isDirectory } = components
  const { flush, waitApplied, dropCaches, onFatal } = components
  return new TokenNode(
    {
      clock,
      flush,
      waitApplied,
      dropCaches,
      onFatal,
      sendPacket: (to, epoch, body) => {
        peers.sendControl(to, { type: 'token', epoch, body })
      },
      onViolation: (member, reason) => {
        logger.error({ member, reason }, 'token protocol broken: connection cut')
        peers.cut(member, reason)
      }
    },
    { member: self, minHoldMs: options.minHoldMs, isDirectory, ...TOKEN_BOUNDS }
  )
}

export function makeLockNode(components: LockComponents): LockNode {
  const { self, peers, clock, logger, tokens, onLost } = components
  return new LockNode(
    {
      clock,
      tokens,
      onLost,
      sendPacket: (to, epoch, body) => {
        peers.sendControl(to, { type: 'lock', epoch, body })
      },
      onViolation: (member, reason) => {
        logger.error({ member, reason }, 'lock protocol broken: connection cut')
        peers.cut(member, reason)
      }
    },
    { member: self }
  )
}
