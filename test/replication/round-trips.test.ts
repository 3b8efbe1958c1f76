import test from 'brittle'
import type { MemberId } from '../../src/fs/primitives.ts'
import { RoundTrips } from '../../src/replication/round-trips.ts'

const A = 1 as MemberId
const B = 2 as MemberId

/** Two members whose clocks have nothing in common but their rate. */
function pair() {
  let nowMs = 0
  const a = new RoundTrips({ clock: { monotonicMs: () => 5000 + nowMs } })
  const b = new RoundTrips({ clock: { monotonicMs: () => 77_000_000 + nowMs } })
  const later = (ms: number): void => {
    nowMs += ms
  }
  return { a, b, later }
}

test('round trips - each way counts, the time between two heartbeats does not', (t) => {
  const { a, b, later } = pair()
  const first = a.stamp(B)
  later(2)
  b.heard(A, first)
  t.is(b.leastMs(A), undefined, 'one heartbeat says nothing')
  later(290)
  const second = b.stamp(A)
  later(3)
  a.heard(B, second)
  t.is(a.leastMs(B), 5)
  later(1)
  const third = a.stamp(B)
  later(1.5)
  b.heard(A, third)
  t.is(b.leastMs(A), 4.5)
})

test('round trips - the least of the last few is told', (t) => {
  const { a, b, later } = pair()
  const beat = (wayMs: number): void => {
    const to = a.stamp(B)
    later(wayMs)
    b.heard(A, to)
    const back = b.stamp(A)
    later(wayMs)
    a.heard(B, back)
  }
  beat(10)
  beat(1)
  beat(30)
  t.is(a.leastMs(B), 2)
  for (let i = 0; i < 8; i++) beat(20)
  t.is(a.leastMs(B), 40)
  a.forget(B)
  t.is(a.leastMs(B), undefined)
  t.is(a.stamp(B).heardUs, 0)
})

test('round trips - what cannot be is not believed', (t) => {
  const { a } = pair()
  const { sentUs } = a.stamp(B)
  a.heard(B, { sentUs: 1, heardUs: Number.MAX_SAFE_INTEGER, heldUs: 0 })
  a.heard(B, { sentUs: 1, heardUs: 1, heldUs: Number.MAX_SAFE_INTEGER })
  t.is(a.leastMs(B), undefined)
  a.heard(B, { sentUs: 1, heardUs: sentUs, heldUs: 40 })
  t.is(a.leastMs(B), 0, 'a rate that differs a little')
})
