import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import type { Dentry } from '../../../src/fs/state/dentry-table.ts'
import { RecentLookups } from '../../../src/fs/state/recent-lookups.ts'

const D = 1 as Ino
const E = 2 as Ino

function open() {
  const lookups = new RecentLookups()
  const asked: string[] = []
  const get = (parent: Ino, text: string, found?: Dentry) =>
    lookups.get(parent, Buffer.from(text), () => {
      asked.push(`${parent}/${text}`)
      return found
    })
  return { lookups, asked, get }
}

test('recent lookups - the same question is answered once, by name and directory', (t) => {
  const { asked, get } = open()
  const entry: Dentry = { parent: D, name: Buffer.from('a'), ino: 7 as Ino, type: 0, cookie: 3 }
  t.is(get(D, 'a', entry), entry)
  t.is(get(D, 'a'), entry)
  t.is(get(D, 'ab'), undefined)
  t.is(get(D, 'ab', entry), undefined, 'what is not there is an answer, too')
  t.is(get(E, 'a'), undefined)
  t.alike(asked, ['1/a', '1/ab', '2/a'])
})

test('recent lookups - a change forgets all of them, many others the oldest', (t) => {
  const { lookups, asked, get } = open()
  get(D, 'a')
  lookups.forget()
  get(D, 'a')
  for (const other of ['b', 'c', 'd']) get(D, other)
  get(D, 'a')
  get(D, 'e')
  get(D, 'a')
  t.alike(asked, ['1/a', '1/a', '1/b', '1/c', '1/d', '1/e', '1/a'])
})

test('recent lookups - the name that was asked for may change afterwards', (t) => {
  const lookups = new RecentLookups()
  const name = Buffer.from('abc')
  lookups.get(D, name, () => undefined)
  name.write('xyz')
  let looked = 0
  lookups.get(D, name, () => {
    looked++
    return undefined
  })
  lookups.get(D, Buffer.from('abc'), () => {
    looked++
    return undefined
  })
  t.is(looked, 1)
})
