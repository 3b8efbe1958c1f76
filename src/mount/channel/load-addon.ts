/** The native addon's face, and how it is found. Its source is src/mount/native. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Owned by the addon; made by `readerCreate`, passed back unchanged. */
export interface NativeReader {
  readonly nativeReader: never
}

export interface ReaderStatistics {
  /** Handed over, and answered by the reader itself (bare-inodes.ts, ready-attributes.ts, plain-handles.ts). */
  readonly requests: number
  readonly answered: number
  /** Requests that came while the loop spun, and spins that ended without one. */
  readonly spinHits: number
  readonly spinMisses: number
  /** Requests that were looked out for and came, and that did not come. */
  readonly lookoutHits: number
  readonly lookoutMisses: number
  /** How often spinning was switched off because others wanted the CPU. */
  readonly pressurePauses: number
}

/** What a request callback answers: keep the buffer, read into another one, or pause. */
export type NextBuffer = undefined | Uint8Array | null

/** Every error carries `code` (errno name), `errno` (positive) and what was attempted. */
export interface NativeAddon {
  /** Opens /dev/fuse non-blocking and close-on-exec. */
  openDevice(): number
  mountDevice(source: string, target: string, type: string, flags: number, data: string): void
  /** umount2(2) on the thread pool: it may wait for answers of this very process. */
  unmountPath(target: string, flags: number): Promise<void>
  socketPair(): [number, number]
  /** The descriptor that a finished fusermount3 sent; EAGAIN when there is none. */
  receiveDevice(socketFd: number): number
  /** One writev; 0 or a positive errno. */
  writeReply(fd: number, parts: readonly Uint8Array[]): number
  /** How far behind the beginning of a page of memory the bytes begin. */
  pageOffset(bytes: Uint8Array): number
  writeNotification(fd: number, message: Uint8Array): Promise<void>
  readerCreate(
    fd: number,
    batch: number,
    spinUs: number,
    lookUs: number,
    /** See TurnEnd. */
    turn: Uint8Array,
    /** See BareInodes. */
    bare: Uint8Array,
    /** See ReadyAttributes. */
    ready: Uint8Array,
    /** See PlainHandleTable. */
    plain: Uint8Array,
    onRequest: (sizeBytes: number) => NextBuffer,
    onEnd: (errno: number) => void,
    onTurnEnd: () => void
  ): NativeReader
  readerResume(reader: NativeReader, buffer: Uint8Array): void
  readerStop(reader: NativeReader): void
  readerStatistics(reader: NativeReader): ReaderStatistics
  fallocate(fd: number, mode: number, offset: number, length: number): Promise<void>
  syncFileRange(fd: number, flags: number, offset: number, length: number): Promise<void>
  fadvise(fd: number, advice: number, offset: number, length: number): Promise<void>
  /**
   * Fills `target`. `parts`: length and crc32 of each part of it, u32 each. `once`: the page cache need
   * not keep it. 0 or a positive errno: EBADMSG for other bytes than those, ENODATA when the file
   * ends before.
   */
  readChecked(
    fd: number,
    target: Uint8Array,
    offset: number,
    parts: Uint8Array,
    once: boolean
  ): number
  /** As zlib's, sooner. */
  crc32(bytes: Uint8Array, start: number): number
  /**
   * On the thread pool: the sums of its parts, 32 bytes each, at most `lanesMax` made at once (8, 2; 1 by
   * OpenSSL). The bytes must stay what they are until then.
   */
  sha256Each(bytes: Uint8Array, partBytes: number, lanesMax: number): Promise<Buffer>
  /**
   * Seals what one to eight parts are together. 0; 2 when nothing was done. Throws when OpenSSL fails in the middle
   * of it.
   */
  streamSeal(state: Uint8Array, sealed: Uint8Array, ...parts: readonly Uint8Array[]): number
  /** 0; 1 for bytes that were not sealed so; 2 when nothing was done. */
  streamOpen(state: Uint8Array, sealed: Uint8Array, plain: Uint8Array): number
  tryLockFile(fd: number): boolean
  boottimeMs(): number
  /** Memory that was freed goes back to the system; takes some milliseconds. */
  trimMemory(): void
  /** One datagram to a Unix socket (`@` = abstract name); text of at most 1023 bytes. */
  sendDatagram(path: string, text: string): void
}

export type AddonResult =
  | { readonly addon: NativeAddon; readonly reason?: undefined }
  | { readonly addon: undefined; readonly reason: string }

const ADDON_PATH = ['build', 'Release', 'fuse_addon.node'] as const
const require = createRequire(import.meta.url)
let loaded: AddonResult | undefined

function packageRoot(from: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'package.json'))) return directory
    if (directory === dirname(directory)) return undefined
  }
}

function load(): AddonResult {
  const root = packageRoot(dirname(fileURLToPath(import.meta.url)))
  if (root === undefined) return { addon: undefined, reason: 'no package.json above this file' }
  const path = join(root, ...ADDON_PATH)
  if (!existsSync(path)) return { addon: undefined, reason: `${path} is not built` }
  try {
    return { addon: require(path) as NativeAddon }
  } catch (error) {
    return { addon: undefined, reason: `${path} does not load: ${(error as Error).message}` }
  }
}

/** The addon, or the reason why there is none. Looked up once. */
export function loadAddon(): AddonResult {
  loaded ??= load()
  return loaded
}
