/**
 * (I/O) The logs of all writers, signed and published: hypercores in one corestore. The log is
 * history and catch-up; what decides about durability of an entry is the journal.
 *
 * Invariants: this member appends only to cores of its own incarnations, foreign ones are only
 * downloaded; a truncated (forked) foreign history is refused. hypercore never fsyncs by itself:
 * `flush` makes durable what stands in the logs, own and foreign (RULES 1c).
 */
import { mkdirSync } from 'node:fs'
import type NoiseSecretStream from '@hyperswarm/secret-stream'
import Corestore from 'corestore'
import type Hypercore from 'hypercore'
import type { HypercorePeer, HypercoreUpgrade } from 'hypercore'
import crypto from 'hypercore-crypto'
import type { CorePointer } from 'hypercore-storage'
import HypercoreStorage from 'hypercore-storage'
import { assert } from '../../fs/assert.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'
import { ForeignLog } from './foreign-log.ts'
import { GroupSync } from './group-sync.ts'
import type { LogFailure, OnLogFailure } from './log-failure.ts'
import { DamagedLogError, toError } from './log-failure.ts'
import { OwnLog } from './own-log.ts'
import { DamagedFileError, systemCode } from './storage-errors.ts'

/** Requests in flight for one core and peer; blocks can be 1 MiB. */
const INFLIGHT_RANGE = [16, 64] as const
const KEY_BYTES = 32

interface Answer {
  readonly upgrade?: HypercoreUpgrade | null
}

type Peer = Pick<HypercorePeer, 'paused'>

export interface WriterLogsComponents {
  readonly dir: string
  readonly logger: Logger
  readonly onFailure: OnLogFailure
}

export interface WriterLogsOptions {
  /** Memory for blocks before they are written out of the store's own log; two of them. */
  readonly writeBufferBytes?: number
  readonly queueMaxBlocks?: number
  readonly queueMaxBytes?: number
}

export class WriterLogs {
  readonly #store: Corestore
  readonly #storage: HypercoreStorage
  readonly #logger: Logger
  readonly #onFailure: OnLogFailure
  readonly #queueMaxBlocks: number
  readonly #queueMaxBytes: number
  readonly #own = new Map<WriterId, OwnLog>()
  readonly #foreign = new Map<WriterId, ForeignLog>()
  readonly #dir: string
  readonly #flushes = new GroupSync(() => this.#storage.db.flush())
  /** The store is not closed under it. */
  #removing: Promise<void> = Promise.resolve()
  #closed = false

  private constructor(
    store: Corestore,
    storage: HypercoreStorage,
    components: WriterLogsComponents,
    options: WriterLogsOptions
  ) {
    this.#store = store
    this.#dir = components.dir
    this.#storage = storage
    this.#logger = components.logger
    this.#onFailure = components.onFailure
    this.#queueMaxBlocks = options.queueMaxBlocks ?? 4096
    this.#queueMaxBytes = options.queueMaxBytes ?? 16 * 1024 * 1024
  }

  /** Opens the store in `dir` (made when missing). Rejects when it is damaged or in use. */
  static async open(
    components: WriterLogsComponents,
    options: WriterLogsOptions = {}
  ): Promise<WriterLogs> {
    mkdirSync(components.dir, { recursive: true, mode: 0o700 })
    const storage = new HypercoreStorage(components.dir, {
      writeBufferSize: options.writeBufferBytes ?? 8 * 1024 * 1024,
      maxBackgroundJobs: 2,
      treeCache: { maxSize: 4096 }
    })
    const store = new Corestore(storage)
    try {
      await store.ready()
    } catch (error) {
      await store.close().catch(() => undefined)
      throw openError(components.dir, error)
    }
    return new WriterLogs(store, storage, components, options)
  }

  /** The log of this boot: made new, its key is known on return. */
  async create(writer: WriterId): Promise<OwnLog> {
    const log = await this.#openOwn(writer)
    if (log.length === 0) return log
    await this.#forgetOwn(log)
    throw new DamagedLogError(writer, 'it has blocks before its first use')
  }

  /** The log of an earlier boot; `appendMissing` finds out whether it is as long as it has to be. */
  reopen(writer: WriterId): Promise<OwnLog> {
    return this.#openOwn(writer)
  }

  /** Another writer's log, from now on downloaded as it grows. */
  async follow(writer: WriterId, key: Buffer): Promise<ForeignLog> {
    assert(!this.#closed, 'the logs are closed')
    assert(!this.#foreign.has(writer), 'the log is followed already')
    if (key.length !== KEY_BYTES) throw new RangeError('a log key is 32 bytes')
    const core = this.#store.get({ key, allowFork: false, inflightRange: INFLIGHT_RANGE })
    await this.#ready(core)
    this.#watch(writer, core, undefined)
    const log = new ForeignLog(writer, core, (failure) => this.#report(failure))
    this.#foreign.set(writer, log)
    return log
  }

  /** Removes the log from the disk, for nobody needs it any more. An own one has ended. */
  remove(writer: WriterId): Promise<void> {
    const removed = this.#remove(writer)
    const both = Promise.allSettled([this.#removing, removed])
    this.#removing = both.then(() => undefined)
    return removed
  }

  async #remove(writer: WriterId): Promise<void> {
    const own = this.#own.get(writer)
    const foreign = this.#foreign.get(writer)
    const place = own?.place ?? foreign?.place
    this.#own.delete(writer)
    this.#foreign.delete(writer)
    await own?.close()
    await foreign?.release()
    if (!place || this.#closed) return
    await this.#storage.deleteCore(place)
    // Else its space comes back with the writes of others, whenever that is.
    if (!this.#closed) await this.#storage.db.compactRange()
  }

  /**
   * Removes every log but those with these keys from the disk; called before any is opened.
   * Resolves with how many that were.
   */
  async removeAllBut(keys: readonly Buffer[]): Promise<number> {
    const kept = new Set(keys.map((key) => crypto.discoveryKey(key).toString('hex')))
    const others: CorePointer[] = []
    for await (const { discoveryKey, core } of this.#storage.createCoreStream()) {
      if (!kept.has(discoveryKey.toString('hex'))) others.push(core)
    }
    for (const place of others) await this.#storage.deleteCore(place)
    if (others.length > 0) await this.#storage.db.compactRange()
    return others.length
  }

  own(writer: WriterId): OwnLog | undefined {
    return this.#own.get(writer)
  }

  foreign(writer: WriterId): ForeignLog | undefined {
    return this.#foreign.get(writer)
  }

  /** How far the opened logs stand here, own and foreign. */
  lengths(): Map<WriterId, Seq> {
    const lengths = new Map<WriterId, Seq>()
    for (const log of [...this.#foreign.values(), ...this.#own.values()]) {
      lengths.set(log.writer, log.length)
    }
    return lengths
  }

  /**
   * Exchanges all logs with the member at the other end of an encrypted stream, until it closes.
   * The stream must carry nothing but protomux channels.
   */
  replicate(stream: NoiseSecretStream): void {
    assert(!this.#closed, 'the logs are closed')
    this.#store.replicate(stream, { keepAlive: false })
  }

  /** Makes the logs durable as they stand now; resolves with how far that is. */
  async flush(): Promise<Vector> {
    assert(!this.#closed, 'the logs are closed')
    const lengths = this.lengths()
    await this.#flushes.request()
    return lengths
  }

  /** Waits for queued blocks, then closes all logs and the store. Nothing is flushed. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#flushes.idle()
    await this.#removing
    const logs = [...this.#own.values(), ...this.#foreign.values()]
    await Promise.allSettled(logs.map((log) => log.close()))
    await this.#store.close()
  }

  async #ready(core: Hypercore): Promise<void> {
    try {
      await core.ready()
    } catch (error) {
      throw openError(this.#dir, error)
    }
  }

  async #openOwn(writer: WriterId): Promise<OwnLog> {
    assert(!this.#closed, 'the logs are closed')
    assert(!this.#own.has(writer), 'the log is open already')
    const core = this.#store.get({ name: `writer-${writer}`, inflightRange: INFLIGHT_RANGE })
    await this.#ready(core)
    const log = new OwnLog(writer, core, (failure) => this.#report(failure), {
      queueMaxBlocks: this.#queueMaxBlocks,
      queueMaxBytes: this.#queueMaxBytes
    })
    this.#own.set(writer, log)
    this.#watch(writer, core, log)
    return log
  }

  async #forgetOwn(log: OwnLog): Promise<void> {
    this.#own.delete(log.writer)
    await log.close()
  }

  #watch(writer: WriterId, core: Hypercore, own: OwnLog | undefined): void {
    core.on('conflict', (length: number, fork: number) => {
      const reason = `two histories were signed for length ${length}, fork ${fork}`
      const error = new DamagedLogError(writer, reason)
      own?.fail(error)
      this.#report({ kind: 'conflict', writer, error })
    })
    core.on('verification-error', (reason: unknown, _request, answer: Answer, peer: Peer) => {
      const error = toError(reason)
      if (isOvertaken(core, answer)) {
        this.#logger.debug({ writer, error }, 'answer for a log that was shorter')
        peer.paused = false
        return
      }
      // A block that could not be stored is announced in the same way as one that is wrong.
      const kind = systemCode(error.cause) === undefined ? 'refused' : 'write'
      if (kind === 'write') this.#foreign.get(writer)?.fail(error)
      this.#report({ kind, writer, error })
    })
  }

  #report(failure: LogFailure): void {
    this.#logger.error({ ...failure }, 'log of a writer failed')
    this.#onFailure(failure)
  }
}

/**
 * It says how a shorter log is continued: while it was on its way the log here was extended by a
 * signature (foreign-log.ts), so it fits no more. The peer has done nothing wrong and is asked again.
 */
function isOvertaken(core: Hypercore, { upgrade }: Answer): boolean {
  return upgrade !== null && upgrade !== undefined && upgrade.start < core.length
}

/** The store has noted the file it is kept in: it knows a copy of itself. */
function isOfCopy(error: unknown): boolean {
  return systemCode(error) === 'DEVICE_FILE'
}

/** What the store says of blocks whose checksum is wrong is an EIO, as of a disk that cannot be read. */
function openError(dir: string, error: unknown): unknown {
  if (isOfCopy(error)) return copyError(dir, error)
  if (systemCode(error) !== 'EIO') return error
  return new DamagedFileError(dir, toError(error).message, { cause: error })
}

/** RULES 12: whoever goes on from an earlier state takes back what it has promised since. */
function copyError(dir: string, cause: unknown): DamagedFileError {
  const reason = 'it was copied, or put back from a backup: it may be older than what was promised'
  return new DamagedFileError(dir, reason, { cause })
}
