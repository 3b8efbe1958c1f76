import test from 'brittle'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { AnswerRoom } from '../../../src/mount/fuse/answer-room.ts'
import { RequestDecoder } from '../../../src/mount/fuse/decode.ts'
import { Interrupts } from '../../../src/mount/fuse/interrupts.ts'
import { hasSigkill, killPending } from '../../../src/mount/fuse/kill-pending.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { ServedRequest } from '../../../src/mount/fuse/served-request.ts'
import { ManualClock, message } from './kernel-side.ts'

function served(unique: bigint, pid: number): ServedRequest {
  const decoded = new RequestDecoder().decode(
    message(Opcode.STATFS, Buffer.alloc(0), { unique, pid })
  )
  if (!decoded.ok) throw new Error(decoded.reason)
  return new ServedRequest(decoded, {
    costBytes: 0,
    startedMs: 0,
    cacheMark: uncachedPolicy.mark(),
    releaseBuffer: undefined,
    answerRoom: new AnswerRoom({ pageOffset: () => 0 })
  })
}

function world(): {
  readonly clock: ManualClock
  readonly dying: Set<number>
  readonly ended: bigint[]
  readonly interrupts: Interrupts
} {
  const clock = new ManualClock()
  const dying = new Set<number>()
  const ended: bigint[] = []
  const interrupts = new Interrupts({
    clock,
    killPending: (pid) => dying.has(pid),
    end: (request) => ended.push(BigInt(request.key))
  })
  return { clock, dying, ended, interrupts }
}

test('interrupts - a process that is being killed ends its wait at once', (t) => {
  const { clock, dying, ended, interrupts } = world()
  dying.add(7)
  interrupts.interrupt(served(2n, 7))
  t.alike(ended, [2n])
  t.is(clock.timers, 0)
})

test('interrupts - any other signal goes on waiting, a later SIGKILL is noticed', (t) => {
  const { clock, dying, ended, interrupts } = world()
  interrupts.interrupt(served(2n, 7))
  interrupts.interrupt(served(4n, 8))
  clock.advance(1000)
  t.alike(ended, [])
  dying.add(8)
  clock.advance(100)
  t.alike(ended, [4n])
  t.is(clock.timers, 1, 'the other is still looked at')
})

test('interrupts - an answered request is forgotten', (t) => {
  const { clock, dying, ended, interrupts } = world()
  const request = served(2n, 7)
  interrupts.interrupt(request)
  request.state = 'answered'
  interrupts.settled(request)
  t.is(clock.timers, 0)
  dying.add(7)
  interrupts.interrupt(request)
  t.alike(ended, [])
})

test('kill pending - signal sets of /proc/PID/status', (t) => {
  const status = (thread: string, group: string): string =>
    `Name:\tx\nSigQ:\t1/2\nSigPnd:\t${thread}\nShdPnd:\t${group}\nSigBlk:\t0000000000000100\n`
  t.absent(hasSigkill(status('0000000000000000', '0000000000000000')))
  t.ok(hasSigkill(status('0000000000000100', '0000000000000000')))
  t.ok(hasSigkill(status('0000000000000000', '8000000000000102')))
  t.absent(hasSigkill(status('0000000000004002', '0000000000000000')))
  t.absent(hasSigkill('garbage'))
  t.absent(killPending(0))
  t.absent(killPending(process.pid))
  t.absent(killPending(2 ** 31 - 1), 'nobody')
})
