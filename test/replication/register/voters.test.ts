import test from 'brittle'
import type { MemberId } from '../../../src/fs/primitives.ts'
import type { VoterWeight } from '../../../src/replication/record.ts'
import { chooseVoters, isChosenBy, isMajority } from '../../../src/replication/register/voters.ts'
import { A, B, C, memberInfo } from '../records.ts'

const D = 4 as MemberId
const W = 9 as MemberId

function weights(...pairs: readonly (readonly [MemberId, number])[]): VoterWeight[] {
  return pairs.map(([id, weight]) => [id, weight])
}

function among(...yes: MemberId[]): (member: MemberId) => boolean {
  return (member) => yes.includes(member)
}

test('voters - more than half of the weight is a majority', (t) => {
  const three = weights([A, 1], [B, 1], [C, 1])
  t.is(isMajority(three, among(A, B)), true)
  t.is(isMajority(three, among(A)), false)
  const two = weights([A, 1], [B, 1])
  t.is(isMajority(two, among(A)), false, 'half is none')
  const tie = weights([A, 2], [B, 1])
  t.is(isMajority(tie, among(A)), true)
  t.is(isMajority(tie, among(B)), false)
  t.is(isMajority([], among(A)), false, 'nobody decides nothing')
  t.is(isMajority(three, among(D, W, A)), false, 'who has no vote does not count')
})

test('voters - a record needs a majority of its voters and of those before', (t) => {
  const record = {
    voters: weights([B, 1], [C, 1], [D, 1]),
    votersBefore: weights([A, 1], [B, 1], [C, 1])
  }
  t.is(isChosenBy(record, among(B, C)), true)
  t.is(isChosenBy(record, among(A, B)), false, 'of those before alone')
  t.is(isChosenBy(record, among(C, D)), false, 'of its own alone')
  t.is(isChosenBy(record, among(A, B, D)), true)
})

test('voters - who votes', (t) => {
  const data = [A, B, C, D].map((id) => memberInfo(id))
  const witness = memberInfo(W, 'witness')
  const chosen = (n: number, inSync: MemberId[], more: { witness?: true; tie?: MemberId } = {}) =>
    chooseVoters([...data.slice(0, n), ...(more.witness ? [witness] : [])], inSync, more.tie)
  t.alike(chosen(2, [A], { witness: true }), [[A, 1]], 'a single in-sync member decides alone')
  t.alike(chosen(2, [B], { tie: A }), [[B, 1]])
  t.alike(chosen(2, [A, B], { witness: true }), weights([A, 1], [B, 1], [W, 1]))
  t.alike(chosen(2, [A, B], { witness: true, tie: A }), weights([A, 1], [B, 1], [W, 1]))
  t.alike(chosen(2, [A, B], { tie: B }), weights([A, 1], [B, 2]))
  t.alike(chosen(2, [A, B]), weights([A, 1], [B, 1]))
  t.alike(chosen(3, [A, B], { witness: true }), weights([A, 1], [B, 1], [C, 1]))
  t.alike(chosen(4, [A, B], { witness: true }), weights([A, 1], [B, 1], [C, 1], [D, 1], [W, 1]))
})

test('voters - any two majorities share a voter, whatever the weights', (t) => {
  const ids = [A, B, C, D, W]
  for (let n = 1; n <= ids.length; n++) {
    for (let heavy = 0; heavy <= n; heavy++) {
      const voters = ids.slice(0, n).map((id, i): VoterWeight => [id, i < heavy ? 2 : 1])
      const majorities: number[] = []
      for (let set = 0; set < 2 ** n; set++) {
        if (isMajority(voters, (m) => (set & (1 << ids.indexOf(m))) !== 0)) majorities.push(set)
      }
      for (const a of majorities) {
        for (const b of majorities) if ((a & b) === 0) t.fail(`${n}/${heavy}: ${a} and ${b}`)
      }
    }
  }
  t.pass()
})
