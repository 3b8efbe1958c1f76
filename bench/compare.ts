/** The comparison: for each added delay, all systems side by side on one network of machines. */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { projectRoot } from './compile.ts'
import { makeRepository } from './fixtures.ts'
import type { CompareOptions } from './options.ts'
import type { BenchResult, Cell } from './results.ts'
import { Rounds } from './rounds.ts'
import { Scratch } from './scratch.ts'
import { openGlusterfs } from './systems/glusterfs.ts'
import { openLocalDisk } from './systems/local-disk.ts'
import { loopback, type Network, openNetwork } from './systems/network.ts'
import { openPassthrough } from './systems/passthrough.ts'
import { SYSTEM_NAMES, type System, type SystemName } from './systems/system.ts'
import { openTandemfs } from './systems/tandemfs.ts'

/** Two data nodes, and one that only votes or keeps names. */
const MACHINES = 3

export function progress(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Namespaces where they can be made; else the loopback, which has no delay, and a note. */
async function network(delayMs: number, notes: string[]): Promise<Network> {
  try {
    return await openNetwork(MACHINES, delayMs)
  } catch (error) {
    if (delayMs > 0) throw error
    const why = error instanceof Error ? error.message : String(error)
    notes.push(`All nodes on the loopback: no network namespaces here (${why}).`)
    return loopback
  }
}

async function openSystem(name: SystemName, scratch: string, on: Network): Promise<System> {
  switch (name) {
    case 'tandemfs':
      return await openTandemfs(join(scratch, 'tandemfs'), on)
    case 'GlusterFS':
      return await openGlusterfs(join(scratch, 'glusterfs'), on)
    case 'passthrough':
      return await openPassthrough(join(scratch, 'passthrough'))
    case 'local disk':
      return openLocalDisk(join(scratch, 'disk'))
  }
}

function isReplicated(name: SystemName): boolean {
  return name === 'tandemfs' || name === 'GlusterFS'
}

async function measure(
  delayMs: number,
  options: CompareOptions,
  place: { readonly scratch: string; readonly repository: string },
  notes: string[],
  described: Record<string, string>
): Promise<Cell[]> {
  const on = await network(delayMs, notes)
  const systems: System[] = []
  const folder = join(place.scratch, `delay-${delayMs}`)
  mkdirSync(folder)
  try {
    for (const name of SYSTEM_NAMES) {
      if (!options.systems.has(name) || (delayMs > 0 && !isReplicated(name))) continue
      progress(`starting ${name}`)
      const system = await openSystem(name, folder, on)
      systems.push(system)
      described[name] = system.description
    }
    const { rounds, scale, chosen, shapes } = options
    const { repository } = place
    const run = { rounds, scale, delayMs, chosen, shapes, repository, progress }
    const all = new Rounds(systems, run)
    const cells = await all.run()
    notes.push(...all.problems)
    return cells
  } finally {
    for (const closed of [...systems, on]) {
      // The figures are taken: what does not end in good order is noted, and ended by force later.
      await closed.close().catch((error: unknown) => {
        notes.push(`not closed in good order: ${error instanceof Error ? error.message : error}`)
      })
    }
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['-C', projectRoot(), 'rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8'
    }).trim()
  } catch {
    // Not a checkout.
    return 'unknown'
  }
}

export function describeMachine(): BenchResult['machine'] {
  return {
    cpus: os.cpus().length,
    model: os.cpus()[0]?.model ?? 'unknown',
    kernel: os.release(),
    node: process.version,
    loadAverage: os.loadavg()[0] ?? 0
  }
}

export async function compare(options: CompareOptions): Promise<BenchResult> {
  const scratch = new Scratch(options.dir)
  const machine = describeMachine()
  const notes: string[] = []
  const systems: Record<string, string> = {}
  const cells: Cell[] = []
  try {
    const repository = options.chosen.has('clone')
      ? await makeRepository(scratch.folder, options.scale.cloned)
      : ''
    const place = { scratch: scratch.folder, repository }
    for (const delayMs of options.delaysMs) {
      cells.push(...(await measure(delayMs, options, place, notes, systems)))
    }
    notes.push(...scratch.leftovers())
  } finally {
    scratch.destroyNow()
  }
  const { rounds, scale } = options
  const takenAt = new Date().toISOString()
  const version = 2 as const
  return { version, takenAt, machine, commit: commit(), systems, rounds, scale, cells, notes }
}
