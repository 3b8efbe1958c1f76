/**
 * Checks the whole state against its invariants and says everything that is wrong. Reads all rows:
 * for tests and for repair, not for every day.
 */
import { fileType, isDirectory, isRegular, isSymlink } from './attr.ts'
import { isDentryName } from './names.ts'
import type { Slice } from './op.ts'
import type { Ino } from './primitives.ts'
import { ROOT_INO } from './primitives.ts'
import type { Extent } from './state/extent-table.ts'
import type { Inode } from './state/inode-table.ts'
import type { StateStore } from './state/state-store.ts'

/** One line for each broken invariant; empty when the state is sound. */
export function checkState(state: StateStore): string[] {
  const problems: string[] = []
  const inodes = new Map<Ino, Inode>()
  for (const inode of state.tables.inodes.all()) inodes.set(inode.ino, inode)
  checkDentries(state, inodes, problems)
  checkReachable(inodes, problems)
  checkExtents(state, inodes, problems)
  checkTotals(state, inodes, problems)
  for (const { ino } of state.tables.xattrs.all()) {
    if (!inodes.has(ino)) problems.push(`attribute of inode ${ino}, which does not exist`)
  }
  return problems
}

function checkDentries(state: StateStore, inodes: Map<Ino, Inode>, problems: string[]): void {
  const links = new Map<Ino, number>()
  const subdirectories = new Map<Ino, number>()
  const add = (counts: Map<Ino, number>, ino: Ino) => counts.set(ino, (counts.get(ino) ?? 0) + 1)
  for (const { parent, name, ino, type, cookie } of state.tables.dentries.all()) {
    const where = `dentry ${Buffer.from(name).toString('latin1')} of ${parent}`
    const directory = inodes.get(parent)
    const inode = inodes.get(ino)
    if (!isDentryName(name)) problems.push(`${where}: bad name`)
    if (directory === undefined || !isDirectory(directory.mode)) {
      problems.push(`${where}: parent is not a directory`)
    } else {
      if (directory.nlink === 0) problems.push(`${where}: parent was removed`)
      if (cookie > directory.lastCookie) problems.push(`${where}: cookie ${cookie} not counted`)
    }
    if (inode === undefined) {
      problems.push(`${where}: inode ${ino} does not exist`)
      continue
    }
    if (type !== fileType(inode.mode)) problems.push(`${where}: type differs from inode ${ino}`)
    add(links, ino)
    if (!isDirectory(inode.mode)) continue
    add(subdirectories, parent)
    if (inode.parent !== parent) problems.push(`${where}: directory says parent ${inode.parent}`)
  }
  for (const inode of inodes.values()) {
    const count = links.get(inode.ino) ?? 0
    const expected = isDirectory(inode.mode)
      ? directoryLinks(inode, count, subdirectories.get(inode.ino) ?? 0)
      : count
    if (inode.nlink !== expected) {
      problems.push(`inode ${inode.ino}: nlink ${inode.nlink}, counted ${expected}`)
    }
  }
}

function directoryLinks(inode: Inode, dentries: number, subdirectories: number): number {
  const linked = inode.ino === ROOT_INO ? dentries === 0 : dentries === 1
  if (linked) return 2 + subdirectories
  return dentries === 0 && subdirectories === 0 ? 0 : Number.NaN
}

function checkReachable(inodes: Map<Ino, Inode>, problems: string[]): void {
  const root = inodes.get(ROOT_INO)
  if (root === undefined || !isDirectory(root.mode) || root.parent !== ROOT_INO) {
    problems.push('root directory is missing or wrong')
    return
  }
  const reachable = new Set<Ino>([ROOT_INO])
  for (const inode of inodes.values()) {
    if (!isDirectory(inode.mode) || inode.nlink === 0) continue
    const path: Ino[] = []
    let at: Inode | undefined = inode
    while (at !== undefined && !reachable.has(at.ino) && path.length <= inodes.size) {
      path.push(at.ino)
      at = at.parent === 0 ? undefined : inodes.get(at.parent)
    }
    if (at === undefined || !reachable.has(at.ino)) {
      problems.push(`directory ${inode.ino} is not reachable from the root`)
      continue
    }
    for (const ino of path) reachable.add(ino)
  }
}

function checkExtents(state: StateStore, inodes: Map<Ino, Inode>, problems: string[]): void {
  const bytes = new Map<Ino, number>()
  const used = new Set<string>()
  const homes = new Map<string, Slice>()
  let before: (Extent & { ino: Ino }) | undefined
  for (const extent of state.tables.extents.all()) {
    const { ino, offset, length, delta, slice } = extent
    const where = `extent at ${offset} of inode ${ino}`
    const inode = inodes.get(ino)
    if (inode === undefined || !isRegular(inode.mode)) problems.push(`${where}: no such file`)
    else if (offset + length > inode.size) problems.push(`${where}: beyond size ${inode.size}`)
    if (length <= 0 || delta < 0 || delta + length > slice.length) {
      problems.push(`${where}: not inside its slice`)
    }
    if (before?.ino === ino && before.offset + before.length > offset) {
      problems.push(`${where}: overlaps the one before`)
    }
    bytes.set(ino, (bytes.get(ino) ?? 0) + length)
    used.add(`${slice.segment}:${slice.offset}`)
    homes.set(`${slice.segment}:${slice.offset} ${ino}:${offset - delta}`, slice)
    before = extent
  }
  for (const inode of inodes.values()) {
    const counted = bytes.get(inode.ino) ?? 0
    if (inode.bytes !== counted) {
      problems.push(`inode ${inode.ino}: ${inode.bytes} bytes of data, counted ${counted}`)
    }
  }
  checkShared(state, homes, problems)
  checkFreed(state, used, problems)
}

function checkFreed(state: StateStore, used: ReadonlySet<string>, problems: string[]): void {
  const freed = new Set<string>()
  for (const { slices } of state.freedBatches(Number.MAX_SAFE_INTEGER)) {
    for (const { segment, offset } of slices) {
      const place = `${segment}:${offset}`
      if (used.has(place)) problems.push(`slice ${place} is freed and in use`)
      if (freed.has(place)) problems.push(`slice ${place} is freed twice`)
      freed.add(place)
    }
  }
}

/** Every shared home is in use, and a slice with more than one has all of them listed. */
function checkShared(state: StateStore, homes: Map<string, Slice>, problems: string[]): void {
  const shared = new Set<string>()
  for (const { segment, sliceOffset, ino, base } of state.tables.shared.all()) {
    const home = `${segment}:${sliceOffset} ${ino}:${base}`
    shared.add(home)
    if (!homes.has(home)) problems.push(`shared slice ${home}: no extent there`)
  }
  const first = new Map<string, string>()
  for (const [home, { segment, offset }] of homes) {
    const other = first.get(`${segment}:${offset}`)
    if (other === undefined) first.set(`${segment}:${offset}`, home)
    else if (!shared.has(home) || !shared.has(other)) problems.push(`slice ${home}: not shared`)
  }
}

function checkTotals(state: StateStore, inodes: Map<Ino, Inode>, problems: string[]): void {
  let dataBytes = 0
  for (const inode of inodes.values()) {
    dataBytes += inode.bytes
    const target = state.symlinkTarget(inode.ino)
    if (isSymlink(inode.mode) !== (target !== undefined)) {
      problems.push(`inode ${inode.ino}: symlink and target do not go together`)
    }
    if (target !== undefined && target.length !== inode.size) {
      problems.push(`inode ${inode.ino}: size differs from its target`)
    }
  }
  const counts = state.counts()
  if (counts.inodes !== inodes.size) {
    problems.push(`${counts.inodes} inodes in the total, counted ${inodes.size}`)
  }
  if (counts.dataBytes !== dataBytes) {
    problems.push(`${counts.dataBytes} bytes in the total, counted ${dataBytes}`)
  }
}
