/** The token protocol with one rule removed each; every one of them must be caught. */
import type { ToAuthority, ToClient } from '../../src/replication/token/token-message.ts'
import { type Ranged, startOf, TOKEN_PAGE_BYTES } from '../../src/replication/token/token-range.ts'
import type { Mutation } from './tokens-mutation.ts'

const NOTHING = new Map()

function withoutVector<T extends ToAuthority | ToClient>(message: T): T {
  return 'vector' in message ? { ...message, vector: NOTHING } : message
}

function withoutRange<T extends Ranged>(item: T): T {
  const { range, ...rest } = item
  return rest as T
}

function withFirstPage<T extends Ranged>(item: T): T {
  const start = startOf(item)
  return { ...item, range: { start, end: start + TOKEN_PAGE_BYTES } }
}

export interface Mutant extends Mutation {
  /** Seeds from 1 on, one of which must fail. */
  readonly withinSeeds: number
}

export const MUTANTS: readonly Mutant[] = [
  { name: 'a grant does not wait for notes (RULES 17)', withinSeeds: 20, ackNotesAtOnce: true },
  {
    name: 'a release carries no vector (RULES 16)',
    withinSeeds: 20,
    toAuthority: (message) => (message.type === 'release' ? withoutVector(message) : message)
  },
  {
    name: 'a grant carries no vector (RULES 16)',
    withinSeeds: 20,
    toClient: (message) => (message.type === 'grant' ? withoutVector(message) : message)
  },
  {
    name: 'a note is cleared without a vector (RULES 16)',
    withinSeeds: 200,
    toClient: (message) => (message.type === 'clear' ? withoutVector(message) : message)
  },
  { name: 'a grant serves before its vector is applied', withinSeeds: 20, applyNothing: true },
  { name: 'a release leaves out the entry being gathered', withinSeeds: 20, flushNothing: true },
  { name: 'a note does not wait for running readers', withinSeeds: 20, forgetGuards: 'shared' },
  {
    name: 'a release does not wait for running writers',
    withinSeeds: 20,
    forgetGuards: 'exclusive'
  },
  { name: 'caches outlive the acknowledgement of a note', withinSeeds: 20, dropNothing: true },
  { name: 'ownership outlives its directory (RULES 21)', withinSeeds: 200, keepOwnership: true },
  { name: 'messages of old epochs are obeyed (RULES 18)', withinSeeds: 200, crossEpochs: true },
  { name: 'a release counts for any grant (RULES 18)', withinSeeds: 200, anyGrantNumber: true },
  {
    name: 'a token that a lock brings is never asked for',
    withinSeeds: 20,
    loseBrought: true
  },
  {
    name: 'a query is answered without what the holders did (RULES 28)',
    withinSeeds: 60,
    toAuthority: (message) => (message.type === 'probed' ? withoutVector(message) : message)
  },
  {
    name: 'a query is answered without what was released before (RULES 28)',
    withinSeeds: 200,
    toClient: (message) =>
      message.type === 'told' && message.idle ? withoutVector(message) : message
  },
  {
    name: 'probes are lost',
    withinSeeds: 60,
    toClient: (message) => (message.type === 'probe' ? undefined : message)
  },
  {
    name: 'an append does not own what lies behind the end of the file (RULES 28)',
    withinSeeds: 20,
    appendNarrowly: true
  },
  {
    name: 'the release of a range counts for all of its grant',
    withinSeeds: 20,
    toAuthority: (message) =>
      message.type === 'release' ? { ...message, items: message.items.map(withoutRange) } : message
  },
  {
    name: 'the grant of a range is taken for one of the whole inode',
    withinSeeds: 20,
    toClient: (message) =>
      message.type === 'grant' ? { ...message, items: message.items.map(withoutRange) } : message
  },
  {
    name: 'a note covers the first page of its range only',
    withinSeeds: 20,
    toClient: (message) =>
      message.type === 'note' ? { ...message, items: message.items.map(withFirstPage) } : message
  },
  {
    name: 'recalls are lost',
    withinSeeds: 5,
    toClient: (message) => (message.type === 'recall' ? undefined : message)
  },
  {
    name: 'releases are lost',
    withinSeeds: 20,
    toAuthority: (message) => (message.type === 'release' ? undefined : message)
  }
]
