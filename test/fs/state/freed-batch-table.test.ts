import { copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { ByteWriter, DecodeError } from '../../../src/fs/byte-codec.ts'
import { SLICE_MAX_BYTES } from '../../../src/fs/op.ts'
import type { FreedSlice } from '../../../src/fs/ports/state-machine.ts'
import type { Epoch, FreedBatchId, SegmentId } from '../../../src/fs/primitives.ts'
import { BATCH_SLICES } from '../../../src/fs/state/freed-batch-table.ts'
import { readFreedSlices, writeFreedSlices } from '../../../src/fs/state/freed-slices-codec.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { StateDamagedError } from '../../../src/fs/state/state-damaged-error.ts'
import type { StateStore } from '../../../src/fs/state/state-store.ts'
import { Random } from '../../model/random.ts'
import { freedSlices } from '../fixture.ts'

const ALL = Number.MAX_SAFE_INTEGER

function slice(segment: number, offset: number, length = 10): FreedSlice {
  return { segment: segment as SegmentId, offset, length }
}

function commit(state: StateStore): void {
  state.commit({ epoch: 1 as Epoch, applied: new Map() })
}

function encoded(slices: readonly FreedSlice[]): Buffer {
  const w = new ByteWriter()
  writeFreedSlices(w, [...slices])
  return w.finish()
}

/** What a crash would leave. */
async function crashed(directory: string, copy: string): Promise<StateStore> {
  mkdirSync(copy, { recursive: true })
  for (const name of ['state.db', 'state.db-wal']) {
    if (existsSync(join(directory, name))) copyFileSync(join(directory, name), join(copy, name))
  }
  return openState(copy)
}

test('freed slices codec - comes back in the order of places', (t) => {
  const last = 2 ** 53 - 1
  const slices = [
    slice(last, 2 ** 52 - 1, SLICE_MAX_BYTES),
    slice(5, 4096, 100),
    slice(0, 7),
    slice(5, 0, 4096),
    slice(5, 2, 3)
  ]
  const sorted = [slices[2], slices[3], slices[4], slices[1], slices[0]]
  t.alike(readFreedSlices(encoded(slices)), sorted, 'whatever lies in another')
  const random = new Random(1)
  const many = Array.from({ length: 500 }, () => {
    return slice(2 ** 44 + random.below(4), random.below(2 ** 28), 1 + random.below(5000))
  })
  const bytes = encoded(many)
  t.ok(bytes.length < 500 * 8, `${bytes.length} bytes`)
  const key = ({ segment, offset, length }: FreedSlice) => `${segment}:${offset}+${length}`
  t.alike(readFreedSlices(bytes).map(key).sort(), many.map(key).sort())
})

test('freed slices codec - other bytes are refused', (t) => {
  const good = encoded([slice(5, 0), slice(5, 10), slice(6, 3)])
  for (let length = 0; length < good.length; length++) {
    if (length === encoded([slice(5, 0), slice(5, 10)]).length) continue
    t.exception(() => readFreedSlices(good.subarray(0, length)), DecodeError)
  }
  const w = () => new ByteWriter().u56(5)
  const bad = [
    w().uint(0),
    w().uint(1).int(-1).uint(10),
    w().uint(1).int(3).uint(0),
    w()
      .uint(1)
      .int(3)
      .uint(SLICE_MAX_BYTES + 1),
    w()
      .uint(2)
      .int(2 ** 52 - 1)
      .uint(10)
      .int(0)
      .uint(10),
    w()
      .uint(2 ** 40)
      .int(0)
      .uint(10)
  ]
  for (const one of bad) t.exception(() => readFreedSlices(one.finish()), DecodeError)
  const random = new Random(2)
  for (let i = 0; i < 2000; i++) {
    const bytes = Buffer.from(good)
    for (let flips = 1 + random.below(3); flips > 0; flips--) {
      bytes[random.below(bytes.length)] = random.below(256)
    }
    try {
      readFreedSlices(bytes)
    } catch (error) {
      if (!(error instanceof DecodeError)) t.fail(String(error))
    }
  }
})

test('freed batches - whoever asks finds what was freed just now', async (t) => {
  const state = openState(await t.tmp())
  t.teardown(() => state.close())
  const { freed } = state.tables
  t.alike(state.freedBatches(ALL), [])
  for (let i = 0; i < BATCH_SLICES + 3; i++) freed.add(slice(5, i * 10))
  const batches = state.freedBatches(ALL)
  t.alike(
    batches.map(({ slices }) => slices.length),
    [BATCH_SLICES, 3]
  )
  t.is(state.freedBatches(1).length, 1)
  t.is(state.freedBatches(BATCH_SLICES).length, 1)
  t.is(state.freedBatches(BATCH_SLICES + 1).length, 2)
  state.forgetFreed(batches.slice(0, 1).map(({ id }) => id))
  state.forgetFreed([77 as FreedBatchId])
  t.is(freedSlices(state).length, 3)
})

test('freed batches - a crash takes away what was freed after the commit, and no more', async (t) => {
  const directory = await t.tmp()
  const scratch = await t.tmp()
  const state = openState(directory)
  t.teardown(() => state.close())
  const { freed } = state.tables
  freed.add(slice(5, 0))
  let left = await crashed(directory, join(scratch, 'before'))
  t.alike(freedSlices(left), [], 'with the change that freed it')
  left.close()
  commit(state)
  for (let i = 1; i <= BATCH_SLICES + 1; i++) freed.add(slice(5, i * 10))
  left = await crashed(directory, join(scratch, 'after'))
  t.alike(freedSlices(left), [slice(5, 0)])
  left.close()
  commit(state)
  state.forgetFreed(state.freedBatches(1).map(({ id }) => id))
  left = await crashed(directory, join(scratch, 'forgotten'))
  t.is(freedSlices(left).length, BATCH_SLICES + 2, 'forgotten with the next commit')
  left.close()
})

test('freed batches - are there after a restart, those without a commit are not', async (t) => {
  const directory = await t.tmp()
  const first = openState(directory)
  first.tables.freed.add(slice(5, 0))
  commit(first)
  first.tables.freed.add(slice(5, 10))
  t.is(freedSlices(first).length, 2)
  first.close()
  t.exception(() => first.freedBatches(1), /closed/)
  const second = openState(directory)
  t.alike(freedSlices(second), [slice(5, 0)])
  second.forgetFreed(second.freedBatches(ALL).map(({ id }) => id))
  commit(second)
  second.close()
  const third = openState(directory)
  t.alike(freedSlices(third), [])
  third.close()
})

test('freed batches - a row that is no batch is damage', async (t) => {
  const state = openState(await t.tmp())
  t.teardown(() => state.close())
  state.database.exec("INSERT INTO freed_batch VALUES (9, x'00')")
  t.exception(() => state.freedBatches(1), StateDamagedError)
  t.exception(() => commit(state), /failed before/)
})
