import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'brittle'
import type { Seq, WriterId } from '../../../src/fs/primitives.ts'
import type { SealedEntry } from '../../../src/replication/entry.ts'
import { RecentEntries } from '../../../src/replication/replica/recent-entries.ts'

const A = 1 as WriterId
const B = 2 as WriterId
const KIB = 1024
const MIB = 1024 * KIB

function entry(writer: WriterId, seq: number, payloadBytes: number): SealedEntry {
  const payload = Buffer.alloc(payloadBytes)
  return { writer, seq: seq as Seq, head: Buffer.alloc(10), payload }
}

test('recent entries - the newest of all writers, up to the bound', (t) => {
  const recent = new RecentEntries({ bytesMax: 10 * KIB })
  t.is(recent.averageBytes, 0)
  for (let seq = 1; seq <= 20; seq++) {
    recent.add(entry(A, seq, KIB))
    recent.add(entry(B, seq, KIB))
  }
  const kept = (writer: WriterId): number[] => {
    const seqs: number[] = []
    for (let seq = 1; seq <= 20; seq++) if (recent.get(writer, seq as Seq)) seqs.push(seq)
    return seqs
  }
  t.alike(kept(A), [17, 18, 19, 20])
  t.alike(kept(B), [17, 18, 19, 20])
  t.is(recent.averageBytes, KIB + 10 + 200)
  const large = entry(A, 21, MIB)
  recent.add(large)
  t.is(recent.get(A, 21 as Seq), large, 'the newest stays, however large')
  t.alike([...kept(A), ...kept(B)], [])
})

test('recent entries - at rest the newest alone stay', (t) => {
  const recent = new RecentEntries({ bytesMax: 32 * KIB })
  for (let seq = 1; seq <= 20; seq++) recent.add(entry(A, seq, KIB))
  recent.releaseMemory()
  t.absent(recent.get(A, 19 as Seq))
  t.ok(recent.get(A, 20 as Seq))
  t.is(recent.averageBytes, KIB + 10 + 200)
  for (let seq = 21; seq <= 40; seq++) recent.add(entry(A, seq, KIB))
  t.ok(recent.get(A, 21 as Seq), 'as many as before are kept afterwards')
})

test('recent entries - what is dropped is let go of', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const recent = new RecentEntries({ bytesMax: MIB })
  const ends: WeakRef<SealedEntry>[] = []
  for (let seq = 1; seq <= 100; seq++) {
    const one = entry(A, seq, 100 * KIB)
    ends.push(new WeakRef(one))
    recent.add(one)
  }
  // A weak reference holds for the rest of the turn it was made in.
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  const left = ends.filter((end) => end.deref() !== undefined).length
  t.ok(left <= 20, `${left} of 100 entries are still there`)
  t.ok(recent.get(A, 100 as Seq))
})
