/** What one node finds of the loads of native/history-load.c. */
import * as fs from 'node:fs'
import type { FoundState } from './history/judged.ts'
import { treeOps } from './worker-tree.ts'

const BLOCK_BYTES = 64

export const historyOps = {
  /** Makes the folders in which the loads work. */
  makeHistoryFolders(args: { readonly path: string }): void {
    for (const name of ['files', 'left', 'right']) {
      fs.mkdirSync(`${args.path}/${name}`, { recursive: true })
    }
  },
  findHistory(args: { readonly path: string }): FoundState {
    const { path } = args
    const files: Record<string, number | string> = {}
    for (const name of fs.readdirSync(`${path}/files`)) {
      // Temporary names of loads that were cut off.
      if (!name.startsWith('.')) files[name] = versionOf(`${path}/files/${name}`, name)
    }
    const moved: Record<string, string[]> = {}
    for (const side of ['left', 'right']) {
      for (const name of fs.readdirSync(`${path}/${side}`)) {
        const found = versionOf(`${path}/${side}/${name}`, name)
        const place = typeof found === 'string' ? `${side}: ${found}` : side
        moved[name] = [...(moved[name] ?? []), place]
      }
    }
    return {
      files,
      moved,
      log: textOf(`${path}/log`),
      mbox: textOf(`${path}/mbox`),
      counter: Number.parseInt(textOf(`${path}/counter`) || '0', 10),
      hash: treeOps.hashTree({ path }).hash
    }
  }
}

function textOf(path: string): string {
  try {
    return fs.readFileSync(path, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** The version the file is, or why it is not exactly one version of `label`. */
function versionOf(path: string, label: string): number | string {
  const content = fs.readFileSync(path)
  const header = content.toString('latin1', 0, BLOCK_BYTES)
  const [, name, version, count] = /^(\S+) (\d+) (\d+) 0 \.+\n$/.exec(header) ?? []
  if (name !== label) return `begins with ${JSON.stringify(header)}`
  const blocks = Number(count)
  if (content.length !== blocks * BLOCK_BYTES) {
    return `version ${version} has ${content.length} of ${blocks * BLOCK_BYTES} bytes`
  }
  for (let index = 0; index < blocks; index++) {
    const at = index * BLOCK_BYTES
    const expected = `${name} ${version} ${count} ${index} `.padEnd(BLOCK_BYTES - 1, '.')
    if (content.toString('latin1', at, at + BLOCK_BYTES) !== `${expected}\n`) {
      return `version ${version} differs at ${at}`
    }
  }
  return Number(version)
}
