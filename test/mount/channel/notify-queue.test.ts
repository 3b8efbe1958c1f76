import test from 'brittle'
import { NotifyQueue } from '../../../src/mount/channel/notify-queue.ts'

interface Write {
  readonly message: Uint8Array
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

function makeQueue(concurrency: number, waitingMax = 100): { queue: NotifyQueue; writes: Write[] } {
  const writes: Write[] = []
  const write = (message: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      writes.push({ message, resolve, reject })
    })
  return { queue: new NotifyQueue({ write }, { concurrency, waitingMax }), writes }
}

function errnoError(code: string, errno: number): Error {
  return Object.assign(new Error(code), { code, errno })
}

test('notify queue - few run at a time, from copies, the rest follows', async (t) => {
  const { queue, writes } = makeQueue(2)
  const message = Buffer.from([1])
  const done = [1, 2, 3].map((byte) => {
    message[0] = byte
    return queue.push(message)
  })
  message[0] = 99
  t.is(writes.length, 2)
  writes[0]?.resolve()
  await done[0]
  t.is(writes.length, 3)
  t.alike(
    writes.map(({ message }) => message[0]),
    [1, 2, 3]
  )
  writes[1]?.resolve()
  writes[2]?.resolve()
  await Promise.all(done)
})

test('notify queue - ENOENT means not cached, other errors reach the caller', async (t) => {
  const { queue, writes } = makeQueue(2)
  const fine = queue.push(Buffer.from([1]))
  const bad = queue.push(Buffer.from([2]))
  writes[0]?.reject(errnoError('ENOENT', 2))
  writes[1]?.reject(errnoError('EINVAL', 22))
  await fine
  await t.exception(bad, /notify: EINVAL/)
})

test('notify queue - too many waiting are refused with ENOBUFS', async (t) => {
  const { queue, writes } = makeQueue(1, 1)
  const done = [queue.push(Buffer.from([1])), queue.push(Buffer.from([2]))]
  await t.exception(queue.push(Buffer.from([3])), /ENOBUFS/)
  writes[0]?.resolve()
  await done[0]
  writes[1]?.resolve()
  await done[1]
})

test('notify queue - close rejects what waits and waits for what runs', async (t) => {
  const { queue, writes } = makeQueue(1)
  const running = queue.push(Buffer.from([1]))
  const waiting = queue.push(Buffer.from([2]))
  const refused = t.exception(waiting, /ENOTCONN/)
  t.is(await queue.close(1), false, 'one is still in the kernel')
  const closed = queue.close(60_000)
  writes[0]?.resolve()
  t.is(await closed, true)
  await running
  await refused
  await t.exception(queue.push(Buffer.from([3])), /ENOTCONN/)
  t.is(writes.length, 1)
})
