/** What is mounted, as /proc/self/mountinfo (proc(5)) tells it. */
import { readFileSync } from 'node:fs'

export const FUSE_TYPE = 'fuse.tandemfs'

export interface MountEntry {
  readonly mountId: number
  /** The mount it lies on. */
  readonly parentId: number
  /** Device number of the mounted filesystem; the minor one names the FUSE connection. */
  readonly major: number
  readonly minor: number
  readonly mountPoint: string
  readonly type: string
  readonly source: string
  readonly options: string
}

/** The kernel writes space, tab, newline and backslash as three octal digits, other bytes as is. */
function unescapeOctal(field: string): string {
  return field.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8))
  )
}

/** One line; undefined when it does not have the documented form. */
export function parseMountinfoLine(line: string): MountEntry | undefined {
  const separator = line.indexOf(' - ')
  if (separator < 0) return undefined
  const [id, parent, device = '', , mountPoint, options] = line.slice(0, separator).split(' ')
  const [type, source] = line.slice(separator + 3).split(' ')
  const numbers = /^(\d+):(\d+)$/.exec(device)
  if (numbers === null || mountPoint === undefined || options === undefined) return undefined
  if (type === undefined || source === undefined) return undefined
  return {
    mountId: Number(id),
    parentId: Number(parent),
    major: Number(numbers[1]),
    minor: Number(numbers[2]),
    mountPoint: unescapeOctal(mountPoint),
    type: unescapeOctal(type),
    source: unescapeOctal(source),
    options
  }
}

/** All mounts of this process's namespace in the kernel's order: later ones lie on top. */
export function readMountinfo(path = '/proc/self/mountinfo'): MountEntry[] {
  const entries: MountEntry[] = []
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const entry = parseMountinfoLine(line)
    if (entry !== undefined) entries.push(entry)
  }
  return entries
}

/** The topmost mount whose root is exactly `mountPoint` (absolute, without links). */
export function findMount(
  mountPoint: string,
  entries: readonly MountEntry[] = readMountinfo()
): MountEntry | undefined {
  return entries.findLast((entry) => entry.mountPoint === mountPoint)
}
