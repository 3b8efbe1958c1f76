/**
 * File contents that prove by themselves which file, version and length they are, so that a reader
 * on another node can tell a stale, mixed or torn answer from a good one without asking the writer.
 */
import { createHash } from 'node:crypto'
import { SeededRandom } from './random.ts'

const HEADER_BYTES_MAX = 160

/** `sizeBytes` bytes that depend only on (label, version, sizeBytes); at least the header long. */
export function makeContent(label: string, version: number, sizeBytes: number): Buffer {
  const header = Buffer.from(`tandem-test ${label} v${version} ${sizeBytes}\n`)
  if (header.length > HEADER_BYTES_MAX) throw new Error(`label too long: ${label}`)
  const size = Math.max(sizeBytes, header.length)
  const content = Buffer.allocUnsafe(size)
  fillPattern(content, hashSeed(`${label}/${version}/${sizeBytes}`))
  header.copy(content)
  return content
}

export interface ContentVerdict {
  /** The version the content is, or undefined when it is not whole. */
  readonly version: number | undefined
  readonly problem: string | undefined
}

/** Which version of `label` these bytes are; anything that is not exactly one version is a problem. */
export function identifyContent(label: string, content: Buffer): ContentVerdict {
  const end = content.subarray(0, HEADER_BYTES_MAX).indexOf(10)
  const header = end < 0 ? '' : content.subarray(0, end).toString()
  const match = /^tandem-test (\S+) v(\d+) (\d+)$/.exec(header)
  if (match === null) return { version: undefined, problem: `no header in ${content.length} bytes` }
  if (match[1] !== label) {
    return { version: undefined, problem: `content of ${match[1]} found in ${label}` }
  }
  const version = Number(match[2])
  const expected = makeContent(label, version, Number(match[3]))
  if (expected.equals(content)) return { version, problem: undefined }
  let at = 0
  while (at < expected.length && at < content.length && expected[at] === content[at]) at++
  return {
    version: undefined,
    problem: `${label} v${version}: ${content.length} of ${expected.length} bytes, differs at ${at}`
  }
}

export function sha256Hex(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

function fillPattern(target: Buffer, seed: number): void {
  const random = new SeededRandom(seed)
  const block = Buffer.allocUnsafe(4096)
  for (let at = 0; at < block.length; at += 4)
    block.writeUInt32LE((random.next() * 2 ** 32) >>> 0, at)
  for (let at = 0, index = 0; at < target.length; at += block.length, index++) {
    block.writeUInt32LE(index, 0)
    block.copy(target, at, 0, Math.min(block.length, target.length - at))
  }
}

function hashSeed(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32LE(0)
}
