import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { setReadAhead } from '../../../src/mount/mounting/read-ahead.ts'

test('read-ahead - set for the device of the mount, left alone where there is none', async (t) => {
  const bdi = await t.tmp()
  const file = join(bdi, '0:57', 'read_ahead_kb')
  mkdirSync(join(bdi, '0:57'))
  writeFileSync(file, '128\n')
  setReadAhead(57, bdi)
  t.is(readFileSync(file, 'utf8'), '1024\n')
  setReadAhead(58, bdi)
  await t.exception(() => setReadAhead(58, join(file, 'below')), /ENOTDIR/)
})
