/**
 * The epoch register with one of its rules broken each; every one of them must be caught. A mutant
 * changes a class for the time of a run and gives back what undoes it.
 */
import { LEASE_DEFAULTS } from '../../src/replication/lease.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import { BALLOT_MAX, type Ballot, ballotOwner } from '../../src/replication/register/ballot.ts'
import type { ProposerEffect, ProposerEvent } from '../../src/replication/register/proposer.ts'
import { Proposer } from '../../src/replication/register/proposer.ts'
import { RegisterNode } from '../../src/replication/register/register-node.ts'
import type { VoterAnswer, VoterRequest } from '../../src/replication/register/voter.ts'
import { Voter } from '../../src/replication/register/voter.ts'
import { QUICK_LEASE, type RegisterParameters } from './register-world.ts'
import { swap } from './swap.ts'

export interface RegisterMutant {
  readonly name: string
  /** Seeds from 1 on, one of which must fail. */
  readonly withinSeeds: number
  /** In the place of what a seed draws: aims the mutant where its rule matters. */
  readonly parameters?: Partial<RegisterParameters>
  readonly apply: () => () => void
}

type Promise = Extract<Extract<ProposerEvent, { type: 'reply' }>['reply'], { type: 'promise' }>

/** Changes what a voter answers. */
function mutateVoter(
  change: (answer: VoterAnswer, request: VoterRequest, voter: Voter) => VoterAnswer
): () => void {
  return swap(
    Voter.prototype,
    'on',
    (original) =>
      function (this: Voter, from, request, known, nowMs) {
        return change(original.call(this, from, request, known, nowMs), request, this)
      }
  )
}

/** Changes the events a candidate gets, or does something else with them. */
function mutateProposer(
  change: (
    event: ProposerEvent,
    step: (event: ProposerEvent) => ProposerEffect[],
    self: Proposer
  ) => ProposerEffect[]
): () => void {
  return swap(
    Proposer.prototype,
    'step',
    (original) =>
      function (this: Proposer, event) {
        return change(event, (next) => original.call(this, next), this)
      }
  )
}

function mutatePromises(change: (promise: Promise) => Promise): () => void {
  return mutateProposer((event, step) => {
    if (event.type !== 'reply' || event.reply.type !== 'promise') return step(event)
    return step({ ...event, reply: change(event.reply) })
  })
}

function isRefused(answer: VoterAnswer): boolean {
  return answer.reply?.type === 'refusal'
}

export const REGISTER_MUTANTS: readonly RegisterMutant[] = [
  {
    name: 'a promise is not saved',
    withinSeeds: 5000,
    apply: () =>
      mutateVoter((answer, request) => {
        const { save: _, ...rest } = answer
        return request.type === 'prepare' ? rest : answer
      })
  },
  {
    name: 'what was accepted is not saved',
    withinSeeds: 20,
    apply: () =>
      mutateVoter((answer, request) => {
        const { save: _, ...rest } = answer
        return request.type === 'accept' ? rest : answer
      })
  },
  {
    name: 'a ballot is promised while the lease of another runs (RULES 22)',
    withinSeeds: 30,
    apply: () => swap(Voter.prototype, 'waitMs', () => () => 0)
  },
  {
    name: 'a restarted voter does not wait (RULES 22)',
    withinSeeds: 600,
    apply: () => {
      const leases = new WeakMap<Voter, { readonly ballot: Ballot; readonly untilMs: number }>()
      const undo = [
        swap(
          Voter.prototype,
          'on',
          (original) =>
            function (this: Voter, from, request, known, nowMs) {
              const answer = original.call(this, from, request, known, nowMs)
              const { leaseMs, marginMs } = LEASE_DEFAULTS
              if (answer.reply?.type === 'renewed') {
                leases.set(this, { ballot: request.ballot, untilMs: nowMs + leaseMs + marginMs })
              } else if (request.type === 'yield') leases.delete(this)
              return answer
            }
        ),
        swap(
          Voter.prototype,
          'waitMs',
          () =>
            function (this: Voter, candidate, nowMs) {
              const lease = leases.get(this)
              if (!lease || ballotOwner(lease.ballot) === candidate) return 0
              return Math.max(0, Math.ceil(lease.untilMs - nowMs))
            }
        )
      ]
      return () => undo.forEach((one) => void one())
    }
  },
  {
    name: 'a record is accepted below the promise',
    withinSeeds: 1000,
    apply: () =>
      mutateVoter((answer, request, { state: { promised } }) => {
        if (request.type !== 'accept' || !isRefused(answer) || answer.senderIsBehind) return answer
        const { ballot, record } = request
        const save = { promised, accepted: { ballot, record } }
        return { save, reply: { type: 'accepted', ballot, epoch: record.epoch } }
      })
  },
  {
    name: 'a new leader proposes without what was accepted before',
    withinSeeds: 1000,
    apply: () => mutatePromises((promise) => ({ ...promise, accepted: undefined }))
  },
  {
    name: 'of several accepted records the one of the lowest ballot is taken',
    withinSeeds: 3300,
    apply: () =>
      mutatePromises((promise) => {
        const { accepted } = promise
        if (!accepted) return promise
        const ballot = (BALLOT_MAX - accepted.ballot) as Ballot
        return { ...promise, accepted: { ...accepted, ballot } }
      })
  },
  {
    name: 'a record needs no majority of the voters before',
    withinSeeds: 1000,
    apply: () =>
      swap(
        RegisterNode.prototype,
        'propose',
        (original) =>
          function (this: RegisterNode, record) {
            original.call(this, { ...record, votersBefore: record.voters })
          }
      )
  },
  {
    name: 'a record needs no majority of its own voters',
    withinSeeds: 30,
    apply: () => {
      const proposed = new WeakMap<Proposer, EpochRecord>()
      return mutateProposer((event, step, self) => {
        const effects = step(event)
        if (event.type === 'reply' && event.reply.type === 'accepted') {
          const { voters, votersBefore } = proposed.get(self) ?? { voters: [], votersBefore: [] }
          for (const [from] of voters) {
            if (!votersBefore.some(([id]) => id === from)) effects.push(...step({ ...event, from }))
          }
        }
        for (const effect of effects) {
          if (effect.type !== 'send' || effect.message.type !== 'accept') continue
          proposed.set(self, effect.message.record)
        }
        return effects
      })
    }
  },
  {
    name: 'who finds newer voters does not ask them',
    withinSeeds: 3300,
    apply: () => {
      const asked = new WeakMap<Proposer, Set<number>>()
      return mutateProposer((event, step, self) => {
        const effects = step(event)
        const known = asked.get(self) ?? new Set()
        asked.set(self, known)
        for (const effect of effects) {
          if (effect.type !== 'send') continue
          if (effect.message.type === 'probe') known.clear()
          if (effect.message.type === 'probe') known.add(effect.to)
        }
        if (event.type !== 'reply' || event.reply.type !== 'promise') return effects
        const { accepted } = event.reply
        if (!accepted) return effects
        for (const [from] of [...accepted.record.voters, ...accepted.record.votersBefore]) {
          if (known.has(from)) continue
          effects.push(...step({ ...event, from, reply: { ...event.reply, accepted: undefined } }))
        }
        return effects
      })
    }
  },
  {
    name: 'the others are asked to accept before the own voter has',
    withinSeeds: 60,
    apply: () =>
      mutateProposer((event, step) =>
        step(event).flatMap((effect) => {
          if (effect.type !== 'send' || effect.message.type !== 'accept') return [effect]
          const { voters, votersBefore } = effect.message.record
          const others = new Set([...voters, ...votersBefore].map(([id]) => id))
          others.delete(effect.to)
          if (ballotOwner(effect.message.ballot) !== effect.to) return [effect]
          return [...[...others].map((to) => ({ ...effect, to })), effect]
        })
      )
  },
  {
    name: 'the lease is counted from the answer, not from the question',
    withinSeeds: 1500,
    apply: () =>
      mutateProposer((event, step) => {
        if (event.type !== 'reply' || event.reply.type !== 'renewed') return step(event)
        return step({ ...event, reply: { ...event.reply, sentMs: event.nowMs } })
      })
  },
  {
    name: 'the lease has no margin',
    withinSeeds: 3300,
    parameters: { driftMax: 0.09, lease: QUICK_LEASE, faultGapUs: 2_000_000 },
    apply: () =>
      swap(
        Proposer.prototype,
        'leaseLeftMs',
        (original) =>
          function (this: Proposer, nowMs) {
            return original.call(this, nowMs - QUICK_LEASE.marginMs)
          }
      )
  },
  {
    name: 'the lead needs no promise of time',
    withinSeeds: 40,
    apply: () =>
      swap(
        Proposer.prototype,
        'leaseLeftMs',
        () =>
          function (this: Proposer) {
            return this.leads ? 1 : 0
          }
      )
  }
]
