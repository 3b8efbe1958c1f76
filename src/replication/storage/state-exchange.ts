/**
 * (I/O) Whole states on their way between members. Going out: a copy in a file of its own, read in
 * parts, removed when it is not needed any more. Coming in: written under a temporary name, checked
 * against its sha256, taken over (`adopt`), fsynced, and renamed to `state.db.received`; the next
 * start puts it in the place of the state that is there.
 *
 * Invariant: under the name `state.db.received` stands only a whole, checked, durable state. What a
 * crash leaves under the other names is removed when the member starts.
 */
import type { Hash } from 'node:crypto'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync
} from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { StatePosition } from '../../fs/ports/state-machine.ts'
import { fsyncDirectory } from './atomic-file.ts'
import type { StateDirectory } from './state-directory.ts'

/** A copy of this member's state at one position. */
export interface StateCopy {
  readonly totalBytes: number
  readonly sha256: Uint8Array
  read(offset: number, length: number): Promise<Buffer>
  discard(): void
}

/** Takes the bytes of another member's state, from the first to the last. */
export interface StateReceiver {
  /** Throws the system's error. */
  write(data: Uint8Array): void
  /**
   * All of it was written. Resolves with its position when the next start will open it; rejects
   * with what is wrong with it, which `unfit` may say as well. Nothing of it is left then.
   */
  finish(
    sha256: Uint8Array,
    unfit: (position: StatePosition) => string | undefined
  ): Promise<StatePosition>
  /** From now on nothing comes of it. */
  discard(): void
}

export interface StateExchangeComponents {
  readonly directory: Pick<StateDirectory, 'state'>
  /** Writes the state as of the last commit into a new file. */
  readonly copyTo: (
    file: string
  ) => Promise<{ readonly bytes: number; readonly sha256: Uint8Array }>
  /** Checks a copy and makes it one that can be opened here; durable on return. */
  readonly adopt: (file: string) => Promise<StatePosition>
}

export class StateExchange {
  readonly #components: StateExchangeComponents
  #copies = 0

  constructor(components: StateExchangeComponents) {
    this.#components = components
  }

  /** What a copy takes on the disk at most, as the state is now. */
  copyBytesMax(): number {
    const { state } = this.#components.directory
    return sizeOf(state) + sizeOf(`${state}-wal`)
  }

  async copy(): Promise<StateCopy> {
    const { directory, copyTo } = this.#components
    const file = `${directory.state}${COPY}${++this.#copies}`
    try {
      const { bytes, sha256 } = await copyTo(file)
      const handle = await open(file, 'r')
      // The name is not needed any more: whatever happens, the space comes back.
      rmSync(file)
      return {
        totalBytes: bytes,
        sha256,
        read: async (offset, length) => {
          const data = Buffer.allocUnsafeSlow(length)
          const { bytesRead } = await handle.read(data, 0, length, offset)
          return data.subarray(0, bytesRead)
        },
        discard: () => {
          handle.close().catch(() => {})
        }
      }
    } catch (error) {
      rmSync(file, { force: true })
      throw error
    }
  }

  receive(): StateReceiver {
    const { directory, adopt } = this.#components
    return new FileReceiver(directory.state, adopt)
  }
}

const COPY = '.copy-'
const INCOMING = '.incoming'
const RECEIVED = '.received'

class FileReceiver implements StateReceiver {
  readonly #state: string
  readonly #adopt: StateExchangeComponents['adopt']
  readonly #sum: Hash = createHash('sha256')
  #fd: number | undefined
  #discarded = false

  constructor(state: string, adopt: StateExchangeComponents['adopt']) {
    this.#state = state
    this.#adopt = adopt
    removeDatabase(this.#incoming)
    this.#fd = openSync(this.#incoming, 'wx', 0o600)
  }

  get #incoming(): string {
    return `${this.#state}${INCOMING}`
  }

  write(data: Uint8Array): void {
    if (this.#fd === undefined) throw new Error('the incoming state is closed')
    this.#sum.update(data)
    for (let done = 0; done < data.length; ) done += writeSync(this.#fd, data, done)
  }

  async finish(
    sha256: Uint8Array,
    unfit: (position: StatePosition) => string | undefined
  ): Promise<StatePosition> {
    this.#close()
    try {
      if (!this.#sum.digest().equals(sha256)) throw new Error('its bytes differ from its sha256')
      const position = await this.#adopt(this.#incoming)
      const reason = unfit(position)
      if (reason !== undefined) throw new Error(reason)
      await fsyncFile(this.#incoming)
      if (this.#discarded) throw new Error('it is not wanted any more')
      renameSync(this.#incoming, `${this.#state}${RECEIVED}`)
      fsyncDirectory(dirname(this.#state))
      return position
    } catch (error) {
      this.discard()
      throw error
    }
  }

  discard(): void {
    this.#discarded = true
    this.#close()
    removeDatabase(this.#incoming)
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

/**
 * Before the state is opened: puts a received one in its place, and removes what was left over.
 * True when there was one.
 */
export function installReceived(state: string): boolean {
  const dir = dirname(state)
  removeDatabase(`${state}${INCOMING}`)
  if (!existsSync(dir)) return false
  for (const name of readdirSync(dir)) {
    if (name.startsWith(`${basename(state)}${COPY}`)) rmSync(join(dir, name), { force: true })
  }
  const received = `${state}${RECEIVED}`
  if (!existsSync(received)) return false
  // Nothing but an empty state was here; without its log it could not be told from that, and by its
  // sums the new one were damaged.
  for (const suffix of ['-wal', '-shm', '-sums']) rmSync(`${state}${suffix}`, { force: true })
  fsyncDirectory(dir)
  renameSync(received, state)
  fsyncDirectory(dir)
  return true
}

async function fsyncFile(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

function removeDatabase(file: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(`${file}${suffix}`, { force: true })
}
