import test from 'brittle'
import type { Epoch } from '../../../src/fs/primitives.ts'
import { type LinkEffect, TokenLink } from '../../../src/replication/token/token-link.ts'
import type { EpochPacket, TokenMessage } from '../../../src/replication/token/token-message.ts'
import { Random } from '../../sim/random.ts'

const EPOCH = 1 as Epoch

function message(request: number): TokenMessage {
  return { type: 'cancel', request }
}

/** Two links and the packets between them. */
class Pair {
  readonly links = [new TokenLink(), new TokenLink()] as const
  readonly wires: [EpochPacket[], EpochPacket[]] = [[], []]
  readonly delivered: [number[], number[]] = [[], []]
  readonly violations: string[] = []

  run(side: 0 | 1, effects: readonly LinkEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'transmit') {
        this.wires[side].push({ epoch: effect.epoch, packet: effect.packet })
      } else if (effect.type === 'violation') this.violations.push(effect.reason)
      else if (effect.message.type === 'cancel') this.delivered[side].push(effect.message.request)
    }
  }

  both(event: { type: 'connected' } | { type: 'disconnected' } | { type: 'epoch'; epoch: Epoch }) {
    for (const side of [0, 1] as const) this.run(side, this.links[side].step(event))
  }

  /** Carries one packet away from that side; false when there is none. */
  carry(side: 0 | 1): boolean {
    const packet = this.wires[side].shift()
    if (packet === undefined) return false
    const other = side === 0 ? 1 : 0
    this.run(other, this.links[other].step({ ...packet, type: 'packet' }))
    return true
  }

  send(side: 0 | 1, request: number): void {
    this.run(side, this.links[side].step({ type: 'send', message: message(request) }))
  }

  settle(): void {
    while (this.carry(0) || this.carry(1));
  }
}

test('token link - each message once and in order over connections that break', (t) => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed)
    const pair = new Pair()
    pair.both({ type: 'epoch', epoch: EPOCH })
    pair.both({ type: 'connected' })
    const sent: [number, number] = [0, 0]
    for (let i = 0; i < 300; i++) {
      const side = random.below(2) === 0 ? 0 : 1
      const kind = random.below(20)
      if (kind === 0) {
        pair.wires[0].length = 0
        pair.wires[1].length = 0
        pair.both({ type: 'disconnected' })
        if (random.chance(0.5)) pair.send(side, ++sent[side])
        pair.both({ type: 'connected' })
      } else if (kind < 9) pair.send(side, ++sent[side])
      else pair.carry(side)
    }
    pair.settle()
    const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
    const right = [
      [pair.delivered[1], numbers(sent[0])],
      [pair.delivered[0], numbers(sent[1])]
    ].every(([got, wanted]) => JSON.stringify(got) === JSON.stringify(wanted))
    if (!right) t.fail(`seed ${seed}: ${JSON.stringify(pair.delivered)} of ${sent}`)
    if (pair.violations.length > 0) t.fail(`seed ${seed}: ${pair.violations[0]}`)
  }
  t.pass()
})

test('token link - a peer that enters the epoch later gets all of it, and none of the last', (t) => {
  const pair = new Pair()
  pair.both({ type: 'epoch', epoch: EPOCH })
  pair.both({ type: 'connected' })
  pair.settle()
  pair.send(0, 1)
  const next = { type: 'epoch', epoch: 2 as Epoch } as const
  pair.run(0, pair.links[0].step(next))
  pair.send(0, 2)
  pair.send(0, 3)
  pair.send(1, 9)
  pair.settle()
  t.alike(pair.delivered, [[], [1]], 'the old epoch still runs at one side only')
  pair.run(1, pair.links[1].step(next))
  pair.settle()
  t.alike(pair.delivered, [[], [1, 2, 3]])
})

test('token link - confirmed messages are forgotten, also when nothing comes back', (t) => {
  const pair = new Pair()
  pair.both({ type: 'epoch', epoch: EPOCH })
  pair.both({ type: 'connected' })
  pair.settle()
  for (let i = 1; i <= 1000; i++) {
    pair.send(0, i)
    pair.settle()
  }
  t.is(pair.delivered[1].length, 1000)
  t.ok(pair.links[0].unconfirmed < 32)
})

test('token link - a gap and a confirmation of nothing sent are reported', (t) => {
  const link = new TokenLink()
  link.step({ type: 'epoch', epoch: EPOCH })
  link.step({ type: 'connected' })
  const gap = { type: 'data', seq: 2, ack: 0, message: message(1) } as const
  t.is(link.step({ type: 'packet', epoch: EPOCH, packet: gap })[0]?.type, 'violation')
  const ack = { type: 'ack', ack: 1 } as const
  t.is(link.step({ type: 'packet', epoch: EPOCH, packet: ack })[0]?.type, 'violation')
})
