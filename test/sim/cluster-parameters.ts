/** What a seed draws for the simulated cluster, and the record it begins with. */
import type { Epoch, MemberId } from '../../src/fs/primitives.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import { chooseVoters } from '../../src/replication/register/voters.ts'
import type { FramedKind } from '../../src/replication/transport/peer-connection.ts'
import type { Random } from './random.ts'

const SECOND_US = 1_000_000
const FIRST = 1 as MemberId
export const KINDS: readonly FramedKind[] = ['control', 'bulk']

export type ClusterParameters = ReturnType<typeof drawClusterParameters>

export type FavouriteFault = 'strand' | 'straggle'

export function drawClusterParameters(random: Random) {
  return {
    members: random.pick([2, 2, 2, 3, 3, 4, 5]),
    hasWitness: random.chance(0.5),
    hasTieBreaker: random.chance(0.3),
    clients: random.between(1, 2),
    /** Programs that work under file locks, on each member. */
    lockers: random.between(0, 2),
    holdMaxUs: random.pick([20_000, 300_000, 2 * SECOND_US]),
    inos: random.between(1, 4),
    delayMaxUs: random.pick([100, 2000, 30_000]),
    syncMaxUs: random.pick([200, 20_000, 300_000]),
    turnMaxUs: random.pick([1, 200, 5000]),
    thinkMaxUs: random.pick([100_000, 300_000, 1_000_000]),
    faultGapUs: random.pick([100_000, SECOND_US, 5 * SECOND_US]),
    minHoldMs: random.pick([0, 5]),
    isolationMs: random.pick([5000, 30_000]),
    losesAll: random.chance(0.3),
    powerCuts: random.chance(0.6),
    /** Of each clock, at most; the margin of the leases allows for it. */
    driftMax: random.pick([0.005, 0.005, 0.09]),
    /** That a voter dies in the moment in which it has saved what it is about to say. */
    dieAtSave: random.pick([0, 0, 0.02]),
    leaves: random.chance(0.5),
    diskStalls: random.chance(0.3),
    memberChanges: random.chance(0.3),
    freezes: random.chance(0.6),
    partitions: random.chance(0.7),
    /** That a fault comes with another one. */
    together: random.pick([0, 0.3]),
    /** That it hits whoever leads. */
    aimed: random.pick([0, 0.4]),
    /** That one more thing goes wrong when a member is sealed. */
    atSeals: random.pick([0, 0, 0.1]),
    /** That a program writes several times in a row. */
    bursts: random.pick([0, 0.3]),
    /** That an old seal or answer comes once more. */
    repeats: 0,
    /** Every other fault is this one: for what is aimed. */
    favourite: undefined as FavouriteFault | undefined,
    /** In the end one member of the healthy cluster dies. */
    killsHealthy: random.chance(0.5),
    /** It is not killed: it is heard, and hears nobody. */
    deafens: false,
    /** It comes back on a disk that stands still. */
    returnsSlowly: random.chance(0.3)
  }
}

/** One member is in sync; the others are listed and have yet to join. */
export function firstRecord(parameters: ClusterParameters): EpochRecord {
  const { hasWitness, hasTieBreaker } = parameters
  const nodes = parameters.members + (hasWitness ? 1 : 0)
  const members = Array.from({ length: nodes }, (_, index) => ({
    id: (index + 1) as MemberId,
    name: `m${index + 1}`,
    publicKey: (index + 1).toString(16).padStart(64, '0'),
    addresses: ['127.0.0.1:1'],
    role: index < parameters.members ? ('data' as const) : ('witness' as const)
  }))
  const voters = chooseVoters(members, [FIRST], undefined)
  return {
    version: 1,
    volumeId: 'ab'.repeat(16),
    volumeName: 'sim',
    epoch: 1 as Epoch,
    authority: FIRST,
    members,
    live: [],
    inSync: [FIRST],
    writers: [],
    history: [],
    forgotten: 0,
    lastWriters: [],
    voters,
    votersBefore: voters,
    ...(hasTieBreaker ? { tieBreaker: FIRST } : {}),
    nextMemberId: nodes + 1,
    removedKeys: []
  }
}
