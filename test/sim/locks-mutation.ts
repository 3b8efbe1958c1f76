/** Ways to break the lock protocol from outside the cores, to see that the checkers notice. */
import type { LockEdge, LockMessage } from '../../src/replication/lock/lock-message.ts'

export interface LockMutation {
  readonly name: string
  /** Changes what is sent; undefined loses it. */
  message?(message: LockMessage): LockMessage | undefined
  /** Locks bring tokens along. */
  readonly tokens?: boolean
  /** Packets of other epochs are obeyed. */
  readonly crossEpochs?: boolean
}

export const LOCK_MUTATIONS: readonly (() => LockMutation)[] = [
  () => ({
    name: 'nothing is asserted',
    message: (m) => (m.type === 'assert' ? { ...m, holds: [] } : m)
  }),
  () => ({
    name: 'a delegation comes back without its locks',
    message: (m) => (m.type === 'yield' ? { ...m, holds: [] } : m)
  }),
  () => ({
    name: 'a delegation comes back without its waiters',
    message: (m) => (m.type === 'yield' ? { ...m, waiters: [] } : m)
  }),
  () => ({
    name: 'unlocks cover one byte less',
    message: (m) =>
      m.type === 'want' && m.lock === 'unlock' && m.kind === 'record' && m.start < m.end
        ? { ...m, start: m.start + 1n }
        : m
  }),
  () => ({
    name: 'every try is granted',
    message: (m) => (m.type === 'answer' && m.result === 'again' ? { ...m, result: 'granted' } : m)
  }),
  () => ({
    name: 'a cancelled request is told granted',
    message: (m) =>
      m.type === 'answer' && m.result === 'cancelled' ? { ...m, result: 'granted' } : m
  }),
  () => ({
    name: 'a granted request is told cancelled',
    message: (m) =>
      m.type === 'answer' && m.result === 'granted' ? { ...m, result: 'cancelled' } : m
  }),
  () => ({
    name: 'read locks are written down as write locks',
    message: (m) => (m.type === 'want' && m.lock === 'read' ? { ...m, lock: 'write' } : m)
  }),
  () => ({
    name: 'no edges are reported',
    message: (m) => (m.type === 'edges' ? { ...m, edges: [] } : m)
  }),
  () => {
    let stale: readonly LockEdge[] = []
    return {
      name: 'edges of earlier gatherings are reported for ever',
      message: (m) => {
        if (m.type !== 'edges') return m
        stale = [...stale, ...m.edges].slice(-1000)
        return { ...m, edges: stale }
      }
    }
  },
  () => ({ name: 'packets of other epochs are obeyed', crossEpochs: true }),
  () => ({
    name: 'a want loses the token request it carries',
    tokens: true,
    message: (m) => {
      if (m.type !== 'want') return m
      const { bring: _, ...rest } = m
      return rest
    }
  }),
  () => ({
    name: 'a lock that is not granted is said to bring its token',
    tokens: true,
    message: (m) => (m.type === 'answer' && m.result === 'again' ? { ...m, result: 'granted' } : m)
  })
]
