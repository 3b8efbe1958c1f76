import test from 'brittle'
import type { MemberId, Seq, WriterId } from '../../src/fs/primitives.ts'
import { Durability } from '../../src/replication/durability.ts'
import { Lease, LeasePromises } from '../../src/replication/lease.ts'
import { Random } from '../sim/random.ts'

const A = 1 as MemberId
const B = 2 as MemberId
const W = 1 as WriterId
const OPTIONS = { leaseMs: 4000, marginMs: 400, heartbeatMs: 500 }

test('lease - the member has ended before the authority takes it for over', (t) => {
  const random = new Random(1)
  for (let round = 0; round < 2000; round++) {
    // Both count from different zeros, at rates that differ by less than the margin allows.
    const rates = [1 + (random.below(100) - 50) / 1000, 1 + (random.below(100) - 50) / 1000]
    const [memberRate = 1, authorityRate = 1] = rates
    const lease = new Lease(OPTIONS)
    const promises = new LeasePromises(OPTIONS)
    let now = 0
    for (let beat = 0; beat < 5; beat++) {
      const sent = now
      now += random.below(3000)
      const leaseMs = random.between(1, OPTIONS.leaseMs)
      promises.promise(B, now * authorityRate, leaseMs)
      now += random.below(3000)
      lease.renew(sent * memberRate, leaseMs)
      for (let at = now; at < now + 12_000; at += 100) {
        const both = lease.leftMs(at * memberRate) > 0 && promises.isOver(B, at * authorityRate)
        if (both) t.fail(`round ${round}: valid and over at ${at}`)
      }
    }
  }
  t.pass()
})

test('lease - dropped, renewed, never shortened', (t) => {
  const lease = new Lease(OPTIONS)
  t.is(lease.leftMs(0) > 0, false)
  lease.renew(1000, 4000)
  lease.renew(0, 4000)
  t.is(lease.leftMs(1000), 3600)
  t.is(lease.leftMs(4599) > 0, true)
  t.is(lease.leftMs(4600) > 0, false)
  lease.drop()
  t.is(lease.leftMs(1000) > 0, false)
})

test('durability - a wait ends with the last acknowledgement, or with the in-sync set', async (t) => {
  const durability = new Durability([A, B])
  const at = (seq: number) => new Map([[W, seq as Seq]])
  const ended: string[] = []
  const first = durability.wait(at(2)).then(() => ended.push('first'))
  const second = durability.wait(at(3)).then(() => ended.push('second'))
  durability.acknowledged(A, at(5))
  durability.acknowledged(B, at(1))
  await Promise.resolve()
  t.alike(ended, [])
  t.alike(durability.missing(at(2)), [B])
  durability.acknowledged(B, at(2))
  await first
  t.alike(ended, ['first'])
  durability.acknowledged(B, at(1))
  t.alike(durability.missing(at(2)), [], 'an older acknowledgement takes nothing back')
  durability.setInSync([A])
  await second
  t.is(durability.waiting, 0)
  durability.setInSync([A, B])
  const failed = durability.wait(at(9))
  durability.fail(new Error('over'))
  await t.exception(failed, /over/)
})
