import test from 'brittle'
import { Beat } from '../../src/replication/beat.ts'
import { HandClock } from './replica/support.ts'

const PERIOD_MS = 300

function world() {
  const clock = new HandClock()
  const beats: number[] = []
  const work = (): void => {
    beats.push(clock.monotonicMs())
  }
  const beat = new Beat({ clock, work }, { periodMs: PERIOD_MS })
  const pass = (ms: number): void => {
    for (let i = 0; i < ms; i++) clock.advance(1)
  }
  return { clock, beat, pass, taken: () => beats.splice(0) }
}

test('beat - at once, then once each period, until stopped', (t) => {
  const { clock, beat, pass, taken } = world()
  beat.follow()
  t.alike(taken(), [], 'not before the start')
  beat.start()
  pass(2 * PERIOD_MS)
  t.alike(taken(), [0, 300, 600])
  beat.stop()
  t.is(clock.pending, 0)
  beat.follow()
  pass(PERIOD_MS)
  t.alike(taken(), [])
})

test('beat - with the leader, whose heartbeats may be a little late', (t) => {
  const { clock, beat, pass, taken } = world()
  beat.start()
  pass(100)
  beat.follow()
  t.alike(taken(), [0, 100])
  for (const lateMs of [0, 4, 2]) {
    pass(PERIOD_MS + lateMs)
    beat.follow()
    t.alike(taken(), [clock.monotonicMs()], 'one beat for both')
    t.is(clock.pending, 1)
  }
})

test('beat - not for every heartbeat, and without the leader as before', (t) => {
  const { beat, pass, taken } = world()
  beat.start()
  pass(29)
  beat.follow()
  t.alike(taken(), [0], 'it has beaten just before')
  pass(1)
  beat.follow()
  beat.follow()
  t.alike(taken(), [30])
  pass(1000)
  t.alike(taken(), [335, 635, 935])
})
