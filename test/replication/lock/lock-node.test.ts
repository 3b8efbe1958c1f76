import test from 'brittle'
import { FsError } from '../../../src/fs/errno.ts'
import { LOCK_END, type LockRequest, type LostLock } from '../../../src/fs/ports/lock-service.ts'
import type { Epoch, Ino, MemberId } from '../../../src/fs/primitives.ts'
import { decodeLockPacket } from '../../../src/replication/lock/lock-codec.ts'
import { LockNode } from '../../../src/replication/lock/lock-node.ts'

const INO = 100 as Ino
const M1 = 1 as MemberId
const M2 = 2 as MemberId
const M3 = 3 as MemberId

/** Nodes joined by queues that the test empties, and a clock it moves. */
class Cluster {
  readonly nodes = new Map<MemberId, LockNode>()
  readonly lost: LostLock[] = []
  readonly violations: string[] = []
  readonly sent: string[] = []
  /** Directions in which everything is lost: 'from>to'. */
  readonly cut = new Set<string>()
  /** What happened to token requests that come with locks. */
  readonly tokens: string[] = []
  reserves = false
  nowMs = 1000
  #lastReserved = 0
  #epoch = 0
  readonly #queue: (() => void)[] = []
  readonly #timers: { atMs: number; fn: () => void }[] = []

  constructor(...members: MemberId[]) {
    for (const member of members) this.add(member)
    for (const member of members) {
      for (const peer of members) {
        if (peer !== member) this.node(member).peerConnected(peer)
      }
    }
    this.startEpoch(M1)
  }

  add(member: MemberId): void {
    const node = new LockNode(
      {
        clock: {
          wall: () => ({ sec: 0, nsec: 0 }),
          monotonicMs: () => this.nowMs,
          setTimer: (delayMs, fn) => {
            const timer = { atMs: this.nowMs + delayMs, fn }
            this.#timers.push(timer)
            return {
              cancel: () => {
                if (this.#timers.includes(timer)) {
                  this.#timers.splice(this.#timers.indexOf(timer), 1)
                }
              }
            }
          }
        },
        tokens: {
          reserve: () => (this.reserves ? ++this.#lastReserved : undefined),
          settleReserved: (request, coming) => {
            this.tokens.push(`${member}: ${request} ${coming ? 'comes' : 'is dropped'}`)
          },
          bring: (to, epoch, request, want) => {
            const { mode, range } = want
            this.tokens.push(`${to}: ${request} made in ${epoch}, ${mode} ${JSON.stringify(range)}`)
          }
        },
        sendPacket: (to, epoch, body) => {
          if (this.cut.has(`${member}>${to}`)) return
          const packet = decodeLockPacket(body)
          if (packet.type === 'data') this.sent.push(packet.message.type)
          this.#queue.push(() => this.nodes.get(to)?.receive(member, epoch, body))
        },
        onLost: (locks) => this.lost.push(...locks),
        onViolation: (peer, reason) => this.violations.push(`${member} about ${peer}: ${reason}`)
      },
      { member, aloneRequests: 4, delegationsMax: 3 }
    )
    this.nodes.set(member, node)
  }

  node(member: MemberId): LockNode {
    const node = this.nodes.get(member)
    if (node === undefined) throw new Error(`no member ${member}`)
    return node
  }

  startEpoch(authority: MemberId): void {
    const epoch = ++this.#epoch as Epoch
    const members = [...this.nodes.keys()]
    for (const node of this.nodes.values()) node.startEpoch({ epoch, authority, members })
    this.flush()
  }

  kill(member: MemberId): void {
    this.nodes.delete(member)
    for (const node of this.nodes.values()) node.peerDisconnected(member)
  }

  flush(): void {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next()
  }

  /** Lets time pass in small steps. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms
    for (;;) {
      this.flush()
      this.#timers.sort((a, b) => a.atMs - b.atMs)
      const [first] = this.#timers
      if (first === undefined || first.atMs > endMs) break
      this.#timers.shift()
      this.nowMs = Math.max(this.nowMs, first.atMs)
      first.fn()
    }
    this.nowMs = endMs
    this.flush()
  }

  /** The state of a request: 'granted', an errno name or 'waiting'. */
  ask(member: MemberId, request: Partial<LockRequest>, wait = true, ino = INO): Asked {
    return new Asked(this, member, { ...WRITE, ...request }, wait, ino)
  }

  /** Two members use the inode, so the authority decides; nothing is held. */
  async share(ino = INO): Promise<void> {
    for (const member of [M1, M2]) {
      await this.ask(member, {}, true, ino).now()
      await this.ask(member, { type: 'unlock' }, true, ino).now()
    }
    this.tokens.length = 0
  }
}

const WRITE: LockRequest = {
  kind: 'record',
  type: 'write',
  start: 0n,
  end: 9n,
  owner: 1n,
  pid: 1
}

class Asked {
  state = 'waiting'
  answers = 0
  readonly #controller = new AbortController()
  readonly #cluster: Cluster

  constructor(cluster: Cluster, member: MemberId, request: LockRequest, wait: boolean, ino: Ino) {
    this.#cluster = cluster
    const { signal } = this.#controller
    try {
      const token = { ino, mode: 'exclusive', range: { start: 5, end: 6 } } as const
      const done = cluster.node(member).setlk(ino, request, { wait, signal, token })
      if (done === undefined) this.#answer('granted')
      else {
        done.then(
          () => this.#answer('granted'),
          (error: unknown) => this.#answer(error instanceof FsError ? error.code : String(error))
        )
      }
    } catch (error) {
      this.#answer(error instanceof FsError ? error.code : String(error))
    }
  }

  #answer(state: string): void {
    this.answers++
    this.state = state
  }

  interrupt(): void {
    this.#controller.abort()
  }

  /** What has become of it when all messages have arrived. */
  async now(): Promise<string> {
    this.#cluster.flush()
    for (let i = 0; i < 6; i++) await undefined
    return this.state
  }
}

test('lock node - alone: the first request brings a delegation, then no message', async (t) => {
  const cluster = new Cluster(M1, M2)
  t.is(await cluster.ask(M2, {}).now(), 'granted')
  cluster.sent.length = 0
  for (let i = 0; i < 5; i++) {
    t.is(cluster.ask(M2, { type: 'unlock' }).state, 'granted', 'at once')
    t.is(cluster.ask(M2, { owner: BigInt(i) }).state, 'granted', 'at once')
    t.is(cluster.ask(M2, { owner: BigInt(i), type: 'unlock' }).state, 'granted', 'at once')
  }
  t.alike(cluster.sent, [])
})

test('lock node - a second member: recalled with locks and waiters, in their order', async (t) => {
  const cluster = new Cluster(M1, M2, M3)
  t.is(await cluster.ask(M2, { owner: 1n }).now(), 'granted')
  const local = cluster.ask(M2, { owner: 2n })
  const remote = cluster.ask(M3, { owner: 3n })
  t.is(await remote.now(), 'waiting')
  t.is(await cluster.ask(M3, { owner: 4n }, false).now(), 'EAGAIN')
  const found = await cluster.node(M1).getlk(INO, { ...WRITE, owner: 9n })
  t.alike([found?.member, found?.start, found?.end], [M2, 0n, 9n])
  t.is(await cluster.ask(M2, { owner: 1n, type: 'unlock' }).now(), 'granted')
  t.alike([await local.now(), await remote.now()], ['granted', 'waiting'])
  t.is(await cluster.ask(M2, { owner: 2n, type: 'unlock' }).now(), 'granted')
  t.is(await remote.now(), 'granted')
  t.alike(cluster.violations, [])
})

test('lock node - alone again: delegated after some requests in a row', async (t) => {
  const cluster = new Cluster(M1, M2, M3)
  await cluster.ask(M2, {}).now()
  await cluster.ask(M2, { type: 'unlock' }).now()
  await cluster.ask(M3, {}).now()
  await cluster.ask(M3, { type: 'unlock' }).now()
  cluster.sent.length = 0
  for (let i = 0; i < 4; i++) {
    await cluster.ask(M3, {}).now()
    await cluster.ask(M3, { type: 'unlock' }).now()
  }
  t.is(cluster.sent.filter((type) => type === 'delegate').length, 1)
  t.is(cluster.node(M3).status().member.delegations, 1)
})

test('lock node - idle delegations are given back, the table stays small', async (t) => {
  const cluster = new Cluster(M1, M2)
  for (let i = 0; i < 50; i++) {
    const ino = (200 + i) as Ino
    t.is(await cluster.ask(M2, {}, true, ino).now(), 'granted')
    t.is(await cluster.ask(M2, { type: 'unlock' }, true, ino).now(), 'granted')
  }
  cluster.flush()
  t.ok(cluster.node(M2).status().member.inodes <= 4)
  t.ok((cluster.node(M1).status().authority?.inodes ?? 0) <= 4)
})

test('lock node - a token comes with a lock: asked for when the lock is granted', async (t) => {
  const cluster = new Cluster(M1, M2)
  cluster.reserves = true
  await cluster.share()
  t.is(await cluster.ask(M1, { owner: 1n }).now(), 'granted')
  const first = cluster.tokens.splice(0)
  t.alike(first.slice(1), [first[0]?.replace(/made.*/, 'comes')], 'at the authority itself')
  const waiter = cluster.ask(M2, { owner: 2n })
  t.is(await waiter.now(), 'waiting')
  t.alike(cluster.tokens, [], 'not before it has the lock')
  t.is(cluster.node(M2).isContended(INO), false)
  await cluster.ask(M1, { owner: 1n, type: 'unlock' }).now()
  t.is(await waiter.now(), 'granted')
  const [made, comes] = cluster.tokens
  t.ok(made?.endsWith('made in 1, exclusive {"start":0,"end":4096}'), made)
  t.is(comes, made?.replace(/made.*/, 'comes'))
  t.ok(cluster.node(M2).isContended(INO), 'it had to wait')
})

test('lock node - a token does not come with a lock that is not granted', async (t) => {
  const cluster = new Cluster(M1, M2)
  cluster.reserves = true
  await cluster.share()
  await cluster.ask(M1, { owner: 1n }).now()
  cluster.tokens.length = 0
  t.is(await cluster.ask(M2, { owner: 2n }, false).now(), 'EAGAIN')
  const waiter = cluster.ask(M2, { owner: 2n })
  t.is(await waiter.now(), 'waiting')
  waiter.interrupt()
  t.is(await waiter.now(), 'EINTR')
  t.alike(
    cluster.tokens.map((line) => line.replace(/\d+ is/, 'it is')),
    ['2: it is dropped', '2: it is dropped']
  )
})

test('lock node - a token that was to come with a lock: not in another epoch', async (t) => {
  const cluster = new Cluster(M1, M2)
  cluster.reserves = true
  await cluster.share()
  await cluster.ask(M1, { owner: 1n }).now()
  cluster.tokens.length = 0
  const waiter = cluster.ask(M2, { owner: 2n })
  t.is(await waiter.now(), 'waiting')
  cluster.startEpoch(M2)
  await cluster.ask(M1, { owner: 1n, type: 'unlock' }).now()
  t.is(await waiter.now(), 'granted')
  t.is(cluster.tokens.length, 1)
  t.ok(cluster.tokens[0]?.endsWith('is dropped'))
})

test('lock node - an inode decided here brings nothing', async (t) => {
  const cluster = new Cluster(M1, M2)
  await cluster.ask(M2, {}).now()
  cluster.reserves = true
  t.is(cluster.ask(M2, { owner: 2n, start: 20n, end: 29n }).state, 'granted')
  t.alike(cluster.tokens, [])
})

test('lock node - an interrupt ends a wait once, and leaves no trace', async (t) => {
  const cluster = new Cluster(M1, M2)
  await cluster.ask(M1, { owner: 1n }).now()
  const waiter = cluster.ask(M2, { owner: 2n })
  t.is(await waiter.now(), 'waiting')
  waiter.interrupt()
  t.is(await waiter.now(), 'EINTR')
  t.is(await cluster.ask(M1, { owner: 1n, type: 'unlock' }).now(), 'granted')
  t.is(await cluster.ask(M1, { owner: 3n }, false).now(), 'granted')
  t.is(waiter.answers, 1)
})

test('lock node - an interrupt that crosses the grant: granted, once', async (t) => {
  const cluster = new Cluster(M1, M2)
  await cluster.ask(M1, { owner: 1n }).now()
  const waiter = cluster.ask(M2, { owner: 2n })
  await waiter.now()
  cluster.ask(M1, { owner: 1n, type: 'unlock' })
  waiter.interrupt()
  t.is(await waiter.now(), 'granted')
  t.is(waiter.answers, 1)
  t.is(await cluster.ask(M1, { owner: 3n }, false).now(), 'EAGAIN')
  t.is(await cluster.ask(M2, { owner: 2n, type: 'unlock' }).now(), 'granted')
  t.is(await cluster.ask(M1, { owner: 3n }, false).now(), 'granted')
})

test('lock node - a deadlock of two members within the authority is told at once', async (t) => {
  const cluster = new Cluster(M1, M2)
  const other = 101 as Ino
  await cluster.ask(M1, { owner: 1n }).now()
  await cluster.ask(M2, { owner: 2n, start: 20n, end: 29n }).now()
  await cluster.ask(M2, { owner: 2n }, true, other).now()
  const first = cluster.ask(M1, { owner: 1n }, true, other)
  t.is(await first.now(), 'waiting')
  t.is(await cluster.ask(M2, { owner: 2n }).now(), 'EDEADLK')
  t.is(await first.now(), 'waiting')
})

test('lock node - a deadlock through a delegation is told within a second', async (t) => {
  const cluster = new Cluster(M1, M2, M3)
  const [a, b, delegated] = [101 as Ino, 102 as Ino, 103 as Ino]
  // P (m2) holds a; Q (m2) holds `delegated`; R (m3) holds b. Q waits for b, R for a, P for Q.
  for (const ino of [a, b]) {
    await cluster.ask(M1, { start: 50n, end: 59n, owner: 9n }, true, ino).now()
  }
  await cluster.ask(M2, { owner: 1n }, true, a).now()
  await cluster.ask(M3, { owner: 3n }, true, b).now()
  await cluster.ask(M2, { owner: 2n }, true, delegated).now()
  t.is(cluster.node(M2).status().member.delegations, 1)
  const q = cluster.ask(M2, { owner: 2n }, true, b)
  const r = cluster.ask(M3, { owner: 3n }, true, a)
  t.alike([await q.now(), await r.now()], ['waiting', 'waiting'])
  cluster.pass(500)
  t.alike([await q.now(), await r.now()], ['waiting', 'waiting'], 'a chain is no circle')
  const p = cluster.ask(M2, { owner: 1n }, true, delegated)
  t.is(await p.now(), 'waiting')
  cluster.pass(999)
  const states = [await p.now(), await q.now(), await r.now()].sort()
  t.alike(states, ['EDEADLK', 'waiting', 'waiting'])
})

test('lock node - a new authority: locks survive, the dead hold nothing', async (t) => {
  const cluster = new Cluster(M1, M2, M3)
  await cluster.ask(M2, { owner: 2n }).now()
  await cluster.ask(M3, { owner: 3n, start: 20n, end: 29n }).now()
  await cluster.ask(M1, { owner: 1n, start: 40n, end: 49n }).now()
  const waiter = cluster.ask(M3, { owner: 4n, start: 0n, end: 49n })
  t.is(await waiter.now(), 'waiting')
  cluster.kill(M1)
  cluster.startEpoch(M3)
  t.is(await cluster.ask(M3, { owner: 5n }, false).now(), 'EAGAIN', 'm2 still holds')
  t.is(await cluster.ask(M2, { owner: 5n, start: 40n, end: 49n }, false).now(), 'granted')
  t.is(await cluster.ask(M2, { owner: 5n, type: 'unlock', end: LOCK_END }).now(), 'granted')
  await cluster.ask(M3, { owner: 3n, type: 'unlock', end: LOCK_END }).now()
  t.is(await waiter.now(), 'waiting')
  await cluster.ask(M2, { owner: 2n, type: 'unlock' }).now()
  t.is(await waiter.now(), 'granted')
  t.alike(cluster.violations, [])
})

test('lock node - an unlock whose answer was lost is not held against others', async (t) => {
  const cluster = new Cluster(M1, M2, M3)
  await cluster.ask(M2, { owner: 2n }).now()
  const waiter = cluster.ask(M3, { owner: 3n })
  await waiter.now()
  // The answer to m2 is on its way when the epoch ends; m3 has its grant.
  cluster.cut.add('1>2')
  const unlock = cluster.ask(M2, { owner: 2n, type: 'unlock' })
  t.is(await unlock.now(), 'waiting')
  t.is(await waiter.now(), 'granted')
  cluster.cut.clear()
  cluster.startEpoch(M1)
  t.alike([await unlock.now(), cluster.violations], ['granted', []])
  t.is(await cluster.ask(M2, { owner: 2n }, false).now(), 'EAGAIN')
})

test('lock node - isolated: EIO, unlocks take effect, at the end the rest is lost', async (t) => {
  const cluster = new Cluster(M1, M2)
  await cluster.ask(M2, { owner: 2n }).now()
  await cluster.ask(M2, { owner: 3n, start: 20n, end: 29n }).now()
  await cluster.ask(M2, { owner: 4n, kind: 'flock', start: 0n, end: LOCK_END }).now()
  const waiter = cluster.ask(M2, { owner: 5n })
  t.is(await waiter.now(), 'waiting')
  cluster.node(M2).isolate()
  t.is(await waiter.now(), 'EIO')
  t.is(await cluster.ask(M2, { owner: 6n, start: 90n, end: 90n }).now(), 'EIO')
  t.is(cluster.node(M2).releaseOwner(INO, 3n, 'record'), undefined)
  cluster.startEpoch(M1)
  t.is(await cluster.ask(M1, { owner: 1n, start: 20n, end: 29n }, false).now(), 'granted')
  t.is(await cluster.ask(M1, { owner: 1n }, false).now(), 'EAGAIN', 'asserted again')
  cluster.node(M2).end()
  t.alike(cluster.lost, [
    { ino: INO, kind: 'record', owner: 2n },
    { ino: INO, kind: 'flock', owner: 4n }
  ])
})

test('lock node - release of an owner that holds nothing sends nothing', async (t) => {
  const cluster = new Cluster(M1, M2)
  cluster.sent.length = 0
  t.is(cluster.node(M2).releaseOwner(INO, 7n, 'record'), undefined)
  t.is(cluster.ask(M2, { type: 'unlock' }).state, 'granted')
  t.alike(cluster.sent, [])
})

test('lock node - flock: shared beside shared, a change of type gives up the old', async (t) => {
  const cluster = new Cluster(M1, M2)
  const flock = { kind: 'flock', start: 0n, end: LOCK_END } as const
  t.is(await cluster.ask(M1, { ...flock, type: 'read', owner: 1n }).now(), 'granted')
  t.is(await cluster.ask(M2, { ...flock, type: 'read', owner: 2n }).now(), 'granted')
  t.is(await cluster.ask(M2, { owner: 3n }, false).now(), 'granted', 'record locks are apart')
  t.is(await cluster.ask(M2, { ...flock, type: 'write', owner: 2n }, false).now(), 'EAGAIN')
  t.is(await cluster.ask(M1, { ...flock, type: 'write', owner: 1n }, false).now(), 'granted')
})

test('lock node - requests that cannot be get EINVAL', async (t) => {
  const cluster = new Cluster(M1)
  t.is(cluster.ask(M1, { start: 5n, end: 4n }).state, 'EINVAL')
  t.is(cluster.ask(M1, { start: -1n }).state, 'EINVAL')
  t.is(cluster.ask(M1, { end: LOCK_END + 1n }).state, 'EINVAL')
  t.is(cluster.ask(M1, { kind: 'flock' }).state, 'EINVAL')
  await t.exception(() => cluster.node(M1).getlk(INO, { ...WRITE, type: 'unlock' }), /query/)
})

test('lock node - list: who holds, who waits, on any member', async (t) => {
  const cluster = new Cluster(M1, M2)
  await cluster.ask(M2, { owner: 2n, pid: 22 }).now()
  const waiter = cluster.ask(M1, { owner: 1n, pid: 11 })
  t.is(await waiter.now(), 'waiting')
  cluster.nowMs += 500
  const rows = cluster.node(M1).list()
  t.alike(
    rows.map(({ state, member, pid, ageMs, waiters }) => [state, member, pid, ageMs, waiters]),
    [
      ['held', M2, 22, 500, 1],
      ['waiting', M1, 11, 500, 0]
    ]
  )
  t.is(cluster.node(M2).list().length, 1, 'others know their own')
})

test('lock node - nonsense from a peer is reported, not obeyed', (t) => {
  const cluster = new Cluster(M1, M2)
  const epoch = 1 as Epoch
  cluster.node(M1).receive(M2, epoch, Buffer.from([9, 9, 9]))
  t.is(cluster.violations.length, 1)
  cluster.node(M1).receive(M2, 7 as Epoch, Buffer.from([9, 9, 9]))
  t.is(cluster.violations.length, 1, 'another epoch is not even read')
})
