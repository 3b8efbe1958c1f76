import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import test from 'brittle'
import type { Seq } from '../../../src/fs/primitives.ts'
import { waitFor } from '../../helpers/system.ts'
import { block, blocks, collect, connectNodes, openNode } from './log-nodes.ts'
import { NEXT_WRITER, range, WRITER, writerOf } from './support.ts'

/** Messages that carry blocks are larger, those about lengths smaller. */
const DATA_BYTES = 150

/** What the other end sends can be held back. */
class Gate extends Duplex {
  readonly #socket: Socket
  readonly #held: Buffer[] = []
  #holdsFrom = Number.POSITIVE_INFINITY

  constructor(socket: Socket) {
    super()
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => {
      if (this.holds || bytes.length >= this.#holdsFrom) this.#held.push(bytes)
      else this.push(bytes)
    })
    socket.on('close', () => this.destroy())
  }

  get holds(): boolean {
    return this.#held.length > 0
  }

  /** Holds everything back, beginning with a piece of so many bytes. */
  shut(bytes: number): void {
    this.#holdsFrom = bytes
  }

  open(): void {
    this.#holdsFrom = Number.POSITIVE_INFINITY
    for (const bytes of this.#held.splice(0)) this.push(bytes)
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}

test('own log - key before the first append, order, length, reopen', async (t) => {
  const dir = await t.tmp()
  const first = await openNode(t, dir)
  const own = await first.logs.create(WRITER)
  const key = own.key.toString('hex')
  t.is(own.key.length, 32)
  await Promise.all([own.append(1 as Seq, blocks(1, 3)), own.append(4 as Seq, blocks(4, 300))])
  t.is(own.length, 300)
  await t.exception(() => own.append(300 as Seq, [block(300)]), /out of order/)
  await t.exception(first.logs.create(WRITER), /open already/)
  const lengths = await first.logs.flush()
  t.is(lengths.get(WRITER), 300)
  await first.logs.close()
  const second = await openNode(t, dir)
  await t.exception(second.logs.create(WRITER), /blocks before its first use/)
  const old = await second.logs.reopen(WRITER)
  t.is(old.length, 300)
  t.is(old.key.toString('hex'), key)
  t.is((await second.logs.create(writerOf(1, 2))).length, 0)
})

test('own log - a full queue says so and has room again', async (t) => {
  const node = await openNode(t, await t.tmp(), 10)
  const own = await node.logs.create(WRITER)
  const done: Promise<void>[] = []
  for (const seq of range(1, 10)) done.push(own.append(seq as Seq, [block(seq)]))
  t.absent(own.hasRoom)
  await own.room()
  t.ok(own.hasRoom)
  await Promise.all(done)
  t.is(own.length, 10)
})

test('two nodes - blocks arrive in order, live and after an absence', async (t) => {
  const a = await openNode(t, await t.tmp())
  const dirB = await t.tmp()
  const b = await openNode(t, dirB)
  const own = await a.logs.create(WRITER)
  const cut = await connectNodes(t, a, b)
  const log = await b.logs.follow(WRITER, own.key)
  const live = collect(t, log, 1, 200)
  for (const seq of range(1, 200)) {
    const appended = own.append(seq as Seq, [block(seq)])
    if (seq % 20 === 0) await appended
  }
  await live
  t.is(log.length, 200)
  t.alike(await log.read(77 as Seq), block(77))
  t.is(await log.read(201 as Seq), undefined)
  await cut()
  await b.logs.flush()
  await b.logs.close()
  await own.append(201 as Seq, blocks(201, 1000))
  const again = await openNode(t, dirB)
  const back = await again.logs.follow(WRITER, own.key)
  t.is(back.length, 200)
  const rest = collect(t, back, 151, 1000)
  await connectNodes(t, a, again)
  await rest
  t.is(back.length, 1000)
  t.absent(back.stalled)
  t.alike([...a.failures, ...b.failures, ...again.failures], [])
})

test('two nodes - a log is extended by a signature with entries that are here', async (t) => {
  const a = await openNode(t, await t.tmp())
  const b = await openNode(t, await t.tmp())
  const own = await a.logs.create(WRITER)
  await connectNodes(t, a, b)
  const log = await b.logs.follow(WRITER, own.key)
  const here = (seq: Seq) => block(seq)
  const delivered: number[] = []
  const first = new Promise<void>((resolve) => {
    log.deliver(1 as Seq, (seq) => {
      delivered.push(seq)
      resolve()
    })
  })
  // Who signs is learned with the first block.
  await own.append(1 as Seq, blocks(1, 1))
  await first
  const signed: Promise<boolean>[] = []
  own.watch((length, signature) => signed.push(log.extend(length, signature, here)))
  for (let seq = 2; seq <= 401; seq += 20) await own.append(seq as Seq, blocks(seq, seq + 19))
  const extended = await Promise.all(signed)
  t.ok(extended.includes(true), 'one at least was not overtaken by a download')
  t.ok(delivered.length < 401, 'what came by a signature is not delivered')
  t.alike(await log.read(401 as Seq), block(401))
  own.watch(() => {})
  await own.append(402 as Seq, blocks(402, 450))
  while (log.length < 450) {
    log.check()
    await new Promise((next) => setTimeout(next, 20))
  }
  t.alike(await log.read(450 as Seq), block(450), 'what no signature brought is downloaded')
  t.is(await log.extend(460 as Seq, Buffer.alloc(68), here), false, 'not the signature of this log')
  t.is(log.length, 450)
  t.alike([...a.failures, ...b.failures], [])
})

test('two nodes - an answer that an extension has overtaken is no damage', async (t) => {
  const a = await openNode(t, await t.tmp())
  const b = await openNode(t, await t.tmp())
  const own = await a.logs.create(WRITER)
  let gate: Gate | undefined
  await connectNodes(t, a, b, (socket) => {
    gate = new Gate(socket)
    return gate
  })
  if (!gate) throw new Error('no gate')
  const log = await b.logs.follow(WRITER, own.key)
  let newest: [Seq, Buffer] | undefined
  own.watch((length, signature) => {
    newest = [length, signature]
  })
  const extend = async (): Promise<boolean> => {
    return newest !== undefined && (await log.extend(...newest, block))
  }
  const first = new Promise<void>((resolve) => log.deliver(1 as Seq, () => resolve()))
  await own.append(1 as Seq, blocks(1, 1))
  await first
  // After an extension it asks for nothing, until `check` has seen twice that it is behind.
  gate.shut(0)
  await own.append(2 as Seq, blocks(2, 3))
  t.ok(await extend())
  gate.open()
  gate.shut(DATA_BYTES)
  await own.append(4 as Seq, blocks(4, 13))
  while (!gate.holds && log.length < 13) {
    log.check()
    await new Promise((next) => setTimeout(next, 20))
  }
  await own.append(14 as Seq, blocks(14, 20))
  t.ok(await extend(), 'what it has asked for, and more, comes by a signature')
  gate.open()
  await own.append(21 as Seq, blocks(21, 25))
  while (log.length < 25) {
    log.check()
    await new Promise((next) => setTimeout(next, 20))
  }
  t.alike([...a.failures, ...b.failures], [])
})

test('two nodes - a log is closed while it is being extended', async (t) => {
  const a = await openNode(t, await t.tmp())
  const b = await openNode(t, await t.tmp())
  const own = await a.logs.create(WRITER)
  await connectNodes(t, a, b)
  const log = await b.logs.follow(WRITER, own.key)
  await own.append(1 as Seq, blocks(1, 1))
  await collect(t, log, 1, 1)
  const signed: Promise<boolean>[] = []
  let closed: Promise<void> | undefined
  own.watch((length, signature) => {
    signed.push(log.extend(length, signature, block))
    closed ??= b.logs.close()
  })
  await own.append(2 as Seq, blocks(2, 40))
  t.is((await Promise.all(signed)).length, 1)
  await closed
  await new Promise((next) => setTimeout(next, 20))
  t.alike(b.failures, [], 'nothing reads from a closed store')
})

test('three nodes - a log is had from a member that is not its writer', async (t) => {
  const a = await openNode(t, await t.tmp())
  const b = await openNode(t, await t.tmp())
  const c = await openNode(t, await t.tmp())
  const own = await a.logs.create(WRITER)
  await own.append(1 as Seq, blocks(1, 50))
  const cut = await connectNodes(t, a, b)
  await collect(t, await b.logs.follow(WRITER, own.key), 1, 50)
  await cut()
  await connectNodes(t, b, c)
  await collect(t, await c.logs.follow(WRITER, own.key), 1, 50)
  t.pass()
})

test('deliver - waits for the consumer, whose error ends it and is reported', async (t) => {
  const node = await openNode(t, await t.tmp())
  const copy = await openNode(t, await t.tmp())
  const own = await node.logs.create(WRITER)
  await own.append(1 as Seq, blocks(1, 5))
  await connectNodes(t, node, copy)
  const log = await copy.logs.follow(WRITER, own.key)
  const seen: number[] = []
  let running = 0
  const failed = new Promise<void>((resolve) => {
    log.deliver(1 as Seq, async (seq) => {
      t.is(++running, 1)
      await new Promise((next) => setImmediate(next))
      running--
      seen.push(seq)
      if (seq === 3) {
        setImmediate(resolve)
        throw new Error('not mine')
      }
    })
  })
  await failed
  t.alike(seen, [1, 2, 3])
  t.is(copy.failures[0]?.kind, 'consumer')
})

test('store - in use by another opening of the same folder', async (t) => {
  const dir = await t.tmp()
  await openNode(t, dir)
  await t.exception(openNode(t, dir), /lock/)
})

test('remove - a log that nobody needs is gone from the disk, the others stay', async (t) => {
  const [dirA, dirB] = [await t.tmp(), await t.tmp()]
  const a = await openNode(t, dirA)
  const b = await openNode(t, dirB)
  const [old, next] = [await a.logs.create(WRITER), await a.logs.create(writerOf(1, 2))]
  await old.append(1 as Seq, blocks(1, 20))
  await next.append(1 as Seq, blocks(1, 5))
  const copies = [await b.logs.follow(WRITER, old.key), await b.logs.follow(NEXT_WRITER, next.key)]
  await connectNodes(t, a, b)
  await waitFor('the blocks', 30_000, () => copies[0]?.length === 20 && copies[1]?.length === 5)
  await b.logs.remove(WRITER)
  t.is(b.logs.foreign(WRITER), undefined)
  await a.logs.remove(WRITER)
  t.is(a.logs.own(WRITER), undefined)
  await next.append(6 as Seq, blocks(6, 9))
  await waitFor('the blocks', 30_000, () => copies[1]?.length === 9)
  t.alike(await copies[1]?.read(9 as Seq), block(9))
  await b.logs.flush()
  await b.logs.close()
  const again = await openNode(t, dirB)
  t.is(await again.logs.removeAllBut([next.key]), 0, 'it was the only one left')
  t.is((await again.logs.follow(NEXT_WRITER, next.key)).length, 9)
  t.is((await again.logs.follow(WRITER, old.key)).signedLength, 0)
  await again.logs.close()
  const last = await openNode(t, dirB)
  t.ok((await last.logs.removeAllBut([])) > 0)
  t.is((await last.logs.follow(NEXT_WRITER, next.key)).signedLength, 0)
})
