import test from 'brittle'
import { type LockOwner, LockSerials, LockTable } from '../../../src/fs/lock/lock-table.ts'
import type { LockType } from '../../../src/fs/ports/lock-service.ts'
import type { MemberId } from '../../../src/fs/primitives.ts'
import { LockModel, type ModelRange } from '../../model/lock-model.ts'
import { Random } from '../../model/random.ts'

type Step = { owner: number; type: LockType | 'unlock' } & ModelRange

const OWNERS: readonly LockOwner[] = [1n, 2n, 3n].map((id, i) => ({
  member: (1 + (i >> 1)) as MemberId,
  kind: 'record',
  id
}))

function ownerAt(index: number): LockOwner {
  const owner = OWNERS[index]
  if (owner === undefined) throw new Error('no such owner')
  return { ...owner }
}

/** Undefined when table and model agree in everything that can be asked. */
function difference(table: LockTable, model: LockModel): string | undefined {
  let count = 0
  for (let o = 0; o < OWNERS.length; o++) {
    const locks = table.locksOf(ownerAt(o))
    count += locks.length
    if (locks.length !== model.pieces(o)) return `owner ${o} has ${locks.length} locks`
    for (let byte = 0; byte < model.bytes; byte++) {
      const at = BigInt(byte)
      const lock = locks.find((l) => l.start <= at && at <= l.end)
      if (lock?.type !== model.at(o, byte)) return `owner ${o} byte ${byte}: ${lock?.type}`
      for (const type of ['read', 'write'] as const) {
        const range = { start: at, end: at }
        const conflict = table.conflict(ownerAt(o), type, range) !== undefined
        if (conflict !== model.conflicts(o, type, { start: byte, end: byte })) {
          return `owner ${o} byte ${byte} ${type}: ${conflict}`
        }
      }
    }
    for (let i = 1; i < locks.length; i++) {
      const [a, b] = [locks[i - 1], locks[i]]
      if (a === undefined || b === undefined || a.end >= b.start) return 'not sorted'
    }
  }
  return table.count === count ? undefined : `count ${table.count}, not ${count}`
}

function apply(table: LockTable, model: LockModel, step: Step): boolean {
  const { owner, type, start, end } = step
  const range = { start: BigInt(start), end: BigInt(end) }
  if (type !== 'unlock') {
    const conflict = table.conflict(ownerAt(owner), type, range) !== undefined
    if (conflict !== model.conflicts(owner, type, step)) return false
    if (conflict) return true
  }
  table.set({ owner: ownerAt(owner), type, ...range, pid: 1, sinceMs: 0 })
  model.set(owner, type, step)
  return true
}

function allSteps(owners: number, bytes: number): Step[] {
  const steps: Step[] = []
  for (let owner = 0; owner < owners; owner++) {
    for (const type of ['read', 'write', 'unlock'] as const) {
      for (let start = 0; start < bytes; start++) {
        for (let end = start; end < bytes; end++) steps.push({ owner, type, start, end })
      }
    }
  }
  return steps
}

function runSteps(steps: readonly Step[], bytes: number): string | undefined {
  const table = new LockTable(new LockSerials())
  const model = new LockModel(bytes)
  for (const step of steps) {
    if (!apply(table, model, step)) return `conflict differs: ${JSON.stringify(steps)}`
  }
  const found = difference(table, model)
  return found === undefined ? undefined : `${found}: ${JSON.stringify(steps)}`
}

test('lock table - every three steps of one owner on five bytes', (t) => {
  const steps = allSteps(1, 5)
  let failed: string | undefined
  for (const a of steps) {
    for (const b of steps) for (const c of steps) failed ??= runSteps([a, b, c], 5)
  }
  t.is(failed, undefined)
})

test('lock table - every pair of steps of three owners on six bytes', (t) => {
  const steps = allSteps(3, 6)
  let failed: string | undefined
  for (const a of steps) for (const b of steps) failed ??= runSteps([a, b], 6)
  t.is(failed, undefined)
})

test('lock table - long random runs of three owners', (t) => {
  let failed: string | undefined
  for (let seed = 1; seed <= 400 && failed === undefined; seed++) {
    const random = new Random(seed)
    const table = new LockTable(new LockSerials())
    const model = new LockModel(12)
    for (let i = 0; i < 120 && failed === undefined; i++) {
      const [a, b] = [random.below(12), random.below(12)]
      const [start, end] = a < b ? [a, b] : [b, a]
      const type = random.pick(['read', 'write', 'unlock'] as const)
      const step: Step = { owner: random.below(3), type, start, end }
      if (!apply(table, model, step)) failed = `seed ${seed} step ${i}: conflict`
      const found = difference(table, model)
      if (found !== undefined) failed = `seed ${seed} step ${i}: ${found}`
    }
  }
  t.is(failed, undefined)
})

test('lock table - kinds do not conflict, the first conflict in Linux order is reported', (t) => {
  const table = new LockTable(new LockSerials())
  const member = 1 as MemberId
  const put = (id: bigint, kind: 'record' | 'flock', start: bigint, end: bigint) => {
    table.set({ owner: { member, kind, id }, type: 'write', start, end, pid: 7, sinceMs: 0 })
  }
  put(5n, 'record', 50n, 59n)
  put(6n, 'record', 10n, 19n)
  put(5n, 'record', 30n, 39n)
  const stranger: LockOwner = { member: 2 as MemberId, kind: 'record', id: 5n }
  const found = table.conflict(stranger, 'read', { start: 0n, end: 100n })
  t.alike([found?.owner.id, found?.start], [5n, 30n], 'owner by owner, each sorted')
  const flock: LockOwner = { member: 2 as MemberId, kind: 'flock', id: 5n }
  t.is(table.conflict(flock, 'write', { start: 0n, end: 100n }), undefined)
})

test('lock table - serials change with growth, not with parts', (t) => {
  const table = new LockTable(new LockSerials())
  const owner: LockOwner = { member: 1 as MemberId, kind: 'record', id: 1n }
  const change = { owner, pid: 1, sinceMs: 0 } as const
  table.set({ ...change, type: 'write', start: 0n, end: 9n })
  const [first] = table.locksOf(owner)
  t.ok(table.set({ ...change, type: 'unlock', start: 4n, end: 5n }), 'weaker')
  t.alike(
    table.locksOf(owner).map(({ serial }) => serial),
    [first?.serial, first?.serial]
  )
  t.absent(table.set({ ...change, type: 'write', start: 4n, end: 5n }), 'not weaker')
  t.unlike(table.locksOf(owner)[0]?.serial, first?.serial)
  t.ok(table.set({ ...change, type: 'read', start: 4n, end: 5n }), 'a downgrade is weaker')
})
