/** File locks over epochs with one of their rules broken each. */

import { LOCK_END } from '../../src/fs/ports/lock-service.ts'
import type { MemberId } from '../../src/fs/primitives.ts'
import { LockAuthority } from '../../src/replication/lock/lock-authority.ts'
import { LockClient } from '../../src/replication/lock/lock-client.ts'
import { LockNode } from '../../src/replication/lock/lock-node.ts'
import { TokenAuthority } from '../../src/replication/token/token-authority.ts'
import { TokenNode } from '../../src/replication/token/token-node.ts'
import type { ClusterMutant } from './cluster-mutant.ts'
import { several } from './cluster-mutant.ts'
import { swap } from './swap.ts'

/** Calls back with the authority that a node begins to run. */
function watchAuthorities(onBegin: (node: LockNode, authority: LockAuthority) => void): () => void {
  let node: LockNode | undefined
  return several(
    swap(
      LockNode.prototype,
      'startEpoch',
      (original) =>
        function (this: LockNode, epoch) {
          node = this
          original.call(this, epoch)
          node = undefined
        }
    ),
    swap(
      LockAuthority.prototype,
      'step',
      (original) =>
        function (this: LockAuthority, event) {
          if (event.type === 'epoch' && node) onBegin(node, this)
          return original.call(this, event)
        }
    )
  )
}

function forgetLocks(authority: LockAuthority, member: MemberId): void {
  for (const { locks } of authority.inodes()) {
    for (const owner of locks.table.owners()) {
      if (owner.member !== member) continue
      const span = { start: 0n, end: LOCK_END, pid: 1, sinceMs: 0 }
      locks.table.set({ owner, type: 'unlock', ...span })
    }
  }
}

export const CLUSTER_LOCK_MUTANTS: readonly ClusterMutant[] = [
  {
    name: 'locks asserted in a new epoch are forgotten',
    withinSeeds: 60,
    isQuick: true,
    apply: () =>
      swap(
        LockAuthority.prototype,
        'step',
        (original) =>
          function (this: LockAuthority, event) {
            const isAssert = event.type === 'message' && event.message.type === 'assert'
            if (!isAssert) return original.call(this, event)
            return original.call(this, { ...event, message: { ...event.message, holds: [] } })
          }
      )
  },
  {
    name: 'locks of a member out of reach are given away before its lease is over',
    withinSeeds: 60,
    apply: () => {
      const authorities = new WeakMap<LockNode, LockAuthority>()
      return several(
        watchAuthorities((node, authority) => authorities.set(node, authority)),
        swap(
          LockNode.prototype,
          'peerDisconnected',
          (original) =>
            function (this: LockNode, member) {
              const authority = authorities.get(this)
              if (authority) forgetLocks(authority, member)
              original.call(this, member)
            }
        )
      )
    }
  },
  {
    name: 'a delegation outlives its epoch (RULES 18)',
    withinSeeds: 60,
    isQuick: true,
    apply: () =>
      swap(
        LockClient.prototype,
        'step',
        (original) =>
          function (this: LockClient, event) {
            if (event.type !== 'epoch') return original.call(this, event)
            const kept = [...this.inodes()].filter(({ delegated }) => delegated)
            const effects = [...original.call(this, event)]
            for (const { ino } of kept) {
              const message = { type: 'delegate', ino, delegation: 1 } as const
              effects.push(...original.call(this, { ...event, type: 'message', message }))
            }
            return effects
          }
      )
  },
  {
    name: 'locks that end with an incarnation are not reported (RULES 5)',
    withinSeeds: 60,
    parameters: {
      ...{ members: 3, lockers: 2, holdMaxUs: 10_000_000, isolationMs: 5000 },
      ...{ partitions: true, freezes: true, powerCuts: false, faultGapUs: 5_000_000 }
    },
    apply: () =>
      swap(
        LockClient.prototype,
        'step',
        (original) =>
          function (this: LockClient, event) {
            return original.call(this, event).filter(({ type }) => type !== 'lost')
          }
      )
  },
  {
    name: 'what was asked is not asked again in a new epoch',
    withinSeeds: 60,
    apply: () =>
      swap(
        LockClient.prototype,
        'step',
        (original) =>
          function (this: LockClient, event) {
            const effects = original.call(this, event)
            if (event.type !== 'epoch') return effects
            return effects.filter((e) => e.type !== 'send' || e.message.type !== 'want')
          }
      )
  },
  {
    name: 'tokens are granted though a member out of reach has not acknowledged (RULES 17)',
    withinSeeds: 120,
    apply: () => {
      const unreachable = new WeakMap<TokenNode, Set<MemberId>>()
      let node: TokenNode | undefined
      const authorities = new WeakMap<TokenAuthority, TokenNode>()
      return several(
        swap(
          TokenNode.prototype,
          'startEpoch',
          (original) =>
            function (this: TokenNode, epoch) {
              node = this
              original.call(this, epoch)
              node = undefined
            }
        ),
        swap(
          TokenNode.prototype,
          'peerDisconnected',
          (original) =>
            function (this: TokenNode, member) {
              const gone = unreachable.get(this) ?? new Set()
              unreachable.set(this, gone.add(member))
              original.call(this, member)
            }
        ),
        swap(
          TokenNode.prototype,
          'peerConnected',
          (original) =>
            function (this: TokenNode, member) {
              unreachable.get(this)?.delete(member)
              original.call(this, member)
            }
        ),
        swap(
          TokenAuthority.prototype,
          'step',
          (original) =>
            function (this: TokenAuthority, event) {
              if (event.type === 'epoch' && node) authorities.set(this, node)
              const own = authorities.get(this)
              const gone = (own && unreachable.get(own)) ?? new Set()
              // What it says when it is back was taken for said.
              if (event.type === 'message' && event.message.type === 'note-ack') {
                const { sent, acknowledged } = this.notePosition(event.from)
                if (sent === acknowledged) return []
              }
              return original.call(this, event).flatMap((effect) => {
                if (effect.type !== 'send' || effect.message.type !== 'note') return [effect]
                if (!gone.has(effect.to)) return [effect]
                const message = { type: 'note-ack', number: effect.message.number } as const
                return [effect, ...this.step({ type: 'message', from: effect.to, message })]
              })
            }
        )
      )
    }
  }
]
