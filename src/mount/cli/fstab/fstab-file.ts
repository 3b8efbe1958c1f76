/** The lines of fstab(5) that are ours, and edits that leave every other byte as it is. Pure. */

export interface FstabEntry {
  readonly source: string
  readonly mountPoint: string
  readonly type: string
  readonly options: string
}

const OUR_TYPES = ['tandemfs', 'fuse.tandemfs']

/** fstab(5) has fields end at blanks: those inside of one are three octal digits. */
function escapeField(field: string): string {
  return field.replace(/[\s\\#]/g, (character) => {
    return `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`
  })
}

function unescapeField(field: string): string {
  return field.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) => {
    return String.fromCharCode(Number.parseInt(digits, 8))
  })
}

export function formatEntry({ source, mountPoint, type, options }: FstabEntry): string {
  return [...[source, mountPoint, type, options].map(escapeField), '0', '0'].join(' ')
}

/** Undefined for comments, empty lines and what is no entry. */
export function parseLine(line: string): FstabEntry | undefined {
  const text = line.trim()
  if (text === '' || text.startsWith('#')) return undefined
  const [source, mountPoint, type, options = 'defaults'] = text.split(/\s+/).map(unescapeField)
  if (source === undefined || mountPoint === undefined || type === undefined) return undefined
  return { source, mountPoint, type, options }
}

export function isOurs(entry: FstabEntry): boolean {
  return OUR_TYPES.includes(entry.type)
}

export function entries(text: string): FstabEntry[] {
  return text.split('\n').flatMap((line) => parseLine(line) ?? [])
}

export function entryAt(text: string, mountPoint: string): FstabEntry | undefined {
  return entries(text).findLast((entry) => entry.mountPoint === mountPoint)
}

/** The entry stands where the one of its mount point stood, or at the end. */
export function withEntry(text: string, entry: FstabEntry): string {
  const line = formatEntry(entry)
  if (entryAt(text, entry.mountPoint) === undefined) {
    // Removing it again gives back the file as it was, also one without a last newline.
    return text === '' || text.endsWith('\n') ? `${text}${line}\n` : `${text}\n${line}`
  }
  const lines = text.split('\n').map((other) => {
    return parseLine(other)?.mountPoint === entry.mountPoint ? line : other
  })
  return lines.join('\n')
}

/** Without our entries for that volume and mount point. */
export function withoutEntry(
  text: string,
  { source, mountPoint }: Pick<FstabEntry, 'source' | 'mountPoint'>
): string {
  const lines = text.split('\n').filter((line) => {
    const entry = parseLine(line)
    if (entry === undefined || !isOurs(entry)) return true
    return entry.source !== source || entry.mountPoint !== mountPoint
  })
  return lines.join('\n')
}
