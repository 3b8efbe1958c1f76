import test, { type Test } from 'brittle'
import { checkHistory } from './check.ts'
import type { Fault, FoundState, Judged } from './judged.ts'
import { type Operation, parseHistory } from './operations.ts'

const NODES = { a1: 'A', b1: 'B' } as const
type Tag = keyof typeof NODES

/** Operation of `tag` from `beginUs` on, 10 us long unless said otherwise. */
function op(
  tag: Tag,
  kind: Operation['kind'],
  object: string,
  value: number,
  beginUs: number,
  other: Partial<Operation> = {}
): Operation {
  const node = NODES[tag]
  return { tag, node, kind, object, value, beginUs, endUs: beginUs + 10, result: 'ok', ...other }
}

function line(tag: Tag, number: number): string {
  return `${tag} ${number} ${'x'.repeat(30)}!\n`
}

const GOOD: readonly Operation[] = [
  op('a1', 'putSync', 'f', 1, 100),
  op('b1', 'read', 'f', 1, 120),
  op('a1', 'put', 'f', 2, 140),
  op('b1', 'read', 'f', 2, 160),
  op('a1', 'lock', 'mbox', 1, 200),
  op('a1', 'line', 'mbox', 1, 220),
  op('a1', 'sync', 'mbox', 1, 240),
  op('a1', 'unlock', 'mbox', 1, 260),
  op('b1', 'lock', 'mbox', 1, 205, { endUs: 275 }),
  op('b1', 'line', 'mbox', 1, 280),
  op('b1', 'unlock', 'mbox', 1, 300),
  op('a1', 'line', 'log', 1, 320),
  op('b1', 'line', 'log', 1, 340),
  op('a1', 'sync', 'log', 1, 360),
  op('a1', 'count', 'counter', 1, 400),
  op('b1', 'count', 'counter', 2, 420),
  op('a1', 'move', 'a1', 1, 440),
  op('a1', 'move', 'a1', 0, 460)
]

const FOUND: FoundState = {
  files: { f: 2 },
  moved: { a1: ['left'] },
  log: line('a1', 1) + line('b1', 1),
  mbox: line('a1', 1) + line('b1', 1),
  counter: 2,
  hash: 'same'
}

interface Change {
  readonly operations?: readonly Operation[]
  readonly faults?: readonly Fault[]
  /** What every node finds; of `onB` only B. */
  readonly found?: Partial<FoundState>
  readonly onB?: Partial<FoundState>
}

function judged(change: Change): Judged {
  const found = { ...FOUND, ...change.found }
  return {
    operations: change.operations ?? GOOD,
    faults: change.faults ?? [],
    found: new Map([
      ['A', found],
      ['B', { ...found, ...change.onB }]
    ])
  }
}

function without(kind: Operation['kind'], object: string): Operation[] {
  return GOOD.filter((operation) => operation.kind !== kind || operation.object !== object)
}

function finds(t: Test, what: string, change: Change, pattern: RegExp): void {
  const problems = checkHistory(judged(change))
  t.ok(
    problems.some((problem) => pattern.test(problem)),
    `${what}: ${problems.slice(0, 3).join('; ') || 'nothing found'}`
  )
}

function accepts(t: Test, what: string, change: Change): void {
  t.alike(checkHistory(judged(change)), [], what)
}

const aFault: Fault = { node: 'A', fromUs: 330, untilUs: 900 }
const bFault: Fault = { node: 'B', fromUs: 100, untilUs: 900 }

test('history - what is right passes', (t) => {
  accepts(t, 'as it is', {})
  accepts(t, 'with a fault that took nothing', { faults: [aFault] })
  const overlapping = [
    ...GOOD,
    op('a1', 'putSync', 'f', 3, 500, { endUs: 600 }),
    op('b1', 'read', 'f', 2, 550)
  ]
  accepts(t, 'an old version while it is being replaced', {
    operations: overlapping,
    found: { files: { f: 3 } }
  })
})

test('history - locks', (t) => {
  const early = GOOD.map((operation) =>
    operation.tag === 'b1' && operation.kind === 'lock' ? { ...operation, endUs: 250 } : operation
  )
  finds(t, 'granted before it was released', { operations: early }, /mbox held twice/)
  const cutOff = early.filter(({ tag, kind }) => tag !== 'a1' || kind !== 'unlock')
  const fault = { node: 'A', fromUs: 230, untilUs: 900 }
  accepts(t, 'granted after the holder died', {
    operations: cutOff.filter(({ tag, kind }) => tag !== 'a1' || kind !== 'sync'),
    faults: [fault]
  })
  const used = [...cutOff, op('a1', 'line', 'mbox', 2, 290)]
  finds(t, 'used by both, one of them frozen', { operations: used, faults: [fault] }, /held twice/)
})

test('history - counter', (t) => {
  const twice = [...GOOD, op('b1', 'count', 'counter', 1, 405, { endUs: 425 })]
  finds(t, 'same value', { operations: twice }, /given twice/)
  const back = [...without('count', 'counter'), op('a1', 'count', 'counter', 5, 400)]
  finds(
    t,
    'smaller later',
    { operations: [...back, op('b1', 'count', 'counter', 4, 420)], found: { counter: 5 } },
    /went back/
  )
  finds(t, 'durable value lost', { onB: { counter: 1 } }, /counter on B: 1/)
})

test('history - files', (t) => {
  finds(t, 'durable version lost', { found: { files: { f: 0 } } }, /0 found where 2/)
  finds(t, 'lost on one node', { onB: { files: { f: 1 } } }, /1 found where 2/)
  finds(t, 'what was seen vanished', { faults: [aFault], found: { files: { f: 1 } } }, /1 found/)
  const unseen = GOOD.filter(({ kind, value }) => kind !== 'read' || value !== 2)
  accepts(t, 'unseen and not durable, its node died', {
    operations: unseen,
    faults: [aFault],
    found: { files: { f: 1 } }
  })
  finds(
    t,
    'durable and unseen, its node died',
    { operations: unseen, faults: [aFault], found: { files: {} } },
    /0 found where 1/
  )
  const stale = [...GOOD, op('b1', 'read', 'f', 1, 170)]
  finds(t, 'stale read', { operations: stale }, /1 found where 2/)
  const early = [...GOOD, op('b1', 'read', 'f', 2, 115)]
  finds(t, 'read before it was written', { operations: early }, /2 found where 1/)
  const torn = [...GOOD, op('b1', 'read', 'f', -1, 500, { result: 'torn' })]
  finds(t, 'two versions in one', { operations: torn }, /not one whole version/)
  finds(t, 'torn in the end', { onB: { files: { f: 'differs at 64' } } }, /f on B: differs/)
  finds(t, 'from nowhere', { found: { files: { f: 2, g: 1 } } }, /nobody wrote it/)
  const removed = [...GOOD, op('a1', 'removeSync', 'f', 3, 500)]
  accepts(t, 'removed', { operations: removed, found: { files: {} } })
  finds(t, 'back again', { operations: removed }, /2 found where 3/)
})

test('history - late writes of a node that had lost its lease', (t) => {
  const fault = { node: 'A', fromUs: 480, untilUs: 900, lateFromUs: 490 }
  const put = op('a1', 'put', 'f', 3, 500, { result: 'EIO' })
  const append = op('a1', 'line', 'log', 2, 520, { result: 'EIO' })
  const operations = [...GOOD, put, append]
  accepts(t, 'refused and not there', { operations, faults: [fault] })
  finds(
    t,
    'refused, but there',
    { operations, faults: [fault], found: { files: { f: 3 } } },
    /3 found where 2/
  )
  const log = `${FOUND.log}${line('a1', 2)}`
  finds(t, 'late line', { operations, faults: [fault], found: { log } }, /late line/)
  const seen = [...operations, op('b1', 'read', 'f', 3, 600)]
  finds(t, 'seen for a moment', { operations: seen, faults: [fault] }, /3 found where 2/)
})

test('history - lines', (t) => {
  const [first, second] = [line('a1', 1), line('b1', 1)]
  finds(t, 'durable line lost', { faults: [aFault], found: { log: second } }, /durable line lost/)
  finds(t, 'line of a healthy node lost', { found: { log: first } }, /lost: b1 line log 1/)
  accepts(t, 'not durable, its node died', { faults: [bFault], found: { log: first } })
  finds(t, 'lost on one node', { onB: { mbox: first } }, /mbox on B: lost: b1/)
  finds(t, 'cut line', { found: { log: first + second.slice(0, -5) } }, /last line is not whole/)
  const mixed = `${first.slice(0, 12)}${second}`
  finds(t, 'mixed lines', { found: { log: mixed } }, /line 1 is not whole/)
  finds(t, 'zeros', { found: { log: `${first}${'\0'.repeat(9)}${second}` } }, /not whole/)
  finds(t, 'twice', { found: { log: first + second + first } }, /is there twice/)
  finds(t, 'wrong order', { found: { log: second + first } }, /stands after/)
  finds(t, 'from nowhere', { found: { log: first + second + line('b1', 7) } }, /nobody wrote/)
  const reopened = [
    ...without('sync', 'log'),
    op('a1', 'line', 'log', 2, 370, { result: 'EIO' }),
    op('a1', 'sync', 'log', 2, 390)
  ]
  accepts(t, 'sync through a new handle after an error', {
    operations: reopened,
    faults: [aFault],
    found: { log: second }
  })
})

test('history - renames, refusals, trees', (t) => {
  finds(t, 'in two places', { found: { moved: { a1: ['left', 'right'] } } }, /left and right/)
  finds(t, 'nowhere', { onB: { moved: {} } }, /on B: is nowhere/)
  finds(t, 'not whole', { found: { moved: { a1: ['left: no header'] } } }, /no header/)
  finds(t, 'moved back', { found: { moved: { a1: ['right'] } } }, /in right again/)
  const refused = [...GOOD, op('b1', 'read', 'f', 0, 500, { result: 'EIO' })]
  finds(t, 'refused', { operations: refused }, /refused without a fault/)
  accepts(t, 'refused in a fault', { operations: refused, faults: [bFault] })
  finds(t, 'refused in a fault of another', { operations: refused, faults: [aFault] }, /refused/)
  const never = { endUs: Number.POSITIVE_INFINITY, result: 'none' }
  const hung = [...GOOD, op('b1', 'read', 'f', 0, 500, never)]
  finds(t, 'never answered', { operations: hung }, /never answered/)
  finds(t, 'other tree', { onB: { hash: 'other' } }, /trees differ/)
})

test('history - is read as the load writes it', (t) => {
  const text = [
    'b 1 100 put a1-3 7',
    's 105 30000 write ok',
    'e 1 30110 ok 7',
    'b 2 30120 read b1-0 0',
    'e 2 30130 ok 4',
    'b 3 30140 lock mbox 9',
    'b 4 301'
  ].join('\n')
  const { operations, slowCalls } = parseHistory(text, 'A', 'a1')
  t.is(operations.length, 3)
  t.alike(operations[0], op('a1', 'put', 'a1-3', 7, 100, { endUs: 30_110 }))
  t.is(operations[1]?.value, 4, 'of a read what was found')
  t.is(operations[2]?.result, 'none', 'cut off with its process')
  t.alike(slowCalls, [
    { tag: 'a1', node: 'A', call: 'write', fromUs: 105, durationUs: 30_000, result: 'ok' }
  ])
  t.exception(() => parseHistory('e 5 100 ok 1\n', 'A', 'a1'), 'an end without a begin')
  t.exception(() => parseHistory('b 5 100 sing a1 1\n', 'A', 'a1'), 'an unknown operation')
})
