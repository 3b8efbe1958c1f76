/** Small writes that a crash ends: what of them was answered, and what a file holds of them afterwards. */
import * as fs from 'node:fs'
import { identifyContent, makeContent } from './content.ts'
import { SeededRandom } from './random.ts'

const PAGE_BYTES = 4096
/** Lines in a row follow each other in file and segment. */
const LINES_IN_A_ROW = 8

export interface SmallWrites {
  /** The last answered version of each page; 0 for none. */
  readonly versions: readonly number[]
  readonly lines: number
  /** What the call that failed was writing: a page, or -1 for a line. */
  readonly failedPage: number
  readonly failedVersion: number
  readonly code: string
}

interface SmallWritesArgs {
  readonly path: string
  readonly pages: number
  readonly seed: number
}

export const pageOps = {
  /** Writes pages of `path` over each other and appends to `path`.lines, without fsync, until a call fails. */
  writeUntilFailure({ path, pages, seed }: SmallWritesArgs): SmallWrites {
    const random = new SeededRandom(seed)
    const versions = new Array<number>(pages).fill(0)
    const file = fs.openSync(path, 'w')
    const log = fs.openSync(`${path}.lines`, 'a')
    let lines = 0
    for (let version = 1; ; version++) {
      const page = random.chance(0.2) ? -1 : random.below(pages)
      try {
        if (page >= 0) {
          writeWhole(file, makeContent(`page-${page}`, version, PAGE_BYTES), page * PAGE_BYTES)
          versions[page] = version
          continue
        }
        for (let i = 0; i < LINES_IN_A_ROW; i++) {
          writeWhole(log, Buffer.from(lineOf(lines)), null)
          lines++
        }
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? String(error)
        return { versions, lines, failedPage: page, failedVersion: version, code }
      }
    }
  }
}

/** What is wrong with the content of the two files after these writes. */
export function checkSmallWrites(wrote: SmallWrites, content: Buffer, log: string): string[] {
  const problems: string[] = []
  for (const [page, version] of wrote.versions.entries()) {
    const found = versionOf(page, content)
    const isInFlight = page === wrote.failedPage && found === wrote.failedVersion
    if (found === version || isInFlight) continue
    problems.push(`page ${page}: ${found}, answered was version ${version}`)
  }
  const linesMax = wrote.lines + (wrote.failedPage < 0 ? 1 : 0)
  const expected = Array.from({ length: linesMax }, (_, line) => lineOf(line))
  const answered = expected.slice(0, wrote.lines).join('')
  if (log !== answered && log !== expected.join('')) {
    problems.push(`${log.length} bytes of lines, answered were ${answered.length}`)
  }
  return problems
}

function versionOf(page: number, content: Buffer): number | string {
  const bytes = content.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
  if (bytes.every((byte) => byte === 0)) return 0
  const { version, problem } = identifyContent(`page-${page}`, bytes)
  return version ?? problem ?? 'unknown'
}

function lineOf(line: number): string {
  return `line ${line} ${'x'.repeat(line % 90)}\n`
}

/** A write is answered as a whole or not at all. */
function writeWhole(fd: number, data: Buffer, offset: number | null): void {
  const count = fs.writeSync(fd, data, 0, data.length, offset)
  if (count !== data.length) throw new Error(`${count} of ${data.length} bytes written`)
}
