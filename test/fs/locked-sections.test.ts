import test from 'brittle'
import type { HandleId } from '../../src/fs/filesystem-api.ts'
import { LockedSections } from '../../src/fs/locked-sections.ts'
import { RANGE_END } from '../../src/fs/ports/token-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'

const INO = 100 as Ino
const OTHER = 101 as Ino
const H1 = 1 as HandleId
const H2 = 2 as HandleId

const range = (start: number, end: number) => ({ start, end })

test('locked sections - what one used the next is expected to use', (t) => {
  const sections = new LockedSections()
  t.is(sections.expected(INO, H1, 'write'), undefined, 'nothing is known')
  sections.begin(H1, 'write')
  sections.used(H1, range(10, 11), false)
  sections.used(H1, range(5, 6), true)
  t.alike(sections.end(INO, H1), range(5, 11))
  const want = { ino: INO, mode: 'exclusive', range: range(5, 11) } as const
  t.alike(sections.expected(INO, H1, 'write'), want)
  t.alike(sections.expected(INO, H2, 'write'), want, 'through another handle of the inode')
  t.alike(sections.expected(INO, H2, 'read'), { ...want, mode: 'shared' })
  t.is(sections.expected(OTHER, H2, 'write'), undefined)
})

test('locked sections - a handle is remembered before its inode', (t) => {
  const sections = new LockedSections()
  for (const handle of [H1, H2]) {
    sections.begin(handle, 'write')
    sections.used(handle, range(0, 4), handle === H1)
    sections.end(INO, handle)
  }
  t.is(sections.expected(INO, H1, 'write')?.mode, 'exclusive')
  t.is(sections.expected(INO, H2, 'write')?.mode, 'shared')
  sections.close(H1)
  t.is(sections.expected(INO, H1, 'write')?.mode, 'shared', 'closed: the inode counts')
})

test('locked sections - reads are expected to be written back as they were the last time', (t) => {
  const sections = new LockedSections()
  t.absent(sections.expectsWrite(INO, H1, true), 'outside')
  sections.begin(H1, 'read')
  t.absent(sections.expectsWrite(INO, H1, true), 'under a read lock')
  sections.begin(H1, 'write')
  t.ok(sections.expectsWrite(INO, H1, true), 'the first time, if it may')
  t.absent(sections.expectsWrite(INO, H1, false))
  sections.used(H1, range(0, 1), false)
  sections.end(INO, H1)
  sections.begin(H1, 'write')
  t.absent(sections.expectsWrite(INO, H1, true), 'the last time nothing was written')
  sections.used(H1, range(0, RANGE_END), true)
  sections.end(INO, H1)
  sections.begin(H1, 'write')
  t.ok(sections.expectsWrite(INO, H1, true))
})

test('locked sections - a section without use ends without a trace', (t) => {
  const sections = new LockedSections()
  t.is(sections.end(INO, H1), undefined, 'none')
  sections.begin(H1, 'write')
  t.is(sections.end(INO, H1), undefined)
  t.absent(sections.isInside(H1))
  sections.used(H1, range(0, 1), true)
  t.is(sections.end(INO, H1), undefined, 'used outside')
  t.is(sections.expected(INO, H1, 'write'), undefined)
})

test('locked sections - the oldest are forgotten', (t) => {
  const sections = new LockedSections()
  const use = (ino: number) => {
    sections.begin(H1, 'write')
    sections.used(H1, range(0, 1), true)
    sections.end(ino as Ino, H1)
  }
  for (let ino = 1; ino <= 5000; ino++) use(ino)
  t.is(sections.expected(1 as Ino, H2, 'write'), undefined)
  t.ok(sections.expected(5000 as Ino, H2, 'write') !== undefined)
})
