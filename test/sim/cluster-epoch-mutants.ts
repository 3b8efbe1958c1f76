/** Leases, seals and cuts with one of their rules broken each. */
import type { MemberId } from '../../src/fs/primitives.ts'
import { memberOf } from '../../src/fs/primitives.ts'
import { Admission } from '../../src/replication/admission.ts'
import { Cuts } from '../../src/replication/cuts.ts'
import { EpochAuthority } from '../../src/replication/epoch/epoch-authority.ts'
import type { EpochEffect } from '../../src/replication/epoch/epoch-event.ts'
import { Hearing } from '../../src/replication/hearing.ts'
import { LEASE_DEFAULTS, Lease, LeasePromises } from '../../src/replication/lease.ts'
import { RegisterNode } from '../../src/replication/register/register-node.ts'
import { LocalLog } from '../../src/replication/replica/local-log.ts'
import { LocalSync } from '../../src/replication/replica/local-sync.ts'
import { TokenNode } from '../../src/replication/token/token-node.ts'
import type { Vector } from '../../src/replication/vector.ts'
import type { ClusterMutant } from './cluster-mutant.ts'
import { several } from './cluster-mutant.ts'
import { swap, swapGetter } from './swap.ts'

type Seal = Extract<EpochEffect, { type: 'seal' }>

/** Answers some seals at once, in the place of the member and with all that is asked for. */
function answerSeals(isAnswered: (authority: EpochAuthority, seal: Seal) => boolean): () => void {
  return swap(
    EpochAuthority.prototype,
    'step',
    (original) =>
      function (this: EpochAuthority, event) {
        return original.call(this, event).flatMap((effect) => {
          if (effect.type !== 'seal' || !isAnswered(this, effect)) return [effect]
          const { member, epoch, round, cuts } = effect
          return this.step({ type: 'sealed', member, epoch, round, held: cuts })
        })
      }
  )
}

/** Cuts and slow disks alone, and time enough for a lease to matter. */
const STRANDED: ClusterMutant['parameters'] = {
  ...{ members: 5, hasWitness: false, lockers: 0, clients: 1, faultGapUs: 5_000_000 },
  ...{ partitions: true, leaves: true, diskStalls: true, freezes: false, powerCuts: false },
  ...{ memberChanges: false, dieAtSave: 0, killsHealthy: false, driftMax: 0.005 }
}

/** Nearly every epoch change is disturbed, and takes long. */
const DISTURBED: ClusterMutant['parameters'] = {
  ...{ members: 5, hasWitness: false, lockers: 0, clients: 2, thinkMaxUs: 100_000, bursts: 0.3 },
  ...{ partitions: true, diskStalls: true, freezes: false, powerCuts: false, leaves: false },
  ...{ delayMaxUs: 30_000, faultGapUs: 5_000_000, atSeals: 0.3, aimed: 0.4, killsHealthy: false },
  favourite: 'straggle',
  repeats: 0.5
}

export const CLUSTER_EPOCH_MUTANTS: readonly ClusterMutant[] = [
  {
    name: 'a lease has no end',
    withinSeeds: 30,
    isQuick: true,
    apply: () => swap(Lease.prototype, 'leftMs', () => () => LEASE_DEFAULTS.marginMs)
  },
  {
    name: 'the authority answers without a lease of its own',
    withinSeeds: 60,
    parameters: { ...STRANDED, members: 3, leaves: false, diskStalls: false },
    apply: () =>
      swap(
        RegisterNode.prototype,
        'leaseLeftMs',
        () =>
          function (this: RegisterNode) {
            return this.leads ? LEASE_DEFAULTS.leaseMs : 0
          }
      )
  },
  {
    name: "a member's lease outlives the authority's",
    withinSeeds: 60,
    parameters: { ...STRANDED, leaves: false },
    apply: () =>
      several(
        swap(
          Lease.prototype,
          'renew',
          (original) =>
            function (this: Lease, sentMs) {
              original.call(this, sentMs, LEASE_DEFAULTS.leaseMs)
            }
        ),
        swap(
          LeasePromises.prototype,
          'promise',
          (original) =>
            function (this: LeasePromises, member, nowMs) {
              original.call(this, member, nowMs, LEASE_DEFAULTS.leaseMs)
            }
        )
      )
  },
  {
    name: 'who stops gives the lead up before a record goes on without it',
    withinSeeds: 600,
    parameters: { ...STRANDED, members: 4, hasWitness: true, favourite: 'strand' },
    apply: () =>
      swap(
        RegisterNode.prototype,
        'stop',
        (original) =>
          function (this: RegisterNode) {
            this.resign()
            original.call(this)
          }
      )
  },
  {
    name: 'a silent member is lost before its lease is over',
    withinSeeds: 30,
    isQuick: true,
    apply: () => swap(LeasePromises.prototype, 'isOver', () => () => true)
  },
  {
    name: 'who is heard and hears nobody is promised time',
    withinSeeds: 20,
    isQuick: true,
    steps: 4,
    parameters: { killsHealthy: true, deafens: true },
    apply: () => swap(Hearing.prototype, 'isDeaf', () => () => false)
  },
  {
    name: 'a lost member gets a lease again',
    withinSeeds: 200,
    steps: 20,
    parameters: { members: 3, partitions: true, powerCuts: false, killsHealthy: false },
    apply: () => swap(EpochAuthority.prototype, 'isLost', () => () => false)
  },
  {
    name: 'a member is removed while its lease runs',
    withinSeeds: 60,
    steps: 20,
    parameters: { members: 4, memberChanges: true, partitions: true, powerCuts: false },
    apply: () => swapGetter(EpochAuthority.prototype, 'expiring', () => [])
  },
  {
    name: 'a sealed member goes on writing',
    withinSeeds: 30,
    isQuick: true,
    apply: () =>
      several(
        swap(TokenNode.prototype, 'seal', () => () => Promise.resolve()),
        swap(
          LocalLog.prototype,
          'setWritable',
          (original) =>
            function (this: LocalLog) {
              original.call(this, true)
            }
        )
      )
  },
  {
    name: 'entries beyond the answer to a seal are admitted',
    withinSeeds: 900,
    steps: 20,
    parameters: { members: 4, partitions: true, delayMaxUs: 30_000, killsHealthy: false },
    apply: () => swap(Admission.prototype, 'limitTo', () => () => {})
  },
  {
    name: 'entries behind a cut are applied (RULES 19)',
    withinSeeds: 600,
    apply: () => swap(Cuts.prototype, 'isVoid', () => () => false)
  },
  {
    name: 'a seal is answered before it is durable (RULES 10)',
    withinSeeds: 30,
    apply: () => {
      /** Of the member that is about to make it durable. */
      let sealed: Vector | undefined
      return several(
        swap(
          Admission.prototype,
          'limitTo',
          (original) =>
            function (this: Admission, limit) {
              original.call(this, limit)
              sealed = limit ? this.applied : undefined
              queueMicrotask(() => {
                sealed = undefined
              })
            }
        ),
        swap(
          LocalSync.prototype,
          'sync',
          (original) =>
            function (this: LocalSync) {
              return sealed ? Promise.resolve(new Map(sealed)) : original.call(this)
            }
        )
      )
    }
  },
  {
    name: 'the cuts are not collected (RULES 10)',
    withinSeeds: 30,
    apply: () => answerSeals((_authority, { cuts }) => cuts.size > 0)
  },
  {
    name: 'a joiner is in sync before it holds what it must (RULES 9)',
    withinSeeds: 30,
    apply: () =>
      answerSeals(
        ({ record }, { member }) => !record.live.some((writer) => memberOf(writer) === member)
      )
  },
  {
    name: 'any answer to a seal counts, not the one to the last',
    firstSeed: 700,
    withinSeeds: 600,
    steps: 20,
    parameters: DISTURBED,
    apply: () => {
      const rounds = new WeakMap<EpochAuthority, Map<MemberId, number>>()
      return swap(
        EpochAuthority.prototype,
        'step',
        (original) =>
          function (this: EpochAuthority, event) {
            const last = rounds.get(this) ?? new Map()
            rounds.set(this, last)
            const round = event.type === 'sealed' ? last.get(event.member) : undefined
            const effects = original.call(
              this,
              event.type === 'sealed' && round !== undefined ? { ...event, round } : event
            )
            for (const effect of effects) {
              if (effect.type === 'seal') last.set(effect.member, effect.round)
            }
            return effects
          }
      )
    }
  },
  {
    name: 'a member goes beyond a record that it has accepted and that may be chosen (RULES 19)',
    withinSeeds: 1600,
    steps: 20,
    parameters: {
      ...DISTURBED,
      ...{ members: 3, atSeals: 0.5, favourite: 'strand', repeats: 0, dieAtSave: 0.1 }
    },
    apply: () => swap(Admission.prototype, 'limitToPending', () => () => {})
  },
  {
    name: 'everybody stays sealed for a joiner, however long it takes',
    withinSeeds: 60,
    apply: () => swapGetter(EpochAuthority.prototype, 'tardyJoiners', () => [])
  }
]
