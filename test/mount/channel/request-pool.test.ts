import test from 'brittle'
import { RequestPool } from '../../../src/mount/channel/request-pool.ts'

const MAX = 256 * 1024

function makePool(budgetBytes: number): { pool: RequestPool; rooms: () => number } {
  let rooms = 0
  const pool = new RequestPool({ requestMaxBytes: MAX, budgetBytes, onRoom: () => rooms++ })
  return { pool, rooms: () => rooms }
}

function takeFilled(pool: RequestPool, byte: number): Buffer {
  const buffer = pool.takeReadBuffer()
  if (buffer === undefined) throw new Error('no read buffer')
  return buffer.fill(byte)
}

test('request pool - a small request is a copy, a large one takes the read buffer', (t) => {
  const { pool } = makePool(4 * MAX)
  for (const [sizeBytes, consumed] of [
    [40, false],
    [1024, false],
    [1025, false],
    [8192, false],
    [131152, false],
    [139264, false],
    [139265, true],
    [MAX, true]
  ] as const) {
    const buffer = takeFilled(pool, 7)
    const accepted = pool.accept(buffer, sizeBytes)
    t.is(accepted.consumed, consumed, `${sizeBytes} bytes`)
    t.is(accepted.request.length, sizeBytes)
    if (!consumed) pool.putReadBuffer(buffer.fill(9))
    t.ok(accepted.request.every((byte) => byte === 7))
    accepted.release()
    t.is(pool.heldBytes, 0)
  }
})

test('request pool - a release makes room once the budget was used up', (t) => {
  const { pool, rooms } = makePool(2 * MAX)
  const first = pool.accept(takeFilled(pool, 1), MAX)
  const second = pool.accept(takeFilled(pool, 2), MAX)
  t.is(pool.takeReadBuffer(), undefined)
  t.is(pool.heldBytes, 2 * MAX)
  t.is(rooms(), 0)
  first.release()
  t.is(rooms(), 1)
  second.release()
  t.is(rooms(), 1, 'said once')
  t.is(pool.heldBytes, 0)
})

test('request pool - small requests without room for a slot take the read buffer', (t) => {
  const { pool, rooms } = makePool(MAX)
  const accepted = pool.accept(takeFilled(pool, 3), 100)
  t.ok(accepted.consumed)
  t.is(pool.takeReadBuffer(), undefined)
  accepted.release()
  t.is(rooms(), 1)
})

test('request pool - releasing twice is refused', async (t) => {
  const { pool } = makePool(2 * MAX)
  const { release } = pool.accept(takeFilled(pool, 1), 100)
  release()
  await t.exception(() => release(), /released twice/)
})

test('request pool - a budget below one request is refused', async (t) => {
  await t.exception(() => makePool(MAX - 1), /budget/)
})

test('request pool - free buffers of one size make way for another size', (t) => {
  const { pool } = makePool(8 * MAX)
  const before = process.memoryUsage().arrayBuffers
  for (const sizeBytes of [MAX, 1000, 8000, 100_000, MAX, 1000]) {
    const held: (() => void)[] = []
    for (;;) {
      const buffer = pool.takeReadBuffer()
      if (buffer === undefined) break
      const { release, consumed } = pool.accept(buffer, sizeBytes)
      held.push(release)
      if (!consumed) pool.putReadBuffer(buffer)
    }
    t.ok(pool.heldBytes <= 8 * MAX, `${held.length} requests of ${sizeBytes} bytes held`)
    for (const release of held) release()
    t.is(pool.heldBytes, 0)
  }
  globalThis.gc?.()
  t.comment(`${process.memoryUsage().arrayBuffers - before} bytes more`)
})
