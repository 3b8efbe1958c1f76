/**
 * System calls Node has no name for, by the addon or, without it, by the programs of util-linux
 * that make the same calls on an inherited descriptor.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'
import type { FileRangeCalls } from '../../replication/storage/disk-io.ts'
import type { CipherOutcome, MessageCipher } from '../../replication/transport/large-messages.ts'
import type { NativeAddon } from './load-addon.ts'

/** FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE */
const PUNCH_HOLE = 0x02 | 0x01
/** SYNC_FILE_RANGE_WRITE */
const WRITE = 2
/** POSIX_FADV_DONTNEED */
const DONT_NEED = 4
/** As many as the addon can make. */
const SUMS_AT_ONCE = 8

export interface SystemCalls {
  /** CLOCK_BOOTTIME in milliseconds: never goes back, goes on during suspend. */
  boottimeMs(): number
  /** Whether the exclusive lock on the whole file was free; it ends with the descriptor. */
  tryLockFile(fd: number): boolean
  /** By the addon alone: a program for each of them would cost more than it saves. */
  readonly ranges: FileRangeCalls | undefined
  readonly cipher: MessageCipher | undefined
}

export function nativeSystemCalls(addon: NativeAddon): SystemCalls {
  return {
    boottimeMs: () => addon.boottimeMs(),
    tryLockFile: (fd) => addon.tryLockFile(fd),
    ranges: {
      punchHole: (fd, offset, lengthBytes) => addon.fallocate(fd, PUNCH_HOLE, offset, lengthBytes),
      startWriteBack: (fd, offset, lengthBytes) =>
        addon.syncFileRange(fd, WRITE, offset, lengthBytes),
      forgetPages: (fd, offset, lengthBytes) => addon.fadvise(fd, DONT_NEED, offset, lengthBytes),
      crc32: (bytes, start = 0) => addon.crc32(bytes, start),
      sha256Each: (bytes, partBytes) => addon.sha256Each(bytes, partBytes, SUMS_AT_ONCE),
      readChecked: (fd, target, offset, { parts, once }) => {
        const bytes = new Uint8Array(parts.buffer, parts.byteOffset, parts.byteLength)
        return addon.readChecked(fd, target, offset, bytes, once)
      }
    },
    cipher: {
      seal: (state, sealed, ...parts) => outcomeOf(addon.streamSeal(state, sealed, ...parts)),
      open: (state, sealed, plain) => outcomeOf(addon.streamOpen(state, sealed, plain))
    }
  }
}

export function programSystemCalls(): SystemCalls {
  return { boottimeMs: uptimeMs, tryLockFile: lockByProgram, ranges: undefined, cipher: undefined }
}

function outcomeOf(code: number): CipherOutcome {
  if (code === 0) return 'done'
  return code === 1 ? 'forged' : 'left'
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

/** A flock belongs to the open file, which the program shares with this process and leaves here. */
function lockByProgram(fd: number): boolean {
  const stdio = ['ignore', 'ignore', 'pipe', fd] as const
  const result = spawnSync('flock', ['-x', '-n', '-E', '75', '3'], { stdio: [...stdio] })
  if (result.error !== undefined) throw result.error
  if (result.status === 0) return true
  if (result.status === 75) return false
  throw new Error(`flock: ${result.stderr.toString().trim() || `exit ${result.status}`}`)
}
