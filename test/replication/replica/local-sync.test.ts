import test from 'brittle'
import type { SegmentId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { LocalSync } from '../../../src/replication/replica/local-sync.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { settle } from './support.ts'

const W = 0x1000001 as WriterId

class Desk {
  readonly calls: string[] = []
  readonly durable: number[] = []
  readonly sync: LocalSync
  position = 0
  /** Own ops that are gathered and get their entry at the next flush. */
  gathered = 0
  dirty: number[] = []
  /** An entry with dead slices is in no checkpoint yet. */
  needsCheckpoint = false
  #running: { resolve: () => void; reject: (error: Error) => void }[] = []

  constructor() {
    this.sync = new LocalSync({
      flushOwn: () => {
        this.position += this.gathered
        this.gathered = 0
      },
      applied: (): Vector => new Map([[W, this.position as Seq]]),
      syncJournal: () => this.#start('journal'),
      takeUnjournaled: () => this.dirty.splice(0) as SegmentId[],
      syncSegments: async (segments) => {
        this.calls.push(`segments ${segments}`)
      },
      syncJournalNow: () => this.calls.push('journal now'),
      syncSegmentsNow: (segments) => this.calls.push(`segments now ${segments}`),
      needsCheckpoint: () => this.needsCheckpoint,
      checkpoint: async () => {
        await this.#start('checkpoint')
        this.needsCheckpoint = false
      },
      onDurable: (vector) => this.durable.push(vector.get(W) ?? 0)
    })
  }

  #start(name: string): Promise<void> {
    this.calls.push(name)
    return new Promise((resolve, reject) => this.#running.push({ resolve, reject }))
  }

  get running(): number {
    return this.#running.length
  }

  async finish(error?: Error): Promise<void> {
    const run = this.#running.shift()
    if (error) run?.reject(error)
    else run?.resolve()
    await settle()
  }

  takeCalls(): string[] {
    return this.calls.splice(0)
  }
}

async function at(vector: Promise<Vector>): Promise<number> {
  return (await vector).get(W) ?? 0
}

test('local sync - covers what came before the call, gathered ops included', async (t) => {
  const desk = new Desk()
  desk.position = 3
  desk.gathered = 2
  desk.dirty = [7, 8]
  const done = desk.sync.sync()
  await settle()
  t.alike(desk.takeCalls(), ['journal', 'segments 7,8'])
  desk.position = 9
  await desk.finish()
  t.is(await at(done), 5, 'and not what came while it ran')
  t.alike(desk.durable, [5])
})

test('local sync - runs never overlap, calls share the next run', async (t) => {
  const desk = new Desk()
  desk.position = 1
  const first = desk.sync.sync()
  await settle()
  desk.position = 2
  const second = desk.sync.sync()
  desk.position = 3
  const third = desk.sync.sync()
  await settle()
  t.is(desk.running, 1)
  await desk.finish()
  t.is(await at(first), 1)
  t.is(desk.running, 1)
  desk.position = 4
  const fourth = desk.sync.sync()
  await settle()
  t.is(desk.running, 1)
  await desk.finish()
  t.is(await at(second), 3)
  t.is(await at(third), 3)
  await desk.finish()
  t.is(await at(fourth), 4)
  t.alike(desk.durable, [1, 3, 4])
})

test('local sync - a failure reaches its callers and says nothing durable', async (t) => {
  const desk = new Desk()
  const first = desk.sync.sync()
  await settle()
  const second = desk.sync.sync()
  const caught = first.catch((error: Error) => error.message)
  await desk.finish(new Error('disk broken'))
  t.is(await caught, 'disk broken')
  t.alike(desk.durable, [])
  t.is(desk.running, 1, 'the stores refuse the next one, not this')
  await desk.finish()
  await second
})

test('local sync - at once, with the segments of the run in progress', async (t) => {
  const desk = new Desk()
  desk.dirty = [7]
  const done = desk.sync.sync()
  await settle()
  desk.takeCalls()
  desk.dirty = [9]
  desk.gathered = 1
  desk.sync.syncNow()
  t.alike(desk.takeCalls(), ['journal now', 'segments now 7,9'])
  t.is(desk.position, 1, 'own ops were flushed')
  await desk.finish()
  await done
  desk.sync.syncNow()
  t.alike(desk.takeCalls(), ['journal now', 'segments now '])
})

test('local sync - with dead slices nothing is durable before a checkpoint, which needs no such sync itself', async (t) => {
  const desk = new Desk()
  desk.position = 2
  desk.needsCheckpoint = true
  const done = desk.sync.sync()
  await settle()
  await desk.finish()
  t.alike(desk.takeCalls(), ['journal', 'segments ', 'checkpoint'])
  const files = desk.sync.syncFiles()
  await settle()
  t.is(desk.running, 2)
  t.alike(desk.durable, [])
  await desk.finish()
  t.is(await at(done), 2)
  t.alike(desk.durable, [2])
  await desk.finish()
  await files
  t.alike(desk.durable, [2, 2])
})

test('local sync - a checkpoint that fails reaches the callers', async (t) => {
  const desk = new Desk()
  desk.needsCheckpoint = true
  const caught = desk.sync.sync().catch((error: Error) => error.message)
  await settle()
  await desk.finish()
  await desk.finish(new Error('disk broken'))
  t.is(await caught, 'disk broken')
  t.alike(desk.durable, [])
})
