import test from 'brittle'
import { RANGE_END, type TokenMode } from '../../../src/fs/ports/token-service.ts'
import type { Ino, MemberId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { TokenAuthority } from '../../../src/replication/token/token-authority.ts'
import type { AuthorityOptions } from '../../../src/replication/token/token-authority-events.ts'
import {
  TOKEN_REQUESTS_MAX,
  type ToAuthority
} from '../../../src/replication/token/token-message.ts'
import { endOf, startOf } from '../../../src/replication/token/token-range.ts'
import type { Vector } from '../../../src/replication/vector.ts'

const F = 100 as Ino
const G = 101 as Ino

function vector(writer: number, seq: number): Vector {
  return new Map([[writer as WriterId, seq as Seq]])
}

/** An authority of members 1, 2, 3 that prints what it sends. */
class Desk {
  readonly authority: TokenAuthority
  #request = 0

  constructor(options: AuthorityOptions = {}) {
    this.authority = new TokenAuthority(options)
    this.authority.step({ type: 'epoch', members: [1, 2, 3] as MemberId[] })
  }

  say(from: number, message: ToAuthority): string[] {
    return this.authority
      .step({ type: 'message', from: from as MemberId, message })
      .map((effect) => {
        if (effect.type === 'violation') return `violation ${effect.member}: ${effect.reason}`
        const { to, message: sent } = effect
        switch (sent.type) {
          case 'note':
            return `note ${sent.number} to ${to}: ${sent.items.map((item) => item.ino)}`
          case 'clear':
            return `clear to ${to}: ${sent.inos} [${[...sent.vector]}]`
          case 'recall':
            return `recall from ${to}: ${sent.items.map((i) => `${i.ino}#${i.grant} ${i.left}`)}`
          case 'grant': {
            const items = sent.items.map(
              (i) => `${i.ino}${i.mode === 'shared' ? 'S' : 'X'}${i.grant}`
            )
            return `grant ${sent.request} to ${to}: ${items} [${[...sent.vector]}]`
          }
        }
        return ''
      })
  }

  want(from: number, mode: TokenMode, ...inos: Ino[]): string[] {
    const wants = inos.map((ino) => ({ ino, mode }))
    return this.say(from, { type: 'want', request: ++this.#request, wants })
  }

  ack(from: number, number: number): string[] {
    return this.say(from, { type: 'note-ack', number })
  }

  release(from: number, ino: Ino, grant: number, left: 'shared' | 'none', v: Vector): string[] {
    return this.say(from, { type: 'release', items: [{ ino, grant, left }], vector: v })
  }
}

test('token authority - exclusive waits for the note of every other member', (t) => {
  const desk = new Desk()
  t.alike(desk.want(1, 'exclusive', F), ['note 1 to 2: 100', 'note 1 to 3: 100'])
  t.alike(desk.authority.notePosition(2 as MemberId), { sent: 1, acknowledged: 0 })
  t.alike(desk.ack(2, 1), [])
  t.alike(desk.ack(3, 1), ['grant 1 to 1: 100X1 []'])
  t.alike(desk.authority.notePosition(2 as MemberId), { sent: 1, acknowledged: 1 })
})

test('token authority - a reader gets the joined vectors of all holders since its note', (t) => {
  const desk = new Desk()
  desk.want(1, 'exclusive', F)
  desk.ack(2, 1)
  desk.ack(3, 1)
  t.alike(desk.want(2, 'exclusive', F), ['recall from 1: 100#1 none'])
  t.alike(desk.release(1, F, 1, 'none', vector(10, 7)), ['grant 2 to 2: 100X2 [10,7]'])
  t.alike(desk.want(3, 'shared', F), ['recall from 2: 100#2 shared'])
  t.alike(desk.release(2, F, 2, 'shared', vector(20, 3)), ['grant 3 to 3: 100S0 [10,7,20,3]'])
  t.alike(desk.want(2, 'exclusive', F), ['note 2 to 3: 100'], 'member 1 is still noted')
})

test('token authority - conflicting requests keep their order, others pass', (t) => {
  const desk = new Desk()
  desk.want(1, 'exclusive', F)
  desk.ack(2, 1)
  desk.ack(3, 1)
  t.alike(desk.want(2, 'shared', F), ['recall from 1: 100#1 shared'])
  t.alike(desk.want(3, 'exclusive', F, G), [], 'behind the reader')
  t.alike(desk.want(1, 'shared', F), [], 'behind the writer, though it is the holder')
  t.alike(desk.want(2, 'shared', 102 as Ino), ['grant 5 to 2: 102S0 []'])
  t.alike(desk.release(1, F, 1, 'shared', vector(10, 1)), [
    'grant 2 to 2: 100S0 [10,1]',
    'note 1 to 1: 100,101',
    'note 2 to 2: 100,101'
  ])
  desk.ack(1, 1)
  t.alike(desk.ack(2, 2), ['grant 3 to 3: 100X2,101X3 [10,1]', 'recall from 3: 100#2 shared'])
})

test('token authority - a release under an old number is ignored', (t) => {
  const desk = new Desk()
  desk.want(1, 'exclusive', F)
  desk.ack(2, 1)
  desk.ack(3, 1)
  t.alike(desk.want(1, 'exclusive', F), ['grant 2 to 1: 100X2 []'], 'granted again')
  t.alike(desk.release(1, F, 1, 'shared', vector(10, 1)), [])
  t.is(desk.authority.counts().held, 1)
  t.alike(desk.release(2, F, 2, 'shared', vector(10, 1)), [], 'not its holder')
  t.is(desk.authority.counts().held, 1)
})

test('token authority - its holder is granted nothing while a recall is unanswered', (t) => {
  const desk = new Desk()
  desk.want(1, 'exclusive', F)
  desk.ack(2, 1)
  desk.ack(3, 1)
  t.alike(desk.want(2, 'exclusive', F), ['recall from 1: 100#1 none'])
  desk.say(2, { type: 'cancel', request: 2 })
  t.alike(desk.want(1, 'shared', F), [])
  t.alike(desk.release(1, F, 1, 'none', vector(10, 1)), ['grant 3 to 1: 100S0 [10,1]'])
})

test('token authority - a cancelled request leaves nothing behind', (t) => {
  const desk = new Desk()
  desk.want(1, 'exclusive', F)
  t.alike(desk.want(2, 'shared', F), [], 'waits for its turn')
  t.alike(desk.say(1, { type: 'cancel', request: 1 }), [], 'its own note is unacknowledged')
  t.alike(desk.ack(2, 1), ['grant 2 to 2: 100S0 []'])
  desk.ack(3, 1)
  t.alike(desk.say(1, { type: 'cancel', request: 1 }), [], 'unknown by now')
  t.alike(desk.authority.counts(), { objects: 1, held: 0, waiting: 0 })
  desk.want(3, 'shared', F)
  t.is(desk.authority.counts().objects, 0)
})

test('token authority - notes nobody needs are taken back with their vector', (t) => {
  const desk = new Desk({ objectsMax: 1 })
  desk.want(1, 'exclusive', F)
  desk.ack(2, 1)
  desk.ack(3, 1)
  t.alike(desk.release(1, F, 1, 'shared', vector(10, 5)), [])
  t.alike(desk.want(1, 'exclusive', G), [
    'note 2 to 2: 101',
    'note 2 to 3: 101',
    'clear to 2: 100 [10,5]',
    'clear to 3: 100 [10,5]'
  ])
  t.is(desk.authority.counts().objects, 1)
})

test('token authority - who breaks the protocol is named', (t) => {
  const desk = new Desk()
  t.alike(desk.want(9, 'shared', F), ['violation 9: token message of a member not live'])
  t.alike(desk.ack(2, 4), ['violation 2: note 4 acknowledged, not sent'])
  desk.want(1, 'exclusive', F)
  const again: ToAuthority = { type: 'want', request: 2, wants: [{ ino: F, mode: 'shared' }] }
  t.alike(desk.say(1, again), ['violation 1: token request 2 made twice'])
  for (let i = 0; i < TOKEN_REQUESTS_MAX; i++) desk.want(3, 'exclusive', F)
  t.alike(desk.want(3, 'exclusive', F), ['violation 3: too many waiting token requests'])
})

const PAGE = 4096

/** An authority of members 1 and 2 that prints ranges in pages, `-` for the end. */
class RangeDesk {
  readonly authority: TokenAuthority
  #request = 0

  constructor(options: AuthorityOptions = {}) {
    this.authority = new TokenAuthority(options)
    this.authority.step({ type: 'epoch', members: [1, 2] as MemberId[] })
  }

  say(from: number, message: ToAuthority): string[] {
    const effects = this.authority.step({ type: 'message', from: from as MemberId, message })
    return effects.map((effect) => {
      if (effect.type === 'violation') return effect.reason
      const { message: sent } = effect
      if (sent.type === 'clear') return 'clear'
      if (sent.type === 'probe') return `probe ${sent.number} ${sent.ino} to ${effect.to}`
      if (sent.type === 'told') return `told ${sent.request} ${sent.idle} ${[...sent.vector]}`
      const items = sent.items.map((item) => {
        const start = startOf(item) / PAGE
        const end = endOf(item) === RANGE_END ? '-' : endOf(item) / PAGE
        return `${start}..${end}${'grant' in item ? `#${item.grant}` : ''}`
      })
      return `${sent.type} ${effect.to}: ${items}`
    })
  }

  want(from: number, mode: TokenMode, first: number, pages: number): string[] {
    const range = { start: first * PAGE, end: (first + pages) * PAGE }
    const wants = [{ ino: F, mode, range }]
    return this.say(from, { type: 'want', request: ++this.#request, wants })
  }

  ack(from: number, number: number): string[] {
    return this.say(from, { type: 'note-ack', number })
  }

  release(from: number, grant: number, left: 'shared' | 'none', first: number, end: number) {
    const range = { start: first * PAGE, end: end * PAGE }
    const items = [{ ino: F, grant, left, range }]
    return this.say(from, { type: 'release', items, vector: vector(from, 1) })
  }
}

const END = RANGE_END / PAGE

test('token authority - the first writer gets all, the second what the first gives up', (t) => {
  const desk = new RangeDesk()
  t.alike(desk.want(1, 'exclusive', 10, 1), ['note 2: 0..-'])
  t.alike(desk.ack(2, 1), ['grant 1: 0..-#1'])
  t.alike(desk.want(2, 'exclusive', 256, 1), ['recall 1: 256..257#1'])
  t.alike(desk.release(1, 1, 'none', 256, END), ['grant 2: 256..-#2'], 'more than was asked for')
  t.alike(desk.want(1, 'exclusive', 300, 1), ['recall 2: 300..301#2'])
  t.alike(desk.release(2, 2, 'none', 300, 400), ['grant 1: 300..400#3'])
  t.is(desk.authority.counts().held, 1)
})

test('token authority - requests of different ranges do not wait for each other', (t) => {
  const desk = new RangeDesk()
  desk.want(1, 'exclusive', 0, 1)
  desk.ack(2, 1)
  t.alike(desk.want(2, 'exclusive', 100, 1), ['recall 1: 100..101#1'])
  t.alike(desk.want(2, 'shared', 50, 1), ['recall 1: 50..51#1'])
  t.alike(desk.want(2, 'shared', 100, 1), [], 'behind the writer')
  t.alike(desk.release(1, 1, 'shared', 50, 60), ['grant 2: 50..60#0'])
  t.alike(desk.release(1, 1, 'none', 100, 200), [
    'grant 2: 100..200#2',
    'grant 2: 100..101#0,100..101#3'
  ])
})

test('token authority - what its holder wants to look at is granted anew', (t) => {
  const desk = new RangeDesk()
  desk.want(1, 'exclusive', 0, 1)
  desk.ack(2, 1)
  t.alike(desk.want(1, 'shared', 4, 2), ['grant 1: 4..6#0,4..6#2'])
  t.alike(desk.release(1, 1, 'none', 0, 10), [], 'the renewed pages stay')
  t.alike(desk.want(2, 'exclusive', 5, 1), ['recall 1: 5..6#2'])
})

test('token authority - where others look, a writer gets more each time it goes on', (t) => {
  const desk = new RangeDesk()
  desk.want(1, 'exclusive', 0, 1)
  desk.ack(2, 1)
  desk.want(2, 'shared', 100, 1)
  t.alike(desk.release(1, 1, 'shared', 100, END), ['grant 2: 100..-#0'])
  t.alike(desk.want(1, 'exclusive', 100, 1), ['note 2: 100..201'])
  t.alike(desk.ack(2, 2), ['grant 1: 0..201#2'])
  t.alike(desk.want(1, 'exclusive', 201, 1), ['note 2: 201..403'])
})

test('token authority - an inode in too many pieces is asked for as a whole', (t) => {
  const desk = new RangeDesk({ spansMax: 3 })
  desk.want(1, 'exclusive', 0, 1)
  desk.ack(2, 1)
  desk.want(2, 'exclusive', 10, 1)
  desk.release(1, 1, 'none', 10, 11)
  desk.want(2, 'exclusive', 20, 1)
  t.alike(desk.release(1, 1, 'none', 20, 21), ['grant 2: 20..21#3'])
  t.alike(desk.want(2, 'exclusive', 30, 1), ['recall 1: 0..10#1,11..20#1,21..-#1'])
})

test('token authority - a new epoch forgets everything', (t) => {
  const desk = new Desk()
  desk.want(1, 'exclusive', F)
  desk.want(2, 'exclusive', F)
  desk.authority.step({ type: 'epoch', members: [2, 3] as MemberId[] })
  t.alike(desk.authority.counts(), { objects: 0, held: 0, waiting: 0 })
  t.alike(desk.want(2, 'exclusive', F), ['note 1 to 3: 100'])
})

test('token authority - a query asks the holders, who keep what they have', (t) => {
  const desk = new RangeDesk()
  const query = (request: number) => desk.say(2, { type: 'query', request, ino: F })
  t.alike(query(1), ['told 1 true '], 'nothing was ever done')
  desk.want(1, 'exclusive', 10, 1)
  desk.ack(2, 1)
  t.alike(query(2), [`probe 1 ${F} to 1`])
  const probed = { type: 'probed', number: 1, idle: false } as const
  t.alike(desk.say(2, { ...probed, vector: vector(2, 1) }), [], 'was not asked')
  t.alike(desk.say(1, { ...probed, vector: vector(1, 7) }), [`told 2 false ${[...vector(1, 7)]}`])
  t.alike(desk.say(1, { ...probed, vector: vector(1, 8) }), [], 'answered once')
  t.is(desk.authority.counts().held, 1)
  desk.release(1, 1, 'none', 0, END)
  t.alike(query(3), [`told 3 true ${[...vector(1, 1)]}`], 'what was released')
})
