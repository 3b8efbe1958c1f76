import test from 'brittle'
import { Hearing } from '../../src/replication/hearing.ts'
import { A, B } from './records.ts'

const BEAT_MS = 300

/** What A says at `atMs` of its clock: it heard the heartbeat `heard` then. */
function said(atMs: number, heard: number, heardAtMs: number) {
  return { sentUs: atMs * 1000, heardUs: heard, heldUs: (atMs - heardAtMs) * 1000 }
}

test('hearing - who says again that nothing came for more than two beats is deaf', (t) => {
  const hearing = new Hearing({ heartbeatMs: BEAT_MS })
  t.absent(hearing.isDeaf(A), 'nothing is known')
  for (const atMs of [1001, 1300, 1600]) {
    hearing.heard(A, said(atMs, 7, 1001))
    t.absent(hearing.isDeaf(A), `at ${atMs}`)
  }
  hearing.heard(A, said(1900, 7, 1001))
  t.ok(hearing.isDeaf(A))
  t.absent(hearing.isDeaf(B), 'the other')
  hearing.heard(A, said(2200, 8, 2190))
  t.absent(hearing.isDeaf(A), 'it hears again')
})

test('hearing - one that was paused is not deaf, however often', (t) => {
  const hearing = new Hearing({ heartbeatMs: BEAT_MS })
  let atMs = 1000
  for (let heard = 1; heard < 10; heard++) {
    // It beats, and says more than one thing, before it reads.
    const heardAtMs = atMs
    atMs += 900
    for (const after of [0, 1, 100]) {
      hearing.heard(A, said(atMs + after, heard, heardAtMs))
      t.absent(hearing.isDeaf(A))
    }
    atMs += 100
  }
})

test('hearing - a reset makes nobody deaf, nor ends it', (t) => {
  const hearing = new Hearing({ heartbeatMs: BEAT_MS })
  const silent = (atMs: number) => {
    hearing.heard(A, { sentUs: atMs * 1000, heardUs: 0, heldUs: 0 })
    return hearing.isDeaf(A)
  }
  hearing.heard(A, said(1400, 7, 1000))
  t.alike([1900, 2200, 2500].map(silent), [false, false, false], 'nothing has come yet')
  t.is(silent(2800), true, 'nothing comes')
  hearing.heard(A, said(3000, 8, 2990))
  t.absent(hearing.isDeaf(A), 'it hears')
  for (const atMs of [3300, 3600, 3900]) hearing.heard(A, said(atMs, 8, 2990))
  t.ok(hearing.isDeaf(A))
  t.alike([4000, 4001].map(silent), [true, true])
  hearing.heard(A, said(4300, 9, 4290))
  t.absent(hearing.isDeaf(A), 'it hears on the new one')
  t.is(silent(4500), false)
})
