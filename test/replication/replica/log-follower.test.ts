import test from 'brittle'
import type { Incarnation, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { LogFollower } from '../../../src/replication/replica/log-follower.ts'
import type { ReplicaLogs } from '../../../src/replication/replica/replica-ports.ts'
import { A, B, epochRecord } from '../records.ts'
import { NotedLogger, settle } from './support.ts'

const WB = makeWriterId(B, 1 as Incarnation)
const record = epochRecord({ live: [WB], writers: [{ writer: WB, coreKey: 'ab' }] })

interface Extension {
  readonly length: number
  /** True: the signature fits what stands on the shelf. */
  readonly end: (fits: boolean) => void
}

/** A, with the entries of B on its shelf; what is said of B's log is answered by the test. */
async function follow() {
  const shelf = new Map<number, Buffer>()
  const extensions: Extension[] = []
  const diverged: string[] = []
  let onBlock: (seq: Seq, block: Buffer) => void | Promise<void> = () => {}
  const log = {
    extend: (length: Seq) =>
      new Promise<boolean>((end) => {
        extensions.push({ length, end })
      }),
    deliver: (_from: Seq, deliver: typeof onBlock) => {
      onBlock = deliver
    }
  }
  const logs = {
    follow: async () => log,
    foreign: () => log,
    own: () => undefined,
    remove: async () => {}
  }
  const follower = new LogFollower({
    logs: logs as unknown as ReplicaLogs,
    shelf: { get: (_writer: WriterId, seq: Seq) => shelf.get(seq), oldest: () => [] },
    published: {
      add: (_writer: WriterId, upTo: Seq) => {
        for (const seq of [...shelf.keys()]) if (seq <= upTo) shelf.delete(seq)
      },
      forget: () => shelf.clear()
    },
    self: A,
    appliedOf: () => 0 as Seq,
    waitApplied: async () => {},
    logger: new NotedLogger(),
    onDivergence: (error) => diverged.push(error.message)
  })
  for (const seq of [1, 2, 3, 4]) shelf.set(seq, Buffer.from(`entry ${seq}`))
  await follower.follow(record)
  const block = (seq: number, text: string) => onBlock(seq as Seq, Buffer.from(text))
  return { follower, shelf, extensions, diverged, block }
}

test('log follower - what a signature fits leaves the shelf, the newest for all before it', async (t) => {
  const { follower, shelf, extensions } = await follow()
  const signature = Buffer.alloc(64)
  const signed = [1, 2, 3].map((seq) => follower.signed(WB, seq as Seq, signature))
  t.is(extensions.length, 1, 'one at a time')
  extensions[0]?.end(true)
  await settle()
  t.alike([...shelf.keys()], [2, 3, 4])
  t.alike(
    extensions.map(({ length }) => length),
    [1, 3]
  )
  extensions[1]?.end(false)
  await Promise.all(signed)
  t.alike([...shelf.keys()], [2, 3, 4], 'it did not fit: the blocks are compared')
})

test('log follower - equal blocks leave the shelf, another one is a divergence', async (t) => {
  const { shelf, diverged, block } = await follow()
  await block(1, 'entry 1')
  t.alike([...shelf.keys()], [2, 3, 4])
  await block(2, 'another entry')
  t.is(diverged.length, 1)
  t.ok(diverged[0]?.includes('block 2 differs'))
  await block(3, 'entry 3')
  t.alike([...shelf.keys()], [2, 3, 4], 'nothing is compared any more')
})
