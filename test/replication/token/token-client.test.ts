import test from 'brittle'
import { RANGE_END, type TokenMode, type TokenWant } from '../../../src/fs/ports/token-service.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { TokenClient } from '../../../src/replication/token/token-client.ts'
import type {
  ClientEffect,
  ClientEvent,
  ClientOptions
} from '../../../src/replication/token/token-client-events.ts'
import type { ToClient } from '../../../src/replication/token/token-message.ts'
import { endOf, startOf } from '../../../src/replication/token/token-range.ts'

const D = 10 as Ino
const F = 100 as Ino
const G = 101 as Ino
const NOTHING = new Map()

function want(mode: TokenMode, ...inos: Ino[]): TokenWant[] {
  return inos.map((ino) => ({ ino, mode }))
}

/** A client in its first epoch that says in short what it does. */
class Desk {
  readonly client: TokenClient
  #waiter = 0

  constructor(options: Partial<ClientOptions> = {}) {
    this.client = new TokenClient({ minHoldMs: 0, ...options })
    this.client.step({ type: 'epoch' })
  }

  step(event: ClientEvent): string[] {
    return this.client.step(event).map((effect) => {
      switch (effect.type) {
        case 'send': {
          const { message } = effect
          if (message.type === 'want') return `want ${message.request}`
          if (message.type === 'cancel') return `cancel ${message.request}`
          if (message.type === 'note-ack') return `note-ack ${message.number}`
          if (message.type === 'query') return `query ${message.request} ${message.ino}`
          if (message.type === 'probed') return `probed ${message.number} ${message.idle}`
          return `release ${message.items.map((i) => `${i.ino}#${i.grant} ${i.left}`)}`
        }
        case 'asked':
          return `asked ${effect.request} ${effect.fresh}`
        case 'acquired':
        case 'failed':
          return `${effect.type} ${effect.waiter}`
        case 'wait-applied':
        case 'flush':
        case 'drop-caches':
          return `${effect.type} ${effect.task}`
        case 'hold-timer':
          return `hold ${effect.ino}#${effect.grant} ${effect.delayMs}`
        case 'violation':
          return `violation ${effect.reason}`
        case 'sealed':
          return 'sealed'
      }
      return ''
    })
  }

  hear(message: ToClient, nowMs = 0): string[] {
    return this.step({ type: 'message', message, nowMs })
  }

  acquire(mode: TokenMode, ...inos: Ino[]): string[] {
    return this.step({ type: 'acquire', waiter: ++this.#waiter, wants: want(mode, ...inos) })
  }

  release(mode: TokenMode, ...inos: Ino[]): string[] {
    return this.step({ type: 'release', wants: want(mode, ...inos) })
  }

  grant(request: number, ino: Ino, grant: number): string[] {
    const items = [{ ino, mode: grant > 0 ? 'exclusive' : 'shared', grant } as const]
    return this.hear({ type: 'grant', request, items, vector: NOTHING })
  }

  applied(task: number, nowMs = 0): string[] {
    return this.step({ type: 'applied', task, nowMs })
  }

  note(number: number, ...inos: Ino[]): string[] {
    return this.hear({ type: 'note', number, items: inos.map((ino) => ({ ino })) })
  }

  recall(ino: Ino, grant: number, left: 'shared' | 'none', nowMs = 0): string[] {
    return this.hear({ type: 'recall', items: [{ ino, grant, left }] }, nowMs)
  }

  flushed(task: number): string[] {
    return this.step({ type: 'flushed', task, vector: NOTHING })
  }

  /** Has exclusive on the inode, without a guard. */
  hold(ino: Ino, request = 1, grant = 1): void {
    this.acquire('exclusive', ino)
    const [wait] = this.grant(request, ino, grant)
    this.applied(Number(wait?.split(' ')[1]))
    this.release('exclusive', ino)
  }
}

test('token client - waiters that want the same share one request', (t) => {
  const desk = new Desk()
  t.alike(desk.acquire('exclusive', F), ['want 1'])
  t.alike(desk.acquire('shared', F), ['acquired 2'], 'still shared')
  t.alike(desk.acquire('exclusive', F), [])
  t.alike(desk.step({ type: 'cancel', waiter: 1 }), [], 'another one waits for it')
  t.alike(desk.grant(1, F, 1), ['wait-applied 1'])
  t.alike(desk.applied(1), ['acquired 3'])
})

test('token client - a note waits for running guards and for the caches', (t) => {
  const desk = new Desk()
  desk.client.tryAcquire(want('shared', F))
  t.alike(desk.note(1, F, G), [])
  t.absent(desk.client.tryAcquire(want('shared', F)), 'no newcomer')
  t.alike(desk.release('shared', F), ['drop-caches 1'])
  t.alike(desk.step({ type: 'dropped', task: 1 }), ['note-ack 1'])
  t.alike(desk.acquire('shared', F), ['want 1'])
})

test('token client - a note behind a grant waits until the grant was of use', (t) => {
  const desk = new Desk()
  desk.note(1, F)
  desk.acquire('shared', F)
  t.alike(desk.grant(1, F, 0), ['wait-applied 2'])
  t.alike(desk.note(2, F), [])
  t.alike(desk.applied(2), ['acquired 1'])
  t.alike(desk.release('shared', F), ['drop-caches 3'])
})

test('token client - a recall is obeyed at the end of the minimum hold time', (t) => {
  const desk = new Desk({ minHoldMs: 5 })
  desk.hold(F)
  t.alike(desk.recall(F, 1, 'shared', 2), ['hold 100#1 1'])
  t.ok(desk.client.tryAcquire(want('exclusive', F)), 'local operations go on')
  t.alike(desk.step({ type: 'hold-elapsed', ino: F, grant: 1, nowMs: 3 }), ['hold 100#1 1'])
  t.ok(desk.client.tryAcquire(want('exclusive', F)))
  desk.release('exclusive', F)
  t.alike(desk.step({ type: 'hold-elapsed', ino: F, grant: 1, nowMs: 5 }), [])
  t.absent(desk.client.tryAcquire(want('exclusive', F)))
  t.ok(desk.client.tryAcquire(want('shared', F)), 'readers are not in the way')
  t.alike(desk.release('exclusive', F), ['flush 2'])
  t.alike(desk.flushed(2), ['release 100#1 shared'])
})

test('token client - nothing is left only after readers ended and caches are dropped', (t) => {
  const desk = new Desk()
  desk.hold(F)
  desk.client.tryAcquire(want('shared', F))
  t.alike(desk.recall(F, 1, 'none'), [])
  t.alike(desk.release('shared', F), ['drop-caches 2'])
  t.alike(desk.step({ type: 'dropped', task: 2 }), ['flush 2'])
  t.alike(desk.flushed(2), ['release 100#1 none'])
  t.absent(desk.client.tryAcquire(want('shared', F)))
})

test('token client - a new grant of the same inode makes the release void', (t) => {
  const desk = new Desk()
  desk.hold(F)
  t.alike(desk.recall(F, 1, 'shared'), ['flush 2'])
  t.alike(desk.grant(9, F, 2), ['wait-applied 3'])
  t.alike(desk.flushed(2), [])
  t.alike(desk.recall(F, 1, 'shared'), [], 'an old number')
})

test('token client - a grant nobody waits for is given back at once', (t) => {
  const desk = new Desk()
  desk.acquire('exclusive', F)
  t.alike(desk.step({ type: 'cancel', waiter: 1 }), ['cancel 1'])
  t.alike(desk.grant(1, F, 1), ['wait-applied 1'])
  t.alike(desk.applied(1), ['flush 2'])
  t.alike(desk.flushed(2), ['release 100#1 shared'])
  t.is(desk.client.counts().states, 0)
})

test('token client - a directory waits for running owners of new inodes, a file does not', (t) => {
  const desk = new Desk({ isDirectory: (ino) => ino === D })
  desk.hold(D)
  desk.hold(G, 2, 2)
  desk.step({ type: 'own', ino: F })
  t.ok(desk.client.tryAcquire(want('exclusive', F)))
  t.alike(desk.recall(G, 2, 'shared'), ['flush 3'])
  t.is(desk.client.counts().owned, 1)
  t.alike(desk.flushed(3), ['release 101#2 shared'])
  t.alike(desk.recall(D, 1, 'shared'), [])
  t.is(desk.client.counts().owned, 0)
  t.alike(desk.release('exclusive', F), ['flush 4'])
  t.absent(desk.client.tryAcquire(want('exclusive', F)))
})

test('token client - what is kept is bounded', (t) => {
  const desk = new Desk({ heldMax: 2, ownedMax: 3 })
  for (let i = 0; i < 10; i++) desk.step({ type: 'own', ino: (1000 + i) as Ino })
  t.is(desk.client.counts().owned, 3)
  desk.hold(F, 1, 1)
  desk.hold(G, 2, 2)
  desk.acquire('exclusive', D)
  desk.grant(3, D, 3)
  t.alike(desk.applied(3), ['acquired 3', 'flush 4'])
  t.alike(desk.flushed(4), ['release 100#1 shared,101#2 shared'])
})

test('token client - seal waits for exclusive guards, the epoch makes all shared', (t) => {
  const desk = new Desk()
  desk.hold(F)
  desk.client.tryAcquire(want('exclusive', F))
  desk.client.tryAcquire(want('shared', G))
  t.alike(desk.step({ type: 'seal' }), [])
  t.absent(desk.client.tryAcquire(want('shared', D)))
  t.alike(desk.acquire('exclusive', F), [])
  t.alike(desk.release('exclusive', F), ['sealed'])
  t.alike(desk.step({ type: 'epoch' }), ['want 2'])
  t.alike(desk.note(1, G), [], 'the old reader still runs')
  t.alike(desk.release('shared', G), ['drop-caches 2'])
})

const PAGE = 4096

function pages(mode: TokenMode, first: number, count: number): TokenWant[] {
  return [{ ino: F, mode, range: { start: first * PAGE, end: (first + count) * PAGE } }]
}

/** What the client says it releases, in pages. */
function released(desk: Desk, task: number): string[] {
  return desk.client.step({ type: 'flushed', task, vector: NOTHING }).flatMap((effect) => {
    if (effect.type !== 'send' || effect.message.type !== 'release') return []
    return effect.message.items.map((item) => {
      const end = endOf(item) === RANGE_END ? '-' : endOf(item) / PAGE
      return `${startOf(item) / PAGE}..${end} ${item.left}`
    })
  })
}

function recallPages(desk: Desk, left: 'shared' | 'none', first: number, count: number): string[] {
  const range = { start: first * PAGE, end: (first + count) * PAGE }
  return desk.hear({ type: 'recall', items: [{ ino: F, grant: 1, left, range }] })
}

test('token client - a recall of a range gives up all from there to the next place in use', (t) => {
  const desk = new Desk({ isDirectory: () => false })
  desk.hold(F)
  for (const first of [3, 50]) {
    const wants = pages('exclusive', first, 1)
    t.ok(desk.client.tryAcquire(wants))
    desk.client.release(wants)
  }
  t.alike(recallPages(desk, 'none', 10, 1), ['drop-caches 2'])
  t.ok(desk.client.tryAcquire(pages('exclusive', 0, 10)), 'what comes before stays')
  t.ok(desk.client.tryAcquire(pages('exclusive', 50, 5)))
  t.absent(desk.client.tryAcquire(pages('exclusive', 30, 1)), 'what is given up does not')
  t.absent(desk.client.tryAcquire(pages('exclusive', 9, 2)))
  t.absent(desk.client.tryAcquire(pages('shared', 30, 1)))
  desk.step({ type: 'dropped', task: 2 })
  t.alike(released(desk, 2), ['10..50 none'])
  t.absent(desk.client.tryAcquire(pages('shared', 30, 1)))
  t.alike(recallPages(desk, 'shared', 60, 1), ['flush 3'])
  t.alike(released(desk, 3), ['60..- shared'])
})

test('token client - a recall does not wait for guards of other ranges', (t) => {
  const desk = new Desk({ isDirectory: () => false })
  desk.hold(F)
  const far = pages('exclusive', 100, 1)
  const near = pages('exclusive', 5, 2)
  desk.client.tryAcquire(far)
  desk.client.tryAcquire(near)
  t.alike(recallPages(desk, 'shared', 6, 1), [], 'waits for the guard on its range')
  t.alike(desk.step({ type: 'release', wants: near }), ['flush 2'])
  t.alike(released(desk, 2), ['6..100 shared'])
  desk.client.release(far)
})

test('token client - a note of a range leaves the rest readable', (t) => {
  const desk = new Desk()
  const range = { start: 4 * PAGE, end: 8 * PAGE }
  const near = pages('shared', 7, 1)
  const far = pages('shared', 20, 1)
  desk.client.tryAcquire(near)
  desk.client.tryAcquire(far)
  t.alike(desk.hear({ type: 'note', number: 1, items: [{ ino: F, range }] }), [])
  t.absent(desk.client.tryAcquire(pages('shared', 4, 1)))
  t.ok(desk.client.tryAcquire(pages('shared', 8, 1)))
  t.alike(desk.step({ type: 'release', wants: near }), ['drop-caches 1'])
  t.absent(desk.client.tryAcquire(want('shared', F)), 'all of it')
})

test('token client - a grant in the middle of what is being released keeps that part', (t) => {
  const desk = new Desk({ isDirectory: () => false })
  desk.hold(F)
  t.alike(recallPages(desk, 'shared', 0, 100), ['flush 2'])
  const range = { start: 10 * PAGE, end: 20 * PAGE }
  const items = [{ ino: F, mode: 'exclusive', grant: 2, range } as const]
  desk.hear({ type: 'grant', request: 9, items, vector: NOTHING })
  t.alike(released(desk, 2), ['0..10 shared'])
  t.alike(released(desk, 4), ['20..- shared'], 'what lies behind the grant follows')
})

test('token client - an idle holder does not wait out its hold time, the next time not at all', (t) => {
  const desk = new Desk({ minHoldMs: 5 })
  desk.hold(F)
  t.alike(desk.recall(F, 1, 'none', 0), ['hold 100#1 1'])
  const elapsed = { type: 'hold-elapsed', ino: F, grant: 1, nowMs: 1 } as const
  t.alike(
    desk.step(elapsed),
    ['hold 100#1 1'],
    'what was asked meanwhile may come behind the timer'
  )
  t.alike(desk.step({ ...elapsed, nowMs: 2 }), ['drop-caches 2'], 'nothing was done with it')
  desk.step({ type: 'dropped', task: 2 })
  desk.flushed(2)
  desk.acquire('exclusive', F)
  desk.grant(2, F, 2)
  t.alike(desk.applied(3), ['acquired 2'])
  desk.release('exclusive', F)
  t.alike(desk.recall(F, 2, 'shared', 0), ['flush 4'])
})

test('token client - a note on what is exclusive here accuses the authority', (t) => {
  const desk = new Desk()
  desk.hold(F)
  t.alike(desk.note(1, F), ['violation note on inode 100, which is exclusive here'])
})

test('token client - a reserved request is waited for only when its lock was granted', (t) => {
  const desk = new Desk()
  t.is(desk.client.reserve({ ino: F, mode: 'shared' }), undefined, 'it may look already')
  const [wanted] = want('exclusive', F)
  if (wanted === undefined) throw new Error('nothing wanted')
  t.is(desk.client.reserve(wanted), 1)
  t.alike(desk.acquire('exclusive', F), ['want 2'], 'it may never be made')
  t.alike(desk.step({ type: 'cancel', waiter: 1 }), ['cancel 2'])
  t.alike(desk.step({ type: 'reserved', request: 1, coming: true }), [])
  t.alike(desk.acquire('exclusive', F), [], 'now it joins')
  t.alike(desk.grant(1, F, 1), ['wait-applied 1'])
  t.alike(desk.applied(1), ['acquired 2'])
  t.is(desk.client.reserve(wanted), undefined, 'it is here')
})

test('token client - what a lock brought is kept until somebody uses it', (t) => {
  const desk = new Desk()
  const [wanted] = want('exclusive', F)
  if (wanted === undefined) throw new Error('nothing wanted')
  t.is(desk.client.reserve(wanted), 1)
  desk.grant(1, F, 1)
  t.alike(desk.applied(1), [], 'not given back')
  t.alike(desk.step({ type: 'reserved', request: 1, coming: true }), [])
  t.ok(desk.client.tryAcquire(want('exclusive', F)))
  desk.release('exclusive', F)
  t.is(desk.client.reserve({ ino: G, mode: 'exclusive' }), 2)
  t.alike(desk.step({ type: 'reserved', request: 2, coming: false }), [])
  t.alike(desk.acquire('exclusive', G), ['want 3'], 'a lock that was refused brings nothing')
})

test('token client - what is given up goes when its guards have ended, and is noted', (t) => {
  const desk = new Desk()
  desk.hold(F)
  desk.client.tryAcquire(want('exclusive', F))
  const range = { start: 0, end: 10 }
  t.alike(desk.step({ type: 'give-up', ino: F, range }), [])
  t.alike(desk.release('exclusive', F), ['drop-caches 2'])
  t.alike(desk.step({ type: 'dropped', task: 2 }), ['flush 2'])
  t.alike(desk.flushed(2), [`release ${F}#1 none`])
  t.alike(desk.step({ type: 'give-up', ino: F, range }), [], 'there is nothing')
  t.alike(desk.acquire('shared', F), ['want 2'])
})

test('token client - a query: only about what is changed again and again', (t) => {
  const desk = new Desk()
  desk.note(1, F)
  t.is(desk.client.ask(F), undefined, 'it was never looked at')
  desk.acquire('shared', F)
  desk.grant(1, F, 0)
  desk.applied(2)
  desk.release('shared', F)
  t.is(desk.client.ask(F), undefined, 'it may be looked at')
  desk.note(2, F)
  t.is(desk.client.ask(F), 1)
  t.alike(desk.step({ type: 'query', request: 1, ino: F }), [`query 1 ${F}`])
  const told = { type: 'told', request: 1, idle: true, vector: NOTHING } as const
  t.alike(desk.hear(told), ['wait-applied 4'])
  t.alike(desk.applied(4), ['asked 1 true'])
  t.alike(desk.hear(told), ['violation token query 1 answered, not asked'])
  t.is(desk.client.ask(F), undefined, 'nobody changes it any more')
})

test('token client - a probe is answered with the entry closed', (t) => {
  const desk = new Desk()
  desk.hold(F)
  t.alike(desk.hear({ type: 'probe', number: 4, ino: F }), ['flush 2'])
  t.alike(desk.flushed(2), ['probed 4 false'])
  desk.hear({ type: 'probe', number: 5, ino: F })
  t.alike(desk.flushed(3), ['probed 5 true'], 'nothing since')
  t.ok(desk.client.tryAcquire(want('exclusive', F)), 'it stays')
})

test('token client - queries of another epoch, or when isolated, are over', (t) => {
  const desk = new Desk()
  const ask = () => {
    desk.acquire('shared', F)
    return desk.client.ask(F)
  }
  t.is(ask(), undefined)
  desk.note(1, F)
  desk.step({ type: 'acquire', waiter: 50, wants: want('shared', F) })
  desk.grant(1, F, 0)
  desk.applied(1)
  desk.release('shared', F)
  desk.release('shared', F)
  desk.note(2, F)
  const request = desk.client.ask(F)
  if (request === undefined) return t.fail('a query is of use here')
  desk.step({ type: 'query', request, ino: F })
  t.alike(desk.step({ type: 'epoch' }), [`asked ${request} false`])
})

/** Lets another member have the directory, as after a change here unless `changed` is false. */
function giveAway(desk: Desk, grant: number, task: number): void {
  desk.recall(D, grant, 'none')
  desk.step({ type: 'dropped', task })
  desk.flushed(task)
}

function wanted(effects: readonly ClientEffect[]): string[] {
  return effects.flatMap((effect) => {
    if (effect.type !== 'send' || effect.message.type !== 'want') return []
    return effect.message.wants.map(({ ino, mode }) => `${ino} ${mode}`)
  })
}

function ask(desk: Desk, waiter: number, wants: readonly TokenWant[], ahead: Ino[] = []): string[] {
  return wanted(desk.client.step({ type: 'acquire', waiter, wants, ahead }))
}

test('token client - who changed a directory asks for exclusive when it looks at it again', (t) => {
  const desk = new Desk({ isDirectory: (ino) => ino === D })
  const look = want('shared', D)
  desk.hold(D)
  giveAway(desk, 1, 2)
  t.alike(ask(desk, 90, look), [`${D} exclusive`])
  t.ok(desk.client.isContended(look))
  desk.grant(2, D, 2)
  t.alike(desk.applied(3), ['acquired 90'])
  desk.client.release(look)
  giveAway(desk, 2, 4)
  t.alike(ask(desk, 91, look), [`${D} shared`], 'this time it only looked')
  t.absent(desk.client.isContended(look))
})

test('token client - what is held is not asked for until it is lost', (t) => {
  const desk = new Desk()
  const wants = [...want('exclusive', D), ...want('exclusive', F)]
  desk.hold(D)
  t.alike(ask(desk, 90, wants), [`${F} exclusive`])
  giveAway(desk, 1, 2)
  desk.grant(2, F, 2)
  const effects = desk.client.step({ type: 'applied', task: 3, nowMs: 0 })
  t.alike(wanted(effects), [`${D} exclusive`, `${F} exclusive`], 'now as a set')
})

test('token client - inodes that are probably changed next come along unless held elsewhere', (t) => {
  const desk = new Desk({ isDirectory: () => true })
  const [noted, ...free] = Array.from({ length: 20 }, (_, i) => (200 + i) as Ino)
  if (noted === undefined) throw new Error('no inode')
  desk.note(1, noted)
  const asked = ask(desk, 90, want('exclusive', F), [noted, ...free])
  t.is(asked.length, 16, 'as many as there is room for')
  t.alike(asked.slice(0, 2), [`${F} exclusive`, '201 exclusive'])
})
