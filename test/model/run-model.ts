/**
 * Runs commands on the real filesystem and on the naive one and compares what both say: result or
 * errno of every command, and now and then the whole tree.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TimeSpec } from '../../src/fs/attr.ts'
import { checkState } from '../../src/fs/check.ts'
import { FsError } from '../../src/fs/errno.ts'
import { decodeOps, encodeOps } from '../../src/fs/op-codec.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { openState } from '../../src/fs/state/open-state.ts'
import type { Fixture } from '../fs/fixture.ts'
import { openFixture, reapOrphans, StepClock } from '../fs/fixture.ts'
import type { Command } from './commands.ts'
import { FILE_MAX_BYTES, randomCommand } from './commands.ts'
import { ModelSlots } from './model-slots.ts'
import { timeText } from './model-text.ts'
import { NaiveAnswers } from './naive-answers.ts'
import { NaiveError, NaiveFilesystem } from './naive-filesystem.ts'
import { Random } from './random.ts'
import { RealAnswers } from './real-answers.ts'

const TREE_EVERY = 250
const LINK_MAX = 5

/** Time that stands still during a command. */
class ModelClock extends StepClock {
  #now: TimeSpec = { sec: 0, nsec: 0 }

  set(now: TimeSpec): void {
    this.#now = now
  }

  override wall(): TimeSpec {
    return this.#now
  }
}

export class ModelRun {
  readonly #directory = mkdtempSync(join(tmpdir(), 'tandemfs-model-'))
  readonly #fixture: Fixture
  readonly #naive = new NaiveFilesystem(LINK_MAX)
  readonly #clock = new ModelClock()
  readonly #slots = new ModelSlots()
  readonly #real: RealAnswers
  readonly #expected = new NaiveAnswers(this.#naive, this.#slots)
  #step = 0

  constructor() {
    this.#fixture = openFixture(
      this.#directory,
      { linkMax: LINK_MAX },
      this.#clock,
      // So few that rows are written back and read again all the time.
      { cachedInodes: 5 }
    )
    this.#real = new RealAnswers(this.#fixture, this.#slots)
    this.#fixture.log.record = true
    this.#slots.nodes.push({ ino: 1 as Ino, node: this.#naive.root })
  }

  close(): void {
    this.#fixture.state.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** Undefined when both agree, else what differs. */
  async step(command: Command): Promise<string | undefined> {
    this.#step++
    const now = { sec: 1_700_000_000 + this.#step, nsec: (this.#step * 7919) % 1e9 }
    this.#clock.set(now)
    this.#naive.now = timeText(now)
    const real = await this.#outcome(() => this.#real.answer(command))
    const expected = await this.#outcome(async () => this.#expected.answer(command))
    await reapOrphans(this.#fixture)
    this.#punch()
    if (real !== expected) return `real ${real}\n  naive ${expected}`
    if (this.#fixture.tokens.held !== 0) return `${this.#fixture.tokens.held} guards not released`
    if (this.#step % TREE_EVERY !== 0) return undefined
    return this.compareAll()
  }

  async #outcome(run: () => Promise<string>): Promise<string> {
    try {
      return await run()
    } catch (error) {
      if (error instanceof FsError || error instanceof NaiveError) return error.code
      throw error
    }
  }

  /** Takes away what was freed, so that any further use of it is an error. */
  #punch(): void {
    const { state, slices } = this.#fixture
    const freed = state.freedBatches(1000)
    for (const slice of freed.flatMap((batch) => batch.slices)) slices.punch(slice.offset)
    state.forgetFreed(freed.map(({ id }) => id))
  }

  async compareAll(): Promise<string | undefined> {
    const problems = checkState(this.#fixture.state)
    if (problems.length > 0) return `state: ${problems.join('; ')}`
    for (let slot = 0; slot < this.#slots.nodes.length; slot++) {
      for (const kind of ['getattr', 'readdir', 'listxattr'] as const) {
        const command: Command = { kind, node: slot }
        const real = await this.#outcome(() => this.#real.answer(command))
        const expected = await this.#outcome(async () => this.#expected.answer(command))
        if (real !== expected) return `slot ${slot} ${kind}: real ${real}\n  naive ${expected}`
      }
    }
    for (let handle = 0; handle < this.#slots.handles.length; handle++) {
      const command: Command = { kind: 'read', handle, offset: 0, length: FILE_MAX_BYTES * 2 }
      const real = await this.#outcome(() => this.#real.answer(command))
      const expected = await this.#outcome(async () => this.#expected.answer(command))
      if (real !== expected) return `handle ${handle}: content differs`
    }
    return undefined
  }

  /** How many ops of each type the commands so far came to. */
  opCounts(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { type } of this.#fixture.log.ops) counts.set(type, (counts.get(type) ?? 0) + 1)
    return counts
  }

  /** The ops, encoded and decoded, give an equal state in another store. */
  replayDiffers(): string | undefined {
    const copy = openState(join(this.#directory, 'copy.db'))
    try {
      const { ops } = this.#fixture.log
      for (let at = 0; at < ops.length; at += 100) {
        for (const op of decodeOps(encodeOps(ops.slice(at, at + 100)))) {
          copy.apply(op)
        }
      }
      const same = copy.digest() === this.#fixture.state.digest()
      return same ? undefined : 'digest differs after replay'
    } finally {
      copy.close()
    }
  }
}

/** What differs when these commands are run from an empty filesystem. */
export async function runCommands(commands: readonly Command[]): Promise<string | undefined> {
  const run = new ModelRun()
  try {
    for (const [at, command] of commands.entries()) {
      const difference = await run.step(command)
      if (difference !== undefined)
        return `command ${at} ${JSON.stringify(command)}:\n  ${difference}`
    }
    return (await run.compareAll()) ?? run.replayDiffers()
  } finally {
    run.close()
  }
}

export function randomCommands(seed: number, count: number): Command[] {
  const random = new Random(seed)
  return Array.from({ length: count }, () => randomCommand(random))
}

/** Leaves out what is not needed for the run to fail, in ever smaller pieces. */
export async function shrink(commands: readonly Command[]): Promise<readonly Command[]> {
  let failing = commands
  for (let size = Math.ceil(failing.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < failing.length; ) {
      const shorter = [...failing.slice(0, at), ...failing.slice(at + size)]
      if (await fails(shorter)) failing = shorter
      else at += size
    }
  }
  return failing
}

async function fails(commands: readonly Command[]): Promise<boolean> {
  try {
    return (await runCommands(commands)) !== undefined
  } catch {
    return true
  }
}
