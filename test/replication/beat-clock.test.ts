import test from 'brittle'
import { BeatClock } from '../../src/replication/beat-clock.ts'
import { HandClock } from './replica/support.ts'

const PERIOD_MS = 300

test('beat clock - a timer runs at the first beat at which it is due', (t) => {
  const hand = new HandClock()
  const clock = new BeatClock({ clock: hand }, { periodMs: PERIOD_MS })
  const ran: string[] = []
  clock.setTimer(500, () => ran.push('late'))
  clock.setTimer(PERIOD_MS, () => {
    ran.push('again')
    clock.setTimer(PERIOD_MS, () => ran.push('and again'))
  })
  t.is(hand.pending, 0, 'nothing wakes by itself')
  hand.advance(299)
  clock.beat()
  t.alike(ran.splice(0), [])
  hand.advance(1)
  t.is(clock.monotonicMs(), 300)
  clock.beat()
  t.alike(ran.splice(0), ['again'])
  hand.advance(1000)
  t.alike(ran, [])
  clock.beat()
  clock.beat()
  t.alike(ran, ['late', 'and again'], 'once')
})

test('beat clock - what is cancelled does not run, not even by another one of the same beat', (t) => {
  const hand = new HandClock()
  const clock = new BeatClock({ clock: hand }, { periodMs: PERIOD_MS })
  const ran: string[] = []
  clock.setTimer(400, () => {
    ran.push('first')
    second.cancel()
  })
  const second = clock.setTimer(400, () => ran.push('second'))
  const third = clock.setTimer(400, () => ran.push('third'))
  third.cancel()
  hand.advance(600)
  clock.beat()
  t.alike(ran, ['first'])
})

test('beat clock - what is due before the next beat runs on time', (t) => {
  const hand = new HandClock()
  const clock = new BeatClock({ clock: hand }, { periodMs: PERIOD_MS })
  let count = 0
  clock.setTimer(100, () => count++)
  clock.setTimer(100, () => count++).cancel()
  hand.advance(100)
  t.is(count, 1)
})
