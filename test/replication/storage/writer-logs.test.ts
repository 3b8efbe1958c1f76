import { once } from 'node:events'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import NoiseSecretStream from '@hyperswarm/secret-stream'
import type { Test } from 'brittle'
import test from 'brittle'
import type { Seq } from '../../../src/fs/primitives.ts'
import type { ForeignLog } from '../../../src/replication/storage/foreign-log.ts'
import { DamagedLogError, type LogFailure } from '../../../src/replication/storage/log-failure.ts'
import { DamagedFileError } from '../../../src/replication/storage/storage-errors.ts'
import { WriterLogs } from '../../../src/replication/storage/writer-logs.ts'
import { waitFor } from '../../helpers/system.ts'
import { MemoryLogger, NEXT_WRITER, range, WRITER, writerOf } from './support.ts'

interface Node {
  readonly logs: WriterLogs
  readonly failures: LogFailure[]
}

async function openNode(t: Test, dir: string, queueMaxBlocks = 4096): Promise<Node> {
  const failures: LogFailure[] = []
  const logs = await WriterLogs.open(
    { dir, logger: new MemoryLogger(), onFailure: (failure) => failures.push(failure) },
    { queueMaxBlocks }
  )
  t.teardown(() => logs.close(), { order: 1 })
  return { logs, failures }
}

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

/** Connects two nodes over TCP on loopback with Noise; returns how to cut them apart. */
async function connectNodes(
  t: Test,
  a: Node,
  b: Node,
  wrap: (socket: Socket) => Duplex = (socket) => socket
): Promise<() => Promise<void>> {
  const server = createServer()
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('no port')
  const client = connect(address.port, '127.0.0.1')
  const socket = await accepted
  server.close()
  const streams = [new NoiseSecretStream(true, client), new NoiseSecretStream(false, wrap(socket))]
  const closed = streams.map((stream) => once(stream, 'close'))
  for (const stream of streams) stream.on('error', () => undefined)
  const [first, second] = streams
  if (!first || !second) throw new Error('no streams')
  a.logs.replicate(first)
  b.logs.replicate(second)
  const cut = async (): Promise<void> => {
    for (const stream of streams) stream.destroy()
    await Promise.all(closed)
  }
  t.teardown(cut, { order: 0 })
  return cut
}

function block(seq: number): Buffer {
  return Buffer.from(`block of entry ${seq}`)
}

function blocks(from: number, to: number): Buffer[] {
  return range(from, to).map(block)
}

/** Collects blocks until `last` has come; checks order and content. */
function collect(t: Test, log: ForeignLog, from: number, last: number): Promise<void> {
  return new Promise((resolve) => {
    let next = from
    log.deliver(from as Seq, (seq, bytes) => {
      if (seq !== next || !bytes.equals(block(seq))) t.fail(`got ${seq} instead of ${next}`)
      next++
      if (seq === last) resolve()
    })
  })
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

test('append missing - only what the old log misses, only if it is the same', async (t) => {
  const dir = await t.tmp()
  const first = await openNode(t, dir)
  const own = await first.logs.create(WRITER)
  await own.append(1 as Seq, blocks(1, 10))
  await first.logs.close()
  const second = await openNode(t, dir)
  const old = await second.logs.reopen(WRITER)
  t.is(await old.appendMissing(1 as Seq, 9 as Seq, blocks(1, 9)), 0, 'more than is known')
  const changed = [...blocks(1, 8), Buffer.from('other')]
  await t.exception(old.appendMissing(1 as Seq, 9 as Seq, changed), /block 9 differs/)
  await t.exception(old.appendMissing(12 as Seq, 13 as Seq, blocks(12, 13)), /11 to 11 are missing/)
  const other = [...blocks(5, 9), Buffer.from('other'), ...blocks(11, 12)]
  await t.exception(old.appendMissing(5 as Seq, 12 as Seq, other), /block 10 differs/)
  t.is(old.length, 10)
  t.is(await old.appendMissing(5 as Seq, 10 as Seq, blocks(5, 10)), 0)
  t.is(await old.appendMissing(5 as Seq, 15 as Seq, blocks(5, 15)), 5)
  t.is(old.length, 15)
})

test('lost tail - appended again the same, peers that hold it see no conflict', async (t) => {
  const tmp = await t.tmp()
  const a = await openNode(t, join(tmp, 'a'))
  const b = await openNode(t, join(tmp, 'b'))
  const own = await a.logs.create(WRITER)
  await own.append(1 as Seq, blocks(1, 8))
  await a.logs.close()
  cpSync(join(tmp, 'a'), join(tmp, 'rolled-back'), { recursive: true })
  // The store knows its folder again by this file, and refuses copies.
  rmSync(join(tmp, 'rolled-back', 'CORESTORE'))
  const later = await openNode(t, join(tmp, 'a'))
  const longer = await later.logs.reopen(WRITER)
  await longer.appendMissing(9 as Seq, 12 as Seq, blocks(9, 12))
  const cut = await connectNodes(t, later, b)
  const log = await b.logs.follow(WRITER, longer.key)
  await collect(t, log, 1, 12)
  await cut()
  await later.logs.close()
  const rolledBack = await openNode(t, join(tmp, 'rolled-back'))
  const old = await rolledBack.logs.reopen(WRITER)
  t.is(old.length, 8)
  t.is(await old.appendMissing(1 as Seq, 10 as Seq, blocks(1, 10)), 2)
  await connectNodes(t, rolledBack, b)
  const next = await rolledBack.logs.create(writerOf(1, 2))
  const fresh = await b.logs.follow(next.writer, next.key)
  await next.append(1 as Seq, [block(1)])
  await collect(t, fresh, 1, 1)
  t.is(log.length, 12)
  t.alike([...rolledBack.failures, ...b.failures], [])
})

test('rollback shape - a peer that is longer: the writer must not append to that log', async (t) => {
  const tmp = await t.tmp()
  const a = await openNode(t, join(tmp, 'a'))
  const own = await a.logs.create(WRITER)
  await own.append(1 as Seq, blocks(1, 5))
  await a.logs.flush()
  await a.logs.close()
  const again = await openNode(t, join(tmp, 'a'))
  await t.exception(again.logs.create(WRITER), /blocks before its first use/)
  const old = await again.logs.reopen(WRITER)
  t.is(await old.appendMissing(1 as Seq, 3 as Seq, blocks(1, 3)), 0)
  t.is(old.length, 5, 'what it has beyond is left alone')
})

test('conflict - two histories of one writer are reported on both nodes', async (t) => {
  const tmp = await t.tmp()
  const a = await openNode(t, join(tmp, 'a'))
  const own = await a.logs.create(WRITER)
  await own.append(1 as Seq, blocks(1, 4))
  await a.logs.close()
  cpSync(join(tmp, 'a'), join(tmp, 'copy'), { recursive: true })
  rmSync(join(tmp, 'copy', 'CORESTORE'))
  const one = await openNode(t, join(tmp, 'a'))
  const b = await openNode(t, join(tmp, 'b'))
  const first = await one.logs.reopen(WRITER)
  await first.append(5 as Seq, [Buffer.from('one history')])
  const cut = await connectNodes(t, one, b)
  const log = await b.logs.follow(WRITER, first.key)
  await new Promise<void>((resolve) => {
    log.deliver(5 as Seq, () => resolve())
  })
  await cut()
  const two = await openNode(t, join(tmp, 'copy'))
  const second = await two.logs.reopen(WRITER)
  await second.append(5 as Seq, [Buffer.from('another history'), block(6)])
  await connectNodes(t, two, b)
  const conflicts = (node: Node): boolean =>
    node.failures.some((failure) => failure.kind === 'conflict')
  while (!conflicts(b) || !conflicts(two)) await new Promise((next) => setTimeout(next, 10))
  await t.exception(second.append(7 as Seq, [block(7)]), /two histories/)
})

test('damage - a flipped bit in the stored log is reported, never served', async (t) => {
  const tmp = await t.tmp()
  const a = await openNode(t, join(tmp, 'a'))
  const own = await a.logs.create(WRITER)
  const large = range(1, 20).map((seq) => Buffer.alloc(20_000, seq))
  await own.append(1 as Seq, large)
  await a.logs.flush()
  await a.logs.close()
  const db = join(tmp, 'a', 'db')
  const stored = readdirSync(db).filter((name) => /\.(sst|blob)$/.test(name))
  t.ok(stored.length > 0, 'flush wrote tables')
  for (const name of stored) {
    const bytes = readFileSync(join(db, name))
    for (let at = 1000; at < bytes.length; at += 1000) {
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    }
    if (bytes.length > 1000) writeFileSync(join(db, name), bytes)
  }
  let refused = 0
  try {
    const again = await openNode(t, join(tmp, 'a'))
    const old = await again.logs.reopen(WRITER)
    await old.appendMissing(1 as Seq, 20 as Seq, large)
  } catch (error) {
    refused++
    t.comment(String(error))
  }
  t.is(refused, 1)
})

test('damage - a store whose files are not what was written is refused as damaged', async (t) => {
  const dir = await t.tmp()
  const { logs } = await openNode(t, dir)
  const own = await logs.create(WRITER)
  await own.append(
    1 as Seq,
    range(1, 20).map((seq) => Buffer.alloc(400, seq))
  )
  await logs.flush()
  await logs.close()
  const tables = readdirSync(join(dir, 'db')).filter((name) => name.endsWith('.sst'))
  t.ok(tables.length > 0)
  for (const name of tables) {
    const path = join(dir, 'db', name)
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    writeFileSync(path, bytes)
  }
  const opening = openNode(t, dir).catch((error: unknown) => error)
  t.ok((await opening) instanceof DamagedFileError)
})

test('damage - a log that cannot be read is damaged, and nothing is appended to it', async (t) => {
  const dir = await t.tmp()
  const { logs } = await openNode(t, dir)
  const own = await logs.create(WRITER)
  const written = range(1, 40).map((seq) => Buffer.alloc(3000, seq))
  await own.append(1 as Seq, written)
  await logs.flush()
  await logs.close()
  for (const name of readdirSync(join(dir, 'db')).filter((name) => name.endsWith('.sst'))) {
    const path = join(dir, 'db', name)
    const bytes = readFileSync(path)
    const at = bytes.indexOf(Buffer.alloc(1000, 36))
    if (at >= 0) writeFileSync(path, bytes.fill(0, at, at + 10))
  }
  const again = await openNode(t, dir)
  const old = await again.logs.reopen(WRITER)
  const more = [...written, Buffer.alloc(3000, 41)]
  const outcome = await old.appendMissing(1 as Seq, 41 as Seq, more).catch((error) => error)
  t.ok(outcome instanceof DamagedLogError, String(outcome))
  t.is(old.length, 40)
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
