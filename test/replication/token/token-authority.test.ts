import test from 'brittle'
import type { TokenMode } from '../../../src/fs/ports/token-service.ts'
import type { Ino, MemberId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import {
  type AuthorityOptions,
  TokenAuthority
} from '../../../src/replication/token/token-authority.ts'
import {
  TOKEN_REQUESTS_MAX,
  type ToAuthority
} from '../../../src/replication/token/token-message.ts'
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

test('token authority - a new epoch forgets everything', (t) => {
  const desk = new Desk()
  desk.want(1, 'exclusive', F)
  desk.want(2, 'exclusive', F)
  desk.authority.step({ type: 'epoch', members: [2, 3] as MemberId[] })
  t.alike(desk.authority.counts(), { objects: 0, held: 0, waiting: 0 })
  t.alike(desk.want(2, 'exclusive', F), ['note 1 to 3: 100'])
})
