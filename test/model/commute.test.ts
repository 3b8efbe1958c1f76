/**
 * Ops of two members that hold different tokens may arrive in any order: every interleaving of the
 * two streams gives the same state.
 */
import { join } from 'node:path'
import type { Test } from 'brittle'
import test from 'brittle'
import { checkState } from '../../src/fs/check.ts'
import type { HandleId } from '../../src/fs/filesystem-api.ts'
import type { Op } from '../../src/fs/op.ts'
import type { Ino, MemberId } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { openState } from '../../src/fs/state/open-state.ts'
import type { Fixture } from '../fs/fixture.ts'
import { errnoOf, name, openFixture, reapOrphans, root, StepClock } from '../fs/fixture.ts'
import { Random } from './random.ts'

const MEMBERS = [1, 2] as MemberId[]
const NAMES = ['a', 'b', 'c', 'd'].map(name)
const NO_FLAGS = { noReplace: false, exchange: false }
const STEPS = 300
const ORDERS = 6

/** A directory for each member, and one file in which each has a half. */
async function prepare(fixture: Fixture): Promise<{ directories: Ino[]; both: Ino }> {
  const { fs } = fixture
  const directories: Ino[] = []
  for (const member of MEMBERS) {
    directories.push((await fs.mkdir(root, ROOT_INO, name(`d${member}`), 0o755)).ino)
  }
  const { ino } = await fs.mknod(root, ROOT_INO, name('both'), 0o100644, 0)
  const handle = await fs.open(root, ino, 2)
  // One slice for both, which each may copy from and overwrite its half of.
  const options = { append: false, killSuidGid: false }
  await fs.write(root, ino, handle, 0, Buffer.alloc(4000, 1), options)
  await fs.release(ino, handle)
  return { directories, both: ino }
}

async function step(fixture: Fixture, random: Random, directory: Ino): Promise<void> {
  const { fs, state } = fixture
  const one = random.pick(NAMES)
  const ino = state.dentry(directory, one)?.ino
  const action = random.below(9)
  if (ino === undefined || action === 0) {
    await fs.mknod(root, directory, one, 0o100644, 0)
  } else if (action === 1) await fs.unlink(root, directory, one)
  else if (action === 2)
    await fs.rename(root, directory, one, directory, random.pick(NAMES), NO_FLAGS)
  else if (action === 3) await fs.link(root, ino, directory, random.pick(NAMES))
  else if (action === 4) await fs.setattr(root, ino, { size: random.below(3000), uid: 5 })
  else if (action === 5)
    await fs.setxattr(root, ino, name('user.x'), name(String(random.next())), 0)
  else {
    const handle = await fs.open(root, ino, 2)
    await write(fixture, random, ino, handle, random.below(2000))
    await fs.fallocate(root, ino, handle, 3, random.below(2000), 1 + random.below(500))
    await fs.release(ino, handle)
  }
}

/** From the member's half of the one file to a file of its own, or back. */
async function copy(
  { fs, state }: Fixture,
  random: Random,
  both: Ino,
  half: number,
  directory: Ino
): Promise<void> {
  const own = state.dentry(directory, random.pick(NAMES))?.ino
  if (own === undefined) return
  const places = [
    { ino: both, handle: await fs.open(root, both, 2), at: half + random.below(1500) },
    { ino: own, handle: await fs.open(root, own, 2), at: random.below(1500) }
  ] as const
  const [from, to] = random.chance(0.5) ? places : ([places[1], places[0]] as const)
  const source = { source: from.ino, sourceHandle: from.handle, sourceOffset: from.at }
  const target = { ino: to.ino, handle: to.handle, offset: to.at }
  await fs.copyRange(root, { ...source, ...target, length: 1 + random.below(500) })
  for (const { ino, handle } of places) await fs.release(ino, handle)
}

async function write(
  { fs }: Fixture,
  random: Random,
  ino: Ino,
  handle: HandleId,
  offset: number
): Promise<void> {
  const data = Buffer.alloc(1 + random.below(400), random.below(256))
  await fs.write(root, ino, handle, offset, data, { append: false, killSuidGid: false })
}

async function stream(
  t: Test,
  member: MemberId,
  prepared: readonly Op[],
  seed: number,
  run: (fixture: Fixture, random: Random) => Promise<void>
): Promise<readonly Op[]> {
  const clock = new StepClock()
  const fixture = openFixture(await t.tmp(), {}, clock, {}, member)
  for (const op of prepared) fixture.state.apply(op)
  fixture.log.record = true
  const random = new Random(seed * 10 + member)
  for (let i = 0; i < STEPS; i++) {
    // The members' clocks do not run alike.
    for (let skew = random.below(5); skew > 0; skew--) clock.wall()
    await errnoOf(() => run(fixture, random))
    await reapOrphans(fixture)
  }
  fixture.state.close()
  return fixture.log.ops
}

function* interleaved(streams: readonly (readonly Op[])[], random: Random): Iterable<Op> {
  const at = streams.map(() => 0)
  const bias = random.next()
  for (;;) {
    const open = streams.flatMap((ops, i) => ((at[i] ?? 0) < ops.length ? [i] : []))
    if (open.length === 0) return
    const i = open.length === 1 || random.next() < bias ? (open[0] ?? 0) : (open[1] ?? 0)
    const index = at[i] ?? 0
    at[i] = index + 1
    const op = streams[i]?.[index]
    if (op !== undefined) yield op
  }
}

for (let seed = 1; seed <= 4; seed++) {
  test(`replicated state - the order of independent ops does not matter, seed ${seed}`, async (t) => {
    const base = openFixture(await t.tmp(), {}, new StepClock(), {}, 3 as MemberId)
    base.log.record = true
    const { directories, both } = await prepare(base)
    const prepared = [...base.log.ops]
    base.state.close()
    const streams: (readonly Op[])[] = []
    for (const [i, member] of MEMBERS.entries()) {
      const directory = directories[i] ?? ROOT_INO
      const half = i * 2000
      const ops = await stream(t, member, prepared, seed, async (fixture, random) => {
        if (random.chance(0.6)) return step(fixture, random, directory)
        if (random.chance(0.5)) return copy(fixture, random, both, half, directory)
        const handle = await fixture.fs.open(root, both, 2)
        await write(fixture, random, both, handle, half + random.below(1600))
        await fixture.fs.release(both, handle)
      })
      streams.push(ops)
    }
    const digests = new Set<string>()
    const random = new Random(seed)
    for (let order = 0; order < ORDERS; order++) {
      const state = openState(join(await t.tmp(), 'state.db'))
      for (const op of prepared) state.apply(op)
      for (const op of interleaved(streams, random)) state.apply(op)
      t.alike(checkState(state), [])
      digests.add(state.digest())
      state.close()
    }
    t.ok(streams.every((ops) => ops.length > STEPS / 2))
    t.ok(streams.every((ops) => ops.filter(({ type }) => type === 'clone').length > 10))
    t.is(digests.size, 1)
  })
}
