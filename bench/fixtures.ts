/** What workloads find: a folder full of files on each system, a git repository on the local disk. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RunningChild, run } from './children.ts'
import { program } from './compile.ts'
import type { System } from './systems/system.ts'

const FILL_PROCESSES = 4
const FILL_LIMIT_MS = 10 * 60_000
const FILES_PER_FOLDER = 50
const IDENTITY = ['-c', 'user.name=bench', '-c', 'user.email=bench@localhost', '-c', 'gc.auto=0']

export const LISTING_FOLDER = 'bench-listing'

/** A folder with `count` empty files, made on the first node by a few processes at once. */
export async function makeListing(system: System, count: number): Promise<void> {
  const folder = `${system.folders[0]}/${LISTING_FOLDER}`
  const children = [...Array(FILL_PROCESSES).keys()].map((index) => {
    const share = Math.ceil((count - index) / FILL_PROCESSES)
    const values = [`index=${index}`, `count=${share}`, `limit=${share}`]
    return new RunningChild([program('load'), 'fill', folder, ...values, `max_ms=${FILL_LIMIT_MS}`])
  })
  for (const child of children) child.write('go\n')
  await Promise.all(children.map((child) => child.end(FILL_LIMIT_MS)))
}

/** A repository of `count` small text files in one commit; returns its folder. */
export async function makeRepository(scratch: string, count: number): Promise<string> {
  const folder = join(scratch, 'repository')
  mkdirSync(folder)
  for (let index = 0; index < count; index++) {
    const below = join(folder, `part-${Math.floor(index / FILES_PER_FOLDER)}`)
    if (index % FILES_PER_FOLDER === 0) mkdirSync(below)
    const line = `file ${index} of ${count}, made to be cloned\n`
    writeFileSync(join(below, `file-${index}.txt`), line.repeat(10 + (index % 60)))
  }
  const git = ['git', ...IDENTITY, '-C', folder]
  await run([...git, 'init', '-q'])
  await run([...git, 'add', '.'])
  await run([...git, 'commit', '-q', '-m', 'files'])
  return folder
}
