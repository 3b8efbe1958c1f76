import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import { Opcode, ReadFlag } from '../../../src/mount/fuse/abi.ts'
import { AnswerRoom } from '../../../src/mount/fuse/answer-room.ts'
import { RequestDecoder } from '../../../src/mount/fuse/decode.ts'
import { PageDrops } from '../../../src/mount/fuse/page-drops.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { ServedRequest } from '../../../src/mount/fuse/served-request.ts'
import { bodyOf, message, u32, u64, writeBody } from './kernel-side.ts'

const file = 5 as Ino
let unique = 0n

function request(opcode: number, body: Uint8Array, ino: Ino = file): ServedRequest {
  unique += 2n
  const decoded = new RequestDecoder().decode(
    message(opcode, body, { unique, nodeid: BigInt(ino) })
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

function read(ino: Ino = file, readFlags = 0): ServedRequest {
  return request(Opcode.READ, bodyOf(u64(1, 0), u32(4096, readFlags), u64(0), u32(0, 0)), ino)
}

class Kernel {
  readonly drops: PageDrops
  readonly dropped: Ino[] = []
  #waiting: (() => void)[] = []

  constructor() {
    this.drops = new PageDrops({
      invalidate: (ino) => {
        this.dropped.push(ino)
        return new Promise((resolve) => this.#waiting.push(resolve))
      }
    })
  }

  async finish(): Promise<void> {
    this.#waiting.shift()?.()
    await settled()
  }
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

/** Whether the promise has resolved; undefined has. */
async function isDone(promise: Promise<void> | undefined): Promise<boolean> {
  const later = settled().then(() => false)
  return Promise.race([Promise.resolve(promise).then(() => true), later])
}

function answeredRead(drops: PageDrops, ino: Ino = file): void {
  const one = read(ino)
  drops.arrived(one)
  drops.answered(one)
}

test('page drops - only what READs of the page cache brought is dropped', async (t) => {
  const { drops, dropped } = new Kernel()
  t.is(drops.drop(file), undefined)
  drops.arrived(read(file, ReadFlag.LOCKOWNER))
  t.is(drops.drop(file), undefined, 'a direct read')
  answeredRead(drops)
  t.ok(drops.drop(file) !== undefined)
  t.alike(dropped, [file])
  t.absent(await isDone(drops.dropping(file)))
})

test('page drops - once dropped, until pages come again', async (t) => {
  const kernel = new Kernel()
  const { drops } = kernel
  answeredRead(drops)
  const first = drops.drop(file)
  const second = drops.drop(file)
  t.is(kernel.dropped.length, 1, 'the same drop')
  await kernel.finish()
  t.alike([await isDone(first), await isDone(second)], [true, true])
  t.is(drops.dropping(file), undefined)
  t.is(drops.drop(file), undefined)
  answeredRead(drops)
  const third = drops.drop(file)
  answeredRead(drops)
  const fourth = drops.drop(file)
  t.is(kernel.dropped.length, 2, 'the fourth comes behind the third')
  await kernel.finish()
  t.alike([await isDone(third), await isDone(fourth)], [true, false])
  t.is(kernel.dropped.length, 3)
  await kernel.finish()
  t.ok(await isDone(fourth))
})

test('page drops - an unanswered request with pages holds nobody up', async (t) => {
  for (const holding of [
    read(),
    request(Opcode.WRITE, writeBody({ handle: 1, offset: 0, data: Buffer.alloc(8), writeFlags: 1 }))
  ]) {
    const kernel = new Kernel()
    const { drops } = kernel
    answeredRead(drops)
    const drop = drops.drop(file)
    t.absent(await isDone(drop))
    drops.arrived(holding)
    t.ok(await isDone(drop), 'it came while the drop ran')
    t.absent(await isDone(drops.dropping(file)), 'which goes on')
    t.is(drops.drop(file), undefined, 'it was there before')
    drops.answered(holding)
    await kernel.finish()
    await kernel.finish()
    t.is(drops.dropping(file), undefined)
  }
})

test('page drops - two at a time, the others in turn', async (t) => {
  const kernel = new Kernel()
  const { drops } = kernel
  const inos = [5, 6, 7].map((ino) => ino as Ino)
  for (const ino of inos) answeredRead(drops, ino)
  drops.beginAll()
  t.alike(kernel.dropped, inos.slice(0, 2))
  await kernel.finish()
  t.alike(kernel.dropped, inos)
})
