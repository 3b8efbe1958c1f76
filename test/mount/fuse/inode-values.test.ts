import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import { InodeValues } from '../../../src/mount/fuse/inode-values.ts'
import { Random } from '../../sim/random.ts'

test('inode values - does what a Map does, while it grows and shrinks', (t) => {
  const random = new Random(7)
  const values = new InodeValues()
  const model = new Map<Ino, number>()
  const inos: Ino[] = []
  for (let i = 0; i < 6000; i++) {
    const base = random.below(3) === 0 ? 1 : (1 + random.below(5)) * 2 ** 45
    inos.push((base + random.below(20_000)) as Ino)
  }
  for (const [steps, deletes] of [
    [20_000, 1],
    [20_000, 9],
    [20_000, 3]
  ] as const) {
    for (let step = 0; step < steps; step++) {
      const ino = inos[random.below(inos.length)] ?? (1 as Ino)
      if (random.below(10) < deletes) {
        values.delete(ino)
        model.delete(ino)
      } else {
        values.set(ino, step)
        model.set(ino, step)
      }
    }
    t.is(values.size, model.size)
    const wrong = inos.filter((ino) => values.get(ino) !== model.get(ino))
    t.alike(wrong, [])
    t.alike(new Map(values.entries()), model)
  }
})

test('inode values - what is no inode has no value, also where one was taken out', (t) => {
  const values = new InodeValues()
  for (let ino = 1; ino <= 500; ino++) values.set(ino as Ino, ino)
  for (let ino = 1; ino <= 500; ino++) values.delete(ino as Ino)
  t.is(values.get(0), undefined)
  values.delete(0 as Ino)
  t.is(values.size, 0)
})
