/**
 * `tandemfs salvage`: what this member wrote and the volume does not have, because the member was
 * cut off meanwhile. Lists it and writes its data into a folder; changes nothing, runs with and
 * without a daemon.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import Database from 'better-sqlite3'
import type { Op } from '../../../fs/op.ts'
import { opDataBytes } from '../../../replication/entry.ts'
import type { EpochRecord } from '../../../replication/record.ts'
import { StateDirectory } from '../../../replication/storage/state-directory.ts'
import { loadRecord } from '../../../replication/volume/volume-files.ts'
import { ExitCode } from '../../daemon/exit-codes.ts'
import { UserError } from '../../daemon/user-error.ts'
import type { CommandContext, SalvageOptions } from '../command-options.ts'
import { type Bundle, listBundles, lostEntries } from '../salvage/bundles.ts'
import { describeOps } from '../salvage/describe.ts'
import { extractBundle } from '../salvage/extract.ts'
import { Names, StateNames } from '../salvage/names.ts'
import { formatBytes } from '../table.ts'
import { existingVolume } from '../volume-path.ts'

/** A list shows the beginning of each bundle; extract writes all of it into a file. */
const LINES_SHOWN_MAX = 20
const OPS_READ_MAX = 10_000

interface Member {
  readonly directory: StateDirectory
  readonly record: EpochRecord
}

export async function runSalvage(
  options: SalvageOptions,
  context: CommandContext
): Promise<number> {
  const { stateDir } = existingVolume(options.volume, { dir: options.dir })
  const member = { directory: new StateDirectory(stateDir), record: loadRecord(stateDir) }
  const bundles = listBundles(member.directory.salvage)
  if (options.extract === undefined) {
    if (bundles.length === 0) context.print('nothing was salvaged on this member')
    for (const bundle of bundles) context.print(describeBundle(bundle, member))
    return ExitCode.ok
  }
  const { name, to } = options.extract
  const bundle = bundles.find((candidate) => candidate.name === name)
  if (bundle === undefined) {
    throw new UserError('usage', {
      what: `salvage extract ${name}`,
      why: 'there is no such bundle',
      remedy: "see 'tandemfs salvage VOLUME list'"
    })
  }
  extract(bundle, member, path.resolve(to, name), context)
  return ExitCode.ok
}

function extract(
  bundle: Bundle,
  { directory, record }: Member,
  folder: string,
  context: CommandContext
): void {
  if (existsSync(folder)) {
    const parts = { what: folder, why: 'exists already', remedy: 'give another folder by --to' }
    throw new UserError('alreadyRunning', parts)
  }
  const result = withStateNames(directory.state, (names) => {
    return extractBundle({ bundle, record, segmentsDir: directory.segments, names }, folder)
  })
  const { files, bytes, complaints } = result
  context.print(`${folder}: ${files} files with ${formatBytes(bytes)}, see operations.txt there`)
  for (const complaint of complaints) context.print(`incomplete: ${complaint}`)
}

function describeBundle(bundle: Bundle, { directory, record }: Member): string {
  const own = path.join(bundle.dir, 'state.db')
  return withStateNames(bundle.kind === 'state' ? own : directory.state, (stateNames) => {
    const names = new Names(stateNames)
    const kept: Op[] = []
    let [entries, ops, bytes] = [0, 0, 0]
    for (const { entry } of lostEntries(bundle, record)) {
      entries += 1
      for (const op of entry.ops) {
        names.learn(op)
        ops += 1
        bytes += opDataBytes(op)
        if (kept.length < OPS_READ_MAX) kept.push(op)
      }
    }
    stateNames?.prefetch(new Set(kept.map(({ ino }) => ino)))
    const time = new Date(bundle.timeMs).toISOString().replace(/\.\d+Z$/, 'Z')
    const sums = `${entries} entries, ${ops} operations, ${formatBytes(bytes)}`
    const lines = [...describeOps(kept, names)]
    const shown = lines.slice(0, LINES_SHOWN_MAX)
    if (lines.length > shown.length || ops > kept.length) shown.push('and more: see extract')
    if (ops === 0) shown.push('which operations they were is not in its journal any more')
    return [`${bundle.name}  ${time}  ${sums}`, ...shown.map((line) => `  ${line}`)].join('\n')
  })
}

function withStateNames<T>(file: string, use: (names: StateNames | undefined) => T): T {
  if (!existsSync(file)) return use(undefined)
  const database = new Database(file, { readonly: true })
  try {
    return use(new StateNames(database))
  } finally {
    database.close()
  }
}
