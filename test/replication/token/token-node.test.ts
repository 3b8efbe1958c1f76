import test from 'brittle'
import type { Clock } from '../../../src/fs/ports/clock.ts'
import type { TokenMode, TokenWant } from '../../../src/fs/ports/token-service.ts'
import type { Epoch, Ino, MemberId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { TokenNode } from '../../../src/replication/token/token-node.ts'
import { type Vector, vectorCovers, vectorJoin } from '../../../src/replication/vector.ts'

const FILE = 100 as Ino
const OTHER = 101 as Ino
const DIRECTORY = 102 as Ino
const A = 1 as MemberId
const B = 2 as MemberId
const C = 3 as MemberId

function want(mode: TokenMode, ...inos: Ino[]): TokenWant[] {
  return inos.map((ino) => ({ ino, mode }))
}

const clock: Clock = {
  wall: () => ({ sec: 0, nsec: 0 }) as ReturnType<Clock['wall']>,
  monotonicMs: () => performance.now(),
  setTimer(delayMs, fn) {
    const timer = setTimeout(fn, delayMs)
    return { cancel: () => clearTimeout(timer) }
  }
}

/** Token nodes joined by queues that can be cut; entries are applied elsewhere on demand. */
class Cluster {
  readonly nodes = new Map<MemberId, TokenNode>()
  readonly applied = new Map<MemberId, Vector>()
  readonly dropped: [MemberId, Ino][] = []
  readonly violations: string[] = []
  #queue: { from: MemberId; to: MemberId; epoch: Epoch; body: Buffer }[] = []
  #connected = false
  #waiting: { member: MemberId; vector: Vector; resolve: () => void }[] = []

  constructor(members: MemberId[], minHoldMs = 0) {
    for (const member of members) this.nodes.set(member, this.#makeNode(member, minHoldMs))
  }

  #makeNode(member: MemberId, minHoldMs: number): TokenNode {
    this.applied.set(member, new Map())
    return new TokenNode(
      {
        clock,
        flush: () => Promise.resolve(this.#appliedBy(member)),
        waitApplied: (vector) => this.#waitApplied(member, vector),
        dropCaches: (inos) => {
          for (const ino of inos) this.dropped.push([member, ino])
        },
        onFatal: (error) => {
          throw error
        },
        sendPacket: (to, epoch, body) => {
          if (this.#connected) this.#queue.push({ from: member, to, epoch, body })
          setImmediate(() => this.#pump())
        },
        onViolation: (from, reason) => this.violations.push(`${from}: ${reason}`)
      },
      { member, minHoldMs }
    )
  }

  node(member: MemberId): TokenNode {
    const node = this.nodes.get(member)
    if (node === undefined) throw new Error('no such node')
    return node
  }

  connect(connected = true): void {
    this.#connected = connected
    if (!connected) this.#queue = []
    for (const [id, node] of this.nodes) {
      for (const peer of this.nodes.keys()) {
        if (peer === id) continue
        if (connected) node.peerConnected(peer)
        else node.peerDisconnected(peer)
      }
    }
  }

  startEpoch(epoch: number): void {
    const members = [...this.nodes.keys()]
    for (const node of this.nodes.values()) {
      node.startEpoch({ epoch: epoch as Epoch, authority: A, members })
    }
  }

  /** The member writes an entry; it is applied on that member only. */
  write(member: MemberId): Vector {
    const own = new Map([[member as number as WriterId, 1 as Seq]])
    this.advance(member, own)
    return own
  }

  advance(member: MemberId, vector: Vector): void {
    this.applied.set(member, vectorJoin(this.#appliedBy(member), vector))
    const waiting = this.#waiting
    this.#waiting = []
    for (const waiter of waiting) {
      if (vectorCovers(this.#appliedBy(waiter.member), waiter.vector)) waiter.resolve()
      else this.#waiting.push(waiter)
    }
  }

  #appliedBy(member: MemberId): Vector {
    return this.applied.get(member) ?? new Map()
  }

  #waitApplied(member: MemberId, vector: Vector): void | Promise<void> {
    if (vectorCovers(this.#appliedBy(member), vector)) return
    return new Promise((resolve) => this.#waiting.push({ member, vector, resolve }))
  }

  #pump(): void {
    for (const { from, to, epoch, body } of this.#queue.splice(0)) {
      this.node(to).receive(from, epoch, body)
    }
  }
}

function started(members: MemberId[] = [A, B], minHoldMs = 0): Cluster {
  const cluster = new Cluster(members, minHoldMs)
  cluster.connect()
  cluster.startEpoch(1)
  return cluster
}

/** Lets everything under way arrive. */
async function quiet(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('token node - everything is shared without a message, nothing exclusive', (t) => {
  const cluster = started()
  const guard = cluster.node(B).tryAcquire(want('shared', FILE, OTHER))
  t.ok(guard)
  guard?.release()
  t.absent(cluster.node(B).tryAcquire(want('exclusive', FILE)))
  t.is(cluster.node(B).status().member.states, 0, 'nothing kept')
})

test('token node - exclusive is granted, kept, and taken back for a reader', async (t) => {
  const cluster = started([A, B, C])
  const guard = await cluster.node(B).acquire(want('exclusive', FILE))
  guard.release()
  t.ok(cluster.node(B).tryAcquire(want('exclusive', FILE)), 'sticky')
  t.absent(cluster.node(A).tryAcquire(want('shared', FILE)), 'noted at A')
  t.absent(cluster.node(C).tryAcquire(want('shared', FILE)), 'noted at C')
  t.alike(cluster.dropped.map(([member]) => member).sort(), [A, C])
})

test('token node - a reader waits for the guard and for the position of the writer', async (t) => {
  const cluster = started()
  const guard = await cluster.node(B).acquire(want('exclusive', FILE))
  let read = false
  const reader = cluster
    .node(A)
    .acquire(want('shared', FILE))
    .then((got) => {
      read = true
      return got
    })
  await quiet()
  t.absent(read, 'the writer still runs')
  const written = cluster.write(B)
  guard.release()
  await quiet()
  t.absent(read, 'what was written is not applied yet')
  cluster.advance(A, written)
  ;(await reader).release()
  t.ok(cluster.node(B).tryAcquire(want('shared', FILE)), 'the writer may go on reading')
  t.absent(cluster.node(B).tryAcquire(want('exclusive', FILE)))
})

test('token node - an interrupted wait ends with its reason and leaves nothing', async (t) => {
  const cluster = started()
  const guard = await cluster.node(A).acquire(want('exclusive', FILE))
  const interrupt = new AbortController()
  const waiting = cluster.node(B).acquire(want('exclusive', FILE), interrupt.signal)
  await quiet()
  interrupt.abort(new Error('interrupted'))
  await t.exception(waiting, /interrupted/)
  guard.release()
  await quiet()
  t.is(cluster.node(A).status().authority?.waiting, 0)
  const again = await cluster.node(A).acquire(want('exclusive', FILE))
  again.release()
  await t.exception(cluster.node(B).acquire(want('shared', OTHER), AbortSignal.abort()))
})

test('token node - what was lost with a connection arrives over the next', async (t) => {
  const cluster = started([A, B, C])
  cluster.connect(false)
  const waiting = cluster.node(B).acquire(want('exclusive', FILE))
  await quiet()
  cluster.connect(true)
  const guard = await waiting
  guard.release()
  cluster.connect(false)
  const reader = cluster.node(C).acquire(want('shared', FILE))
  await quiet()
  cluster.connect(true)
  ;(await reader).release()
  t.alike(cluster.violations, [])
})

test('token node - ownership of a new inode ends when a directory is given up', async (t) => {
  const cluster = started()
  const guard = await cluster.node(B).acquire(want('exclusive', DIRECTORY))
  cluster.node(B).own(FILE)
  guard.release()
  const owner = cluster.node(B).tryAcquire(want('exclusive', FILE))
  t.ok(owner, 'without a message')
  let found = false
  const reader = cluster
    .node(A)
    .acquire(want('shared', DIRECTORY))
    .then((got) => {
      found = true
      got.release()
    })
  await quiet()
  t.absent(found, 'the directory waits for the running owner')
  owner?.release()
  await reader
  t.absent(cluster.node(B).tryAcquire(want('exclusive', FILE)))
  t.ok(cluster.node(B).tryAcquire(want('shared', FILE)))
})

test('token node - isolation fails waiters with EIO, the next epoch serves again', async (t) => {
  const cluster = started()
  const guard = await cluster.node(A).acquire(want('exclusive', FILE))
  const waiting = cluster.node(B).acquire(want('shared', FILE))
  await quiet()
  cluster.node(B).isolate()
  await t.exception(waiting, /may not serve/)
  await t.exception(cluster.node(B).acquire(want('shared', OTHER)), /may not serve/)
  t.absent(cluster.node(B).tryAcquire(want('shared', OTHER)))
  let sealed = false
  const seal = Promise.all([cluster.node(A).seal(), cluster.node(B).seal()]).then(() => {
    sealed = true
  })
  await quiet()
  t.absent(sealed, 'an exclusive guard runs')
  const over = cluster.node(A).acquire(want('shared', OTHER))
  guard.release()
  await seal
  cluster.startEpoch(2)
  ;(await over).release()
  t.ok(cluster.node(B).tryAcquire(want('shared', FILE)))
  t.is(cluster.node(A).status().authority?.held, 0)
})

test('token node - many writers on both nodes all have their turn', async (t) => {
  const cluster = started([A, B, C], 1)
  let turns = 0
  const run = async (member: MemberId) => {
    for (let i = 0; i < 100; i++) {
      const guard = await cluster.node(member).acquire(want('exclusive', FILE, DIRECTORY))
      turns++
      guard.release()
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await Promise.all([A, B, C, A, B, C].map(run))
  t.is(turns, 600)
  t.is(cluster.node(A).status().authority?.waiting, 0)
  t.alike(cluster.violations, [])
})

test('token node - packets that make no sense are reported, not obeyed', async (t) => {
  const cluster = started()
  const node = cluster.node(A)
  node.receive(B, 1 as Epoch, Buffer.from([9, 9]))
  t.is(cluster.violations.length, 1)
  node.receive(B, 7 as Epoch, Buffer.from([9, 9]))
  node.receive(C, 1 as Epoch, Buffer.from([9, 9]))
  t.is(cluster.violations.length, 1, 'another epoch, an unknown member: dropped')
  node.receive(B, 1 as Epoch, Buffer.from([2, 2, 0, 2, 5]))
  t.is(cluster.violations.length, 2, 'a gap')
  node.receive(B, 1 as Epoch, Buffer.from([2, 1, 0, 5, 1, 1, 5]))
  t.is(cluster.violations.length, 3, 'wrong direction')
})
