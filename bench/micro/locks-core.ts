/** How fast one member locks and unlocks when it is alone on an inode: no message, no promise. */
import { assert } from '../../src/fs/assert.ts'
import { LOCK_END, type LockRequest } from '../../src/fs/ports/lock-service.ts'
import type { Epoch, Ino, MemberId } from '../../src/fs/primitives.ts'
import { LockNode } from '../../src/replication/lock/lock-node.ts'

const ROUNDS = 1_000_000
const INODES = 64

function makeNode(): LockNode {
  const member = 1 as MemberId
  const node = new LockNode(
    {
      clock: {
        wall: () => ({ sec: 0, nsec: 0 }),
        monotonicMs: () => performance.now(),
        setTimer: (delayMs, fn) => {
          const timer = setTimeout(fn, delayMs)
          timer.unref()
          return { cancel: () => clearTimeout(timer) }
        }
      },
      tokens: { reserve: () => undefined, settleReserved: () => {}, bring: () => {} },
      sendPacket: () => {},
      onLost: () => {},
      onViolation: (_member, reason) => {
        throw new Error(reason)
      }
    },
    { member }
  )
  node.startEpoch({ epoch: 1 as Epoch, authority: member, members: [member] })
  return node
}

function measure(name: string, kind: LockRequest['kind'], others: number): void {
  const node = makeNode()
  const range = { start: 0n, end: kind === 'flock' ? LOCK_END : 99n }
  for (let i = 0; i < others; i++) {
    const at = BigInt(1000 + i * 10)
    const theirs = { kind: 'record', type: 'write', start: at, end: at + 4n } as const
    for (let ino = 0; ino < INODES; ino++) {
      const held = { ...theirs, owner: BigInt(i + 2), pid: i }
      assert(node.setlk((100 + ino) as Ino, held, { wait: false }) === undefined, 'held at once')
    }
  }
  const lock: LockRequest = { kind, type: 'write', ...range, owner: 1n, pid: 42 }
  const unlock: LockRequest = { ...lock, type: 'unlock' }
  const before = process.cpuUsage()
  for (let i = 0; i < ROUNDS; i++) {
    const ino = (100 + (i % INODES)) as Ino
    const first = node.setlk(ino, lock, { wait: true })
    const second = node.setlk(ino, unlock, { wait: false })
    if (first !== undefined || second !== undefined) throw new Error('not decided at once')
  }
  // Processor time: the figure is the same on a machine that has other work to do.
  const { user, system } = process.cpuUsage(before)
  const seconds = (user + system) / 1_000_000
  const rate = Math.round(ROUNDS / seconds / 1000)
  console.log(`${name}: ${rate} k lock+unlock/s of processor time`)
}

measure('record lock, alone', 'record', 0)
measure('record lock, 8 other owners hold', 'record', 8)
measure('flock, alone', 'flock', 0)
