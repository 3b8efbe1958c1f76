import test from 'brittle'
import {
  findMount,
  parseMountinfoLine,
  readMountinfo
} from '../../../src/mount/mounting/mountinfo.ts'
import { hasSubmounts, liesOn } from '../../../src/mount/mounting/submounts.ts'

test('mountinfo - fields with and without optional ones, escapes decoded', (t) => {
  const line =
    '42 27 0:39 / /mnt/a\\040b\\134c\\011d rw,noatime shared:1 master:2 - fuse.tandemfs vol\\040x rw'
  t.alike(parseMountinfoLine(line), {
    mountId: 42,
    parentId: 27,
    major: 0,
    minor: 39,
    mountPoint: '/mnt/a b\\c\td',
    type: 'fuse.tandemfs',
    source: 'vol x',
    options: 'rw,noatime'
  })
  const plain = parseMountinfoLine('1 0 8:1 / / rw - ext4 /dev/root rw,discard')
  t.is(plain?.mountPoint, '/')
  t.is(plain?.type, 'ext4')
})

test('mountinfo - lines of another form are left out', (t) => {
  for (const line of ['', 'nonsense', '1 2 3 / /mnt rw - ext4 x rw', '1 0 8:1 / /mnt - ext4']) {
    t.is(parseMountinfoLine(line), undefined, line)
  }
})

test('mountinfo - the topmost of stacked mounts is found', (t) => {
  const entries = [
    '1 0 0:5 / /mnt rw - tmpfs below rw',
    '2 1 0:6 / /mnt rw - fuse.tandemfs above rw',
    '3 0 0:7 / /mnt/deeper rw - tmpfs other rw'
  ].flatMap((line) => parseMountinfoLine(line) ?? [])
  t.is(findMount('/mnt', entries)?.source, 'above')
  t.is(findMount('/mn', entries), undefined)
})

test('mountinfo - this system has a root and a proc', (t) => {
  const entries = readMountinfo()
  t.ok(findMount('/', entries))
  t.is(findMount('/proc', entries)?.type, 'proc')
})

test('submounts - what lies on a mount of the device, anywhere', (t) => {
  const entries = [
    '21 1 8:1 / / rw - ext4 /dev/sda1 rw',
    '40 21 0:55 / /mnt/v rw - fuse.tandemfs v rw',
    '41 21 0:55 /d /srv/d rw - fuse.tandemfs v rw'
  ].map((line) => parseMountinfoLine(line))
  const known = entries.filter((entry) => entry !== undefined)
  const device = { major: 0, minor: 55 }
  t.absent(liesOn(device, known))
  const below = parseMountinfoLine('50 41 0:60 / /srv/d/cache rw - tmpfs none rw')
  t.ok(below !== undefined && liesOn(device, [...known, below]), 'on a bind mount of it')
  t.absent(liesOn({ major: 0, minor: 56 }, known))
  t.absent(hasSubmounts('/no/such/mount', { everywhere: true }))
})
