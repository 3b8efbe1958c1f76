import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import type { Seq } from '../../../src/fs/primitives.ts'
import { DamagedLogError } from '../../../src/replication/storage/log-failure.ts'
import { DamagedFileError } from '../../../src/replication/storage/storage-errors.ts'
import { block, blocks, collect, connectNodes, type Node, openNode } from './log-nodes.ts'
import { range, WRITER, writerOf } from './support.ts'

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
