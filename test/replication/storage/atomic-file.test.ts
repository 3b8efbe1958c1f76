import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import type { CheckedFormat } from '../../../src/replication/storage/atomic-file.ts'
import {
  readChecked,
  writeChecked,
  writeFileAtomic
} from '../../../src/replication/storage/atomic-file.ts'
import { DamagedFileError } from '../../../src/replication/storage/storage-errors.ts'
import { flipBit } from './support.ts'

interface Sample {
  readonly text: string
}

const FORMAT: CheckedFormat<Sample> = {
  kind: 'sample',
  version: 3,
  validate: (value) => {
    if (typeof value === 'object' && value && 'text' in value && typeof value.text === 'string') {
      return { text: value.text }
    }
    throw new Error('text is missing')
  }
}

test('writeFileAtomic - replaces, sets the mode, leaves no temporary file', async (t) => {
  const dir = await t.tmp()
  const path = join(dir, 'file')
  writeFileAtomic(path, 'one')
  writeFileAtomic(path, Buffer.from('two'))
  t.is(readFileSync(path, 'utf8'), 'two')
  t.is(statSync(path).mode & 0o777, 0o600)
  t.alike(readdirSync(dir), ['file'])
})

test('writeFileAtomic - a failure leaves the old content and no temporary file', async (t) => {
  const dir = await t.tmp()
  await t.exception(() => writeFileAtomic(join(dir, 'missing', 'file'), 'x'), /ENOENT/)
  writeFileAtomic(join(dir, 'file'), 'old')
  await t.exception(() => writeFileAtomic(join(dir, 'file', 'below'), 'x'), /ENOTDIR/)
  t.is(readFileSync(join(dir, 'file'), 'utf8'), 'old')
  t.alike(readdirSync(dir), ['file'])
})

test('checked file - comes back; absent is undefined', async (t) => {
  const path = join(await t.tmp(), 'file')
  t.is(readChecked(path, FORMAT), undefined)
  writeChecked(path, FORMAT, { text: 'grün\n' })
  t.alike(readChecked(path, FORMAT), { text: 'grün\n' })
})

test('checked file - a flipped bit anywhere is reported', async (t) => {
  const path = join(await t.tmp(), 'file')
  writeChecked(path, FORMAT, { text: 'some text' })
  const size = statSync(path).size
  const sound = readFileSync(path)
  for (let offset = 0; offset < size; offset++) {
    writeFileSync(path, sound)
    flipBit(path, offset)
    try {
      readChecked(path, FORMAT)
      t.fail(`flip at ${offset} was not noticed`)
    } catch (error) {
      if (!(error instanceof DamagedFileError)) throw error
    }
  }
  for (let length = 0; length < size; length++) {
    writeFileSync(path, sound.subarray(0, length))
    await t.exception(() => readChecked(path, FORMAT), /damaged/)
  }
})

test('checked file - another kind, version or shape is reported', async (t) => {
  const path = join(await t.tmp(), 'file')
  writeChecked(path, FORMAT, { text: 'x' })
  await t.exception(() => readChecked(path, { ...FORMAT, kind: 'other' }), /it is a sample/)
  await t.exception(() => readChecked(path, { ...FORMAT, version: 4 }), /version 3 is not known/)
  writeChecked<unknown>(path, FORMAT, { other: 1 })
  await t.exception(() => readChecked(path, FORMAT), /text is missing/)
})
