/** Flips single bits in the files of a stopped node, and puts them back. */
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export interface StateFile {
  readonly path: string
  readonly sizeBytes: number
}

const JOURNAL_MAGIC = 'TFSJOURN'

export function filesOf(folder: string): StateFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path, sizeBytes: statSync(path).size }))
    .sort((x, y) => x.path.localeCompare(y.path))
}

export function isJournal(file: StateFile): boolean {
  const magic = Buffer.alloc(JOURNAL_MAGIC.length)
  readAt(file.path, magic, 0)
  return magic.toString('latin1') === JOURNAL_MAGIC
}

/** Offsets at which `needle` starts in the file. */
export function findIn(file: StateFile, needle: Buffer): number[] {
  const content = Buffer.alloc(file.sizeBytes)
  readAt(file.path, content, 0)
  const offsets: number[] = []
  for (let at = content.indexOf(needle); at >= 0; at = content.indexOf(needle, at + 1)) {
    offsets.push(at)
  }
  return offsets
}

/** Returns the function that flips it back. */
export function flipBit(path: string, offset: number, bit = 0): () => void {
  const flip = (): void => {
    const byte = Buffer.alloc(1)
    readAt(path, byte, offset)
    byte.writeUInt8(byte.readUInt8() ^ (1 << bit))
    const fd = openSync(path, 'r+')
    try {
      writeSync(fd, byte, 0, 1, offset)
    } finally {
      closeSync(fd)
    }
  }
  flip()
  return flip
}

function readAt(path: string, target: Buffer, offset: number): void {
  const fd = openSync(path, 'r')
  try {
    readSync(fd, target, 0, target.length, offset)
  } finally {
    closeSync(fd)
  }
}
