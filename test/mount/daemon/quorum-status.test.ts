import test from 'brittle'
import { quorumStatus, quorumWarnings } from '../../../src/mount/daemon/quorum-status.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { A, B, C, epochRecord, memberInfo } from '../../replication/records.ts'

const witness = memberInfo(C, 'witness')
const pair = [memberInfo(A), memberInfo(B)]

function warnings(parts: Partial<EpochRecord>, connected = [B, C]): string[] {
  return quorumWarnings({ record: epochRecord(parts), self: A, connected })
}

test('quorum - what is reachable is weighed', (t) => {
  const record = epochRecord({ members: pair, inSync: [A, B], tieBreaker: B })
  const alone = quorumStatus({ record, self: A, connected: [] })
  t.alike([alone.have, alone.need, alone.total], [1, 2, 3])
  t.alike(
    alone.voters.map(({ name, weight, reachable }) => [name, weight, reachable]),
    [
      ['m1', 1, true],
      ['m2', 2, false]
    ]
  )
  t.is(quorumStatus({ record, self: A, connected: [B] }).have, 3)
})

test('quorum - what cannot be lost is said beforehand', (t) => {
  t.alike(warnings({ members: [...pair, witness], inSync: [A, B] }), [], 'with a witness nothing')
  const [plain] = warnings({ members: pair, inSync: [A, B] })
  t.ok(plain?.startsWith('losing m1 or m2 stops the volume'))
  t.ok(plain?.includes('--witness') && plain.includes('tie-breaker'), 'and what to do')
  const [breaker] = warnings({ members: pair, inSync: [A, B], tieBreaker: A })
  t.ok(breaker?.startsWith('losing m1 stops the volume'))
  const [single] = warnings({ members: [memberInfo(A)], inSync: [A] })
  t.ok(single?.includes('no second copy'))
  const [solo] = warnings({ members: [...pair, witness], inSync: [B] })
  t.ok(solo?.startsWith('only m2 is in sync'))
})

test('quorum - without a majority the missing ones are named', (t) => {
  const [first] = warnings({ members: [...pair, witness], inSync: [A, B] }, [])
  t.ok(first?.includes('1 of 2 needed'))
  t.ok(first?.includes('bring back m2 or m3'))
})
