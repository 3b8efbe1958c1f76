/** What `status` tells of the voters, and what follows from it for the administrator. */
import type { MemberId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../../replication/record.ts'
import type { QuorumStatus } from './node-api.ts'

export interface QuorumSource {
  readonly record: EpochRecord
  readonly self: MemberId
  readonly connected: readonly MemberId[]
}

export function quorumStatus({ record, self, connected }: QuorumSource): QuorumStatus {
  const voters = record.voters.map(([id, weight]) => ({
    id,
    name: nameOf(record, id),
    weight,
    reachable: id === self || connected.includes(id)
  }))
  const total = voters.reduce((sum, voter) => sum + voter.weight, 0)
  const have = voters.reduce((sum, voter) => sum + (voter.reachable ? voter.weight : 0), 0)
  return { voters, have, need: Math.floor(total / 2) + 1, total }
}

export function nameOf(record: EpochRecord, id: MemberId): string {
  return record.members.find((m) => m.id === id)?.name ?? `member ${id}`
}

/** One sentence each, with what to do. */
export function quorumWarnings(source: QuorumSource): string[] {
  const { record } = source
  const { voters, have, need } = quorumStatus(source)
  const warnings: string[] = []
  const data = record.members.filter((m) => m.role === 'data')
  if (have < need) {
    const away = voters.filter((voter) => !voter.reachable).map((voter) => voter.name)
    warnings.push(
      `no majority of the voters (${have} of ${need} needed): operations wait; bring back ${away.join(' or ')}`
    )
  }
  if (data.length === 1) warnings.push('one data member: there is no second copy')
  else if (record.inSync.length === 1) {
    const [only] = record.inSync
    const name = only === undefined ? '' : nameOf(record, only)
    warnings.push(
      `only ${name} is in sync: fsync has no second copy, and losing ${name} stops the volume until another has caught up`
    )
  } else warnings.push(...lossWarnings(record))
  return warnings
}

/** Voters that cannot be lost without losing the majority, while everybody is there. */
function lossWarnings(record: EpochRecord): string[] {
  const total = record.voters.reduce((sum, [, weight]) => sum + weight, 0)
  const needed = record.voters.filter(([, weight]) => (total - weight) * 2 <= total)
  if (needed.length === 0) return []
  const names = needed.map(([id]) => nameOf(record, id)).join(' or ')
  const first = record.members.find((m) => m.role === 'data')?.name ?? 'NAME'
  return [
    `losing ${names} stops the volume until it is back: add a witness ('tandemfs invite VOLUME --witness') or a tie-breaker ('tandemfs members VOLUME tie-breaker ${first}')`
  ]
}
