import test from 'brittle'
import type { TokenWant } from '../../../src/fs/ports/token-service.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ClientHabits } from '../../../src/replication/token/token-habits.ts'

const D = 7 as Ino
const E = 8 as Ino
const shared = (ino: Ino): TokenWant => ({ ino, mode: 'shared' })
const exclusive = (ino: Ino): TokenWant => ({ ino, mode: 'exclusive' })

test('token habits - a directory changed under the last grant is asked for to be changed', (t) => {
  const habits = new ClientHabits()
  const wants = [shared(D), shared(E)]
  t.is(habits.foresee(wants), wants)
  habits.released(D, true)
  t.alike(habits.foresee(wants), [exclusive(D), shared(E)])
  t.ok(habits.changes(D))
  const page = { ...shared(D), range: { start: 0, end: 4096 } }
  t.alike(habits.foresee([page]), [page], 'a range is of a file')
  habits.released(D, false)
  t.alike(habits.foresee(wants), wants, 'a grant without a change ends it')
})

test('token habits - holding that was of no use is tried less and less, and at once after it was', (t) => {
  const habits = new ClientHabits()
  const skipped = (): number => {
    let recalls = 0
    while (habits.skip(D)) recalls++
    return recalls
  }
  t.is(skipped(), 0)
  const counts = [1, 2, 3, 4, 5, 6].map(() => {
    habits.idled(D, 1)
    return skipped()
  })
  t.alike(counts, [1, 2, 4, 8, 16, 16])
  habits.idled(E, 1)
  habits.busy(D)
  t.is(skipped(), 0)
  habits.idled(D, 1)
  t.is(skipped(), 1, 'it begins anew')
  t.ok(habits.skip(E), 'each inode for itself')
})

test('token habits - what is remembered is bounded, the oldest goes', (t) => {
  const habits = new ClientHabits()
  for (let ino = 1; ino <= 5000; ino++) {
    habits.released(ino as Ino, true)
    habits.idled(ino as Ino, 1)
  }
  t.absent(habits.changes(904 as Ino))
  t.ok(habits.changes(905 as Ino))
  t.absent(habits.skip(904 as Ino))
  t.ok(habits.skip(905 as Ino))
  habits.clear()
  t.absent(habits.changes(5000 as Ino))
  t.absent(habits.skip(5000 as Ino))
})
