/** Worker operations on whole trees. */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { makeContent, sha256Hex } from './content.ts'
import type { TreeEntry } from './protocol.ts'
import { SeededRandom } from './random.ts'

const CHUNK_BYTES = 1024 * 1024

function hashFile(path: string): string {
  const hash = createHash('sha256')
  const fd = fs.openSync(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
    for (;;) {
      const length = fs.readSync(fd, buffer, 0, CHUNK_BYTES, null)
      if (length === 0) return hash.digest('hex')
      hash.update(buffer.subarray(0, length))
    }
  } finally {
    fs.closeSync(fd)
  }
}

function describe(root: string, path: string): TreeEntry {
  const full = path === '' ? root : `${root}/${path}`
  const stat = fs.lstatSync(full, { bigint: true })
  const type = stat.isFile()
    ? 'file'
    : stat.isDirectory()
      ? 'directory'
      : stat.isSymbolicLink()
        ? 'symlink'
        : 'node'
  return {
    path,
    type,
    mode: Number(stat.mode & 0o7777n),
    nlink: type === 'directory' ? 0 : Number(stat.nlink),
    size: type === 'file' ? Number(stat.size) : 0,
    mtimeNs: String(stat.mtimeNs),
    content: type === 'file' ? hashFile(full) : type === 'symlink' ? fs.readlinkSync(full) : ''
  }
}

function walk(root: string, path: string, visit: (entry: TreeEntry) => void): void {
  const entry = describe(root, path)
  visit(entry)
  if (entry.type !== 'directory') return
  for (const name of fs.readdirSync(path === '' ? root : `${root}/${path}`).sort()) {
    walk(root, path === '' ? name : `${path}/${name}`, visit)
  }
}

interface RootArgs {
  readonly path: string
}

export const treeOps = {
  /** Everything below `path`, sorted, with contents hashed. */
  listTree(args: RootArgs): TreeEntry[] {
    const entries: TreeEntry[] = []
    walk(args.path, '', (entry) => entries.push(entry))
    return entries
  },
  /** One hash over what listTree lists, for trees too large to send. */
  hashTree(args: RootArgs): { readonly hash: string; readonly count: number } {
    const hash = createHash('sha256')
    let count = 0
    walk(args.path, '', (entry) => {
      hash.update(`${JSON.stringify(entry)}\n`)
      count++
    })
    return { hash: hash.digest('hex'), count }
  },
  /** sha256 of one file of any size. */
  digestStream(args: RootArgs): string {
    return hashFile(args.path)
  },
  /** Makes `count` small files in folders of 100, sizes drawn from `seed`. */
  makeTree(args: RootArgs & { readonly seed: number; readonly count: number }): void {
    const random = new SeededRandom(args.seed)
    for (let i = 0; i < args.count; i++) {
      const folder = `${args.path}/d${Math.floor(i / 100)}`
      if (i % 100 === 0) fs.mkdirSync(folder, { recursive: true })
      fs.writeFileSync(`${folder}/f${i}`, makeContent(`f${i}`, args.seed, random.below(6000)))
      if (i % 50 === 0) fs.symlinkSync(`f${i}`, `${folder}/s${i}`)
      if (i % 70 === 0) fs.chmodSync(`${folder}/f${i}`, 0o755)
    }
  },
  /** Hashes each file below `path`; one that cannot be read gives its errno instead. */
  readAll(args: RootArgs): Record<string, string> {
    const answers: Record<string, string> = {}
    for (const name of fs.readdirSync(args.path, { recursive: true, encoding: 'utf8' })) {
      const full = `${args.path}/${name}`
      try {
        if (fs.lstatSync(full).isFile()) answers[name] = sha256Hex(fs.readFileSync(full))
      } catch (error) {
        answers[name] = (error as NodeJS.ErrnoException).code ?? String(error)
      }
    }
    return answers
  }
}
