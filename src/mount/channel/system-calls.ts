/**
 * System calls Node has no name for, by the addon or, without it, by the programs of util-linux
 * that make the same calls on an inherited descriptor.
 */
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'
import type { NativeAddon } from './load-addon.ts'

/** FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE */
const PUNCH_HOLE = 0x02 | 0x01

export interface SystemCalls {
  /** CLOCK_BOOTTIME in milliseconds: never goes back, goes on during suspend. */
  boottimeMs(): number
  /** Frees the blocks of a range, which reads as zeros then. Rejects with the errno (code). */
  punchHole(fd: number, offset: number, lengthBytes: number): Promise<void>
  /** Whether the exclusive lock on the whole file was free; it ends with the descriptor. */
  tryLockFile(fd: number): boolean
}

export function nativeSystemCalls(addon: NativeAddon): SystemCalls {
  return {
    boottimeMs: () => addon.boottimeMs(),
    punchHole: (fd, offset, lengthBytes) => addon.fallocate(fd, PUNCH_HOLE, offset, lengthBytes),
    tryLockFile: (fd) => addon.tryLockFile(fd)
  }
}

export function programSystemCalls(): SystemCalls {
  return { boottimeMs: uptimeMs, punchHole: punchByProgram, tryLockFile: lockByProgram }
}

/** /proc/uptime counts CLOCK_BOOTTIME in hundredths of a second. */
function uptimeMs(): number {
  const buffer = Buffer.alloc(64)
  const fd = openSync('/proc/uptime', 'r')
  try {
    const text = buffer.toString('latin1', 0, readSync(fd, buffer))
    const seconds = Number.parseFloat(text)
    if (!Number.isFinite(seconds)) throw new Error(`/proc/uptime is not readable: ${text}`)
    return seconds * 1000
  } finally {
    closeSync(fd)
  }
}

function punchByProgram(fd: number, offset: number, lengthBytes: number): Promise<void> {
  const args = ['--punch-hole', '-o', `${offset}`, '-l', `${lengthBytes}`, '/proc/self/fd/3']
  return new Promise((resolve, reject) => {
    const child = spawn('fallocate', args, { stdio: ['ignore', 'ignore', 'pipe', fd] })
    let said = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      if (said.length < 1000) said += chunk.toString()
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`fallocate --punch-hole: ${said.trim() || `exit ${code}`}`))
    })
  })
}

/** A flock belongs to the open file, which the program shares with this process and leaves here. */
function lockByProgram(fd: number): boolean {
  const stdio = ['ignore', 'ignore', 'pipe', fd] as const
  const result = spawnSync('flock', ['-x', '-n', '-E', '75', '3'], { stdio: [...stdio] })
  if (result.error !== undefined) throw result.error
  if (result.status === 0) return true
  if (result.status === 75) return false
  throw new Error(`flock: ${result.stderr.toString().trim() || `exit ${result.status}`}`)
}
