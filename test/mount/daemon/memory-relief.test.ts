import test from 'brittle'
import type { Clock } from '../../../src/fs/ports/clock.ts'
import { MemoryRelief } from '../../../src/mount/daemon/memory-relief.ts'

const MIB = 1024 * 1024

/** A process whose memory and processor time the test sets. */
function fakeProcess() {
  let due: (() => void) | undefined
  const at = { cpuMs: 0, residentMib: 100, released: 0, afterMib: 80 }
  const clock: Clock = {
    wall: () => ({ sec: 0, nsec: 0 }),
    monotonicMs: () => 0,
    setTimer: (_delayMs, fn) => {
      due = fn
      return {
        cancel: () => {
          due = undefined
        }
      }
    }
  }
  const relief = new MemoryRelief({
    clock,
    residentBytes: () => at.residentMib * MIB,
    cpuMs: () => at.cpuMs,
    release: () => {
      at.released++
      at.residentMib = at.afterMib
    }
  })
  return { at, relief, look: () => due?.(), isWaiting: () => due !== undefined }
}

test('memory relief - once, when the process has come to rest', (t) => {
  const { at, relief, look, isWaiting } = fakeProcess()
  relief.start()
  at.cpuMs += 4000
  look()
  t.is(at.released, 0, 'it is busy')
  at.cpuMs += 100
  look()
  t.is(at.released, 1)
  look()
  look()
  t.is(at.released, 1, 'nothing came since')
  at.residentMib = 85
  look()
  t.is(at.released, 1, 'a little is not worth it')
  at.residentMib = 150
  look()
  t.is(at.released, 2)
  relief.stop()
  t.absent(isWaiting())
})
