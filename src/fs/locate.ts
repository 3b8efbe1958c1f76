/** From inode numbers to paths, for reports. Directories know their parent; other inodes do not. */
import { isDirectory } from './attr.ts'
import type { Ino } from './primitives.ts'
import { ROOT_INO } from './primitives.ts'
import type { StateStore } from './state/state-store.ts'

/** Dentries looked at in one go; other work runs between. */
const PIECE_DENTRIES = 2000
/** Beyond this many the search is given up. */
const SEARCHED_MAX_DENTRIES = 2_000_000
const DEPTH_MAX = 4096
const SLASH = Buffer.from('/')

/**
 * One path of each inode that has a name, relative to the root and without a leading slash; the
 * root's is ''. The names of a volume are looked through in pieces, so a name that is moved
 * meanwhile may be missed, and in a very large volume not all are looked at.
 */
export async function pathsOf(
  state: StateStore,
  wanted: ReadonlySet<Ino>
): Promise<ReadonlyMap<Ino, string>> {
  const paths = new Map<Ino, string>()
  let missing = 0
  for (const ino of wanted) {
    const inode = state.inode(ino)
    if (inode === undefined || inode.nlink === 0) continue
    if (isDirectory(inode.mode)) addPath(paths, ino, directoryPath(state, ino))
    else missing++
  }
  let after = { parent: 0 as Ino, name: new Uint8Array(0) as Uint8Array }
  for (let searched = 0; missing > 0 && searched < SEARCHED_MAX_DENTRIES; ) {
    const piece = state.dentriesAfter(after.parent, after.name, PIECE_DENTRIES)
    for (const { parent, name, ino } of piece) {
      if (!wanted.has(ino) || paths.has(ino)) continue
      addPath(paths, ino, join(directoryPath(state, parent), name))
      missing--
    }
    const last = piece.at(-1)
    if (last === undefined || piece.length < PIECE_DENTRIES) break
    after = last
    searched += piece.length
    await new Promise((resolve) => setImmediate(resolve))
  }
  return paths
}

/** The inode a relative path names, without following symbolic links. */
export function inodeAt(state: StateStore, path: string): Ino | undefined {
  let ino: Ino = ROOT_INO
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    const found = state.dentry(ino, Buffer.from(part))?.ino
    if (found === undefined) return undefined
    ino = found
  }
  return ino
}

function addPath(paths: Map<Ino, string>, ino: Ino, path: Buffer | undefined): void {
  if (path !== undefined) paths.set(ino, path.toString())
}

function join(directory: Buffer | undefined, name: Uint8Array): Buffer | undefined {
  if (directory === undefined) return undefined
  return directory.length === 0 ? Buffer.from(name) : Buffer.concat([directory, SLASH, name])
}

function directoryPath(state: StateStore, directory: Ino): Buffer | undefined {
  const names: Uint8Array[] = []
  let ino = directory
  for (let depth = 0; ino !== ROOT_INO; depth++) {
    const parent = state.inode(ino)?.parent
    if (parent === undefined || parent === 0 || depth > DEPTH_MAX) return undefined
    const name = state.nameIn(parent, ino)
    if (name === undefined) return undefined
    names.push(name)
    ino = parent
  }
  return names.reduceRight<Buffer | undefined>(join, Buffer.alloc(0))
}
