import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { identifyContent, makeContent } from './content.ts'
import { formatNote, judge, type LoadNote, readNotes } from './load-plan.ts'
import { SeededRandom } from './random.ts'

test('content - every damage is noticed', (t) => {
  const content = makeContent('f', 3, 9000)
  t.alike(identifyContent('f', content), { version: 3, problem: undefined })
  t.ok(identifyContent('g', content).problem, 'content of another file')
  t.ok(identifyContent('f', content.subarray(0, 8999)).problem, 'cut short')
  t.ok(identifyContent('f', Buffer.concat([content, Buffer.from('x')])).problem, 'too long')
  t.ok(identifyContent('f', Buffer.alloc(0)).problem, 'empty')
  const mixed = Buffer.from(content)
  makeContent('f', 2, 9000).copy(mixed, 4096, 4096)
  t.ok(identifyContent('f', mixed).problem, 'two versions mixed')
  for (const at of [0, 30, 4096, 8999]) {
    const flipped = Buffer.from(content)
    flipped.writeUInt8(flipped.readUInt8(at) ^ 4, at)
    t.ok(identifyContent('f', flipped).problem, `bit flipped at ${at}`)
  }
})

test('load notes - what may be found after a crash and what not', async (t) => {
  const path = join(await t.tmp(), 'notes')
  const notes: LoadNote[] = [
    { stage: 'begin', file: 'f', version: 1 },
    { stage: 'done', file: 'f', version: 1 },
    { stage: 'begin', file: 'f', version: 2 },
    { stage: 'done', file: 'f', version: 2 },
    { stage: 'durable', file: 'f', version: 2 },
    { stage: 'begin', file: 'f', version: 3 },
    { stage: 'done', file: 'f', version: 3 },
    { stage: 'begin', file: 'f', version: 0 },
    { stage: 'begin', file: 'g', version: 4 }
  ]
  writeFileSync(path, `${notes.map(formatNote).join('')}durable g`)
  const expectations = readNotes(path)
  const f = expectations.get('f')
  const g = expectations.get('g')
  if (f === undefined || g === undefined) throw new Error('a file is missing in the notes')
  for (const version of [2, 3, 0]) t.absent(judge('f', f, version, undefined), `f ${version}`)
  t.ok(judge('f', f, 1, undefined), 'older than the durable one')
  t.ok(judge('f', f, 9, undefined), 'never written')
  t.ok(judge('f', f, undefined, 'torn'), 'torn')
  for (const version of [4, 0]) t.absent(judge('g', g, version, undefined), `g ${version}`)
})

test('seeded random - repeats and spreads', (t) => {
  const draw = (seed: number): number[] => {
    const random = new SeededRandom(seed)
    return Array.from({ length: 1000 }, () => random.below(10))
  }
  t.alike(draw(7), draw(7), 'the same seed')
  t.unlike(draw(7), draw(8), 'another seed')
  t.is(new Set(draw(7)).size, 10, 'every value')
})
