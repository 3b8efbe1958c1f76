import test from 'brittle'
import type { Clock } from '../../../src/fs/ports/clock.ts'
import { CpuLatency } from '../../../src/mount/daemon/cpu-latency.ts'
import { quiet } from '../../fs/fixture.ts'

/** A machine whose time and device the test sets. */
function fakeMachine(options: { readonly refuses?: boolean } = {}) {
  const at = { nowMs: 0, held: 0, holds: 0 }
  let due: (() => void) | undefined
  const clock: Clock = {
    wall: () => ({ sec: 0, nsec: 0 }),
    monotonicMs: () => at.nowMs,
    setTimer: (_delayMs, fn) => {
      due = fn
      return {
        cancel: () => {
          due = undefined
        }
      }
    }
  }
  const hold = (): (() => void) => {
    at.holds++
    if (options.refuses) throw new Error('EACCES')
    at.held++
    return () => {
      at.held--
    }
  }
  const latency = new CpuLatency({ clock, logger: quiet, hold }, { isWanted: true })
  const work = (count: number, eachMs: number): void => {
    for (let i = 0; i < count; i++) {
      at.nowMs += eachMs
      latency.noteWork()
    }
  }
  const look = (): void => {
    const fn = due
    due = undefined
    at.nowMs += 100
    fn?.()
  }
  return { at, latency, work, look, isWaiting: () => due !== undefined }
}

test('processor latency - held while there is much to do, and no longer', (t) => {
  const { at, work, look, isWaiting } = fakeMachine()
  work(1000, 2)
  t.is(at.held, 0, 'five hundred a second is not much')
  t.absent(isWaiting(), 'and no timer runs')
  work(32, 0.5)
  t.is(at.held, 1)
  work(100, 0.5)
  t.is(at.holds, 1, 'once')
  look()
  t.is(at.held, 1, 'it goes on')
  work(10, 5)
  look()
  t.is(at.held, 0, 'little was left to do')
  t.absent(isWaiting())
  work(32, 0.5)
  t.is(at.held, 1, 'and again')
})

test('processor latency - a burst after a pause is measured by itself', (t) => {
  const { at, work } = fakeMachine()
  work(15, 0.1)
  at.nowMs += 60_000
  work(1, 0.1)
  t.is(at.held, 0)
  work(16, 0.1)
  t.is(at.held, 1)
})

test('processor latency - not wanted: let go at once, and not held', (t) => {
  const { at, latency, work, isWaiting } = fakeMachine()
  work(32, 0.5)
  latency.configure({ isWanted: false })
  t.is(at.held, 0)
  t.absent(isWaiting())
  work(100, 0.1)
  t.is(at.holds, 1)
  latency.configure({ isWanted: true })
  work(32, 0.1)
  t.is(at.held, 1)
  latency.stop()
  work(100, 0.1)
  t.is(at.held, 0, 'stopped is for good')
})

test('processor latency - where the system refuses it is asked once', (t) => {
  const { at, work, isWaiting } = fakeMachine({ refuses: true })
  work(1000, 0.1)
  t.is(at.holds, 1)
  t.is(at.held, 0)
  t.absent(isWaiting())
})
