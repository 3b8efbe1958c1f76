/**
 * The composition root: one member of a volume, mounted. The mount and the open files live as long
 * as the node; state, replica and filesystem are those of one incarnation, and when that is over
 * (expelled by an epoch, isolated for too long) the next one takes its place under the same mount.
 */
import { FsError } from '../../fs/errno.ts'
import type { FilesystemApi } from '../../fs/filesystem-api.ts'
import { OpenFiles } from '../../fs/open-files.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import { toAttr } from '../../fs/state/inode-table.ts'
import type { EndReason } from '../../replication/replica/membership-components.ts'
import type { Replica } from '../../replication/replica/replica.ts'
import type { FileRangeCalls } from '../../replication/storage/disk-io.ts'
import type { MessageCipher } from '../../replication/transport/large-messages.ts'
import { loadAddon } from '../channel/load-addon.ts'
import { PlainHandleTable } from '../channel/plain-handles.ts'
import { nativeSystemCalls, programSystemCalls } from '../channel/system-calls.ts'
import { TurnEnd } from '../channel/turn-end.ts'
import { channelDriver } from '../driver/channel-driver.ts'
import type { ServedMount } from '../driver/driver.ts'
import { fuseNativeDriver } from '../driver/fuse-native-driver.ts'
import { KernelCache } from '../fuse/kernel-cache.ts'
import { prepareMountPoint } from '../mounting/mount-point.ts'
import { hasSubmounts } from '../mounting/submounts.ts'
import { CpuLatency, holdCpuLatency } from './cpu-latency.ts'
import { CurrentFilesystem } from './current-filesystem.ts'
import { collectAllObjects, collectYoungObjects, DeadBuffers } from './dead-buffers.ts'
import { checkDriver, driverWarnings } from './driver-limits.ts'
import type { Incarnation } from './incarnation.ts'
import { openIncarnation, setStateAside } from './incarnation.ts'
import { countLocks, type LockReport } from './lock-report.ts'
import { MemoryRelief } from './memory-relief.ts'
import type { MountSettings } from './mount-options.ts'
import type {
  InviteRequest,
  NodeComponents,
  NodeOptions,
  NodeStatus,
  StopReason,
  TandemNode
} from './node-api.ts'
import { invite, lockReport, removeMember, setTieBreaker } from './node-commands.ts'
import { nodeStatus } from './node-status.ts'
import { removedFromVolume } from './removed.ts'
import { giveRootTo } from './root-owner.ts'
import { Serving } from './serving.ts'
import {
  assertChangeable,
  cpuLatencyOptions,
  incarnationIsolationMs,
  kernelFlags,
  servingOptions
} from './settings.ts'
import { shownAttr, shownFilesystem } from './shown-filesystem.ts'
import { systemClock } from './system-clock.ts'
import { UserError } from './user-error.ts'

const CHANNEL_END_MS = 3000
/** How long turning read-only waits for what was written before. */
const FLUSH_MS = 5000

export function composeNode(components: NodeComponents, options: NodeOptions): TandemNode {
  return new MountedNode(components, options)
}

class MountedNode implements TandemNode {
  readonly #components: NodeComponents
  readonly #options: NodeOptions
  readonly #clock: Clock
  readonly #ranges: FileRangeCalls | undefined
  readonly #cipher: MessageCipher | undefined
  readonly #plainHandles = new PlainHandleTable()
  readonly #openFiles = new OpenFiles({ plain: this.#plainHandles })
  readonly #turnEnd = new TurnEnd()
  readonly #serving: Serving
  readonly #kernelCache: KernelCache
  readonly #memoryRelief: MemoryRelief
  readonly #cpuLatency: CpuLatency
  readonly #deadBuffers = new DeadBuffers({ collectYoung: collectYoungObjects })
  #settings: MountSettings
  readonly #startedMs: number
  #incarnation: Incarnation | undefined
  #live = false
  /** Incarnations that have ended. */
  #ends = 0
  /** The state is what this member last served, or newer; false while it is built anew. */
  #hasServed = false
  #mount: ServedMount | undefined
  #mounting: Promise<void> | undefined
  #unmounting = false
  #stopping: Promise<void> | undefined
  #firstLive: () => void = () => {}
  #startFailed: (error: Error) => void = () => {}
  #started = false
  #onFatal: (error: Error) => void = () => {}
  #onUnmounted: () => void = () => {}
  #changing: Promise<void> = Promise.resolve()

  constructor(components: NodeComponents, options: NodeOptions) {
    this.#components = components
    this.#options = options
    this.#settings = options.settings
    const { addon } = loadAddon()
    const system = addon ? nativeSystemCalls(addon) : programSystemCalls()
    this.#clock = systemClock(() => system.boottimeMs())
    this.#ranges = system.ranges
    this.#cipher = system.cipher
    this.#startedMs = this.#clock.monotonicMs()
    this.#cpuLatency = new CpuLatency(
      { clock: this.#clock, logger: components.logger, hold: holdCpuLatency },
      cpuLatencyOptions(options.settings)
    )
    this.#serving = new Serving(
      {
        clock: this.#clock,
        current: () => (this.#live ? this.#incarnation?.filesystem : undefined),
        stale: () => this.#staleReads(),
        mayAnswer: () => this.#incarnation?.replica.membership.mayAnswer() ?? false,
        onIsolated: (reason) => this.#mount?.endWaits(reason),
        noteWork: () => this.#cpuLatency.noteWork()
      },
      servingOptions(options.settings)
    )
    this.#kernelCache = new KernelCache({
      clock: this.#clock,
      logger: components.logger,
      leaseLeftMs: () => (this.#live ? this.#leaseLeftMs() : 0),
      hasSubmounts: (everywhere) => hasSubmounts(options.mountPoint, { everywhere }),
      inodeOf: (ino) => this.#incarnation?.state.inode(ino),
      attrOf: (ino) => {
        const inode = this.#incarnation?.state.inode(ino)
        return inode && shownAttr(toAttr(inode), options.settings)
      },
      isBare: (ino) => this.#incarnation?.state.isBare(ino) ?? false
    })
    this.#memoryRelief = new MemoryRelief({
      clock: this.#clock,
      residentBytes: () => process.memoryUsage.rss(),
      cpuMs: () => {
        const { user, system: inKernel } = process.cpuUsage()
        return (user + inKernel) / 1000
      },
      release: () => {
        this.#incarnation?.state.releaseMemory()
        this.#incarnation?.replica.releaseMemory()
        collectAllObjects()
        addon?.trimMemory()
      }
    })
  }

  onFatal(callback: (error: Error) => void): void {
    this.#onFatal = callback
  }

  onUnmounted(callback: () => void): void {
    this.#onUnmounted = callback
  }

  async start(): Promise<void> {
    const { mountPoint, stateDir, settings } = this.#options
    checkDriver(settings)
    await prepareMountPoint(mountPoint, { stateDirectory: stateDir })
    const live = new Promise<void>((resolve, reject) => {
      this.#firstLive = resolve
      this.#startFailed = reject
    })
    live.catch(() => {})
    try {
      await this.#open()
      await live
      this.#assertNotStopping()
      await this.#giveRootToUser()
      this.#mounting = this.#serveMount()
      await this.#mounting
      this.#assertNotStopping()
      this.#started = true
      this.#memoryRelief.start()
    } catch (error) {
      if (this.#stopping === undefined) await this.#closeAll({ orderly: false })
      throw error
    }
  }

  async #giveRootToUser(): Promise<void> {
    const { geteuid, getegid } = process
    const incarnation = this.#incarnation
    if (!geteuid || !getegid || !incarnation?.replica.membership.isAuthority) return
    await giveRootTo(incarnation.filesystem, { uid: geteuid(), gid: getegid() })
  }

  status(): NodeStatus {
    const incarnation = this.#incarnation
    if (!incarnation) throw this.#notServing()
    const { mountPoint, stateDir } = this.#options
    const mount = this.#mount
    return nodeStatus({
      replica: incarnation.replica,
      inodes: incarnation.state.counts().inodes,
      locks: countLocks(incarnation.filesystem.lockRows()),
      mountPoint,
      mounted: this.#started && this.#stopping === undefined,
      stateDir,
      uptimeMs: Math.round(this.#clock.monotonicMs() - this.#startedMs),
      nowMs: this.#clock.monotonicMs(),
      channel: mount ? { kind: mount.kind, reason: mount.fallbackReason ?? null } : null,
      warnings: [
        ...(this.#live ? [] : ['this member is not live: operations wait']),
        ...driverWarnings(this.#settings)
      ]
    })
  }

  async locks(below: string | undefined): Promise<LockReport> {
    const incarnation = this.#incarnation
    if (!incarnation) throw this.#notServing()
    return await lockReport(incarnation, this.#options.mountPoint, below)
  }

  async stop(_reason: StopReason, options: { readonly lazy: boolean }): Promise<void> {
    if (this.#started) await this.#unmount(options)
    this.#stopping ??= this.#finish()
    await this.#stopping
  }

  async #unmount(options: { readonly lazy: boolean }): Promise<void> {
    // The channel ends before the unmount returns: that is not somebody else's doing.
    this.#unmounting = true
    try {
      await this.#mount?.unmount(options)
    } catch (error) {
      this.#unmounting = false
      throw error
    }
  }

  get settings(): MountSettings {
    return this.#settings
  }

  async configure(settings: MountSettings): Promise<void> {
    assertChangeable(this.#settings, settings)
    const wasWritable = !this.#settings.readOnly
    this.#settings = settings
    this.#serving.configure(servingOptions(settings))
    this.#cpuLatency.configure(cpuLatencyOptions(settings))
    if (!settings.readOnly || !wasWritable) return
    const durable = this.#incarnation?.replica.durable().catch((error: unknown) => {
      this.#components.logger.warn(
        { error: String(error) },
        'read-only, but not everything is durable'
      )
    })
    await Promise.race([durable, this.#pause(FLUSH_MS)])
  }

  async invite(request: InviteRequest): Promise<string> {
    return await invite(this.#replica(), request)
  }

  async removeMember(name: string): Promise<void> {
    await removeMember(this.#replica(), name)
  }

  async setTieBreaker(name: string | null): Promise<void> {
    await setTieBreaker(this.#replica(), name)
  }

  #replica(): Replica {
    const replica = this.#incarnation?.replica
    if (!replica) throw this.#notServing()
    return replica
  }

  async #open(): Promise<void> {
    const { logger } = this.#components
    const { stateDir } = this.#options
    let opened: Incarnation | undefined
    const isCurrent = (): boolean => opened === undefined || this.#incarnation === opened
    opened = await openIncarnation(
      {
        clock: this.#clock,
        logger,
        openFiles: this.#openFiles,
        ranges: this.#ranges,
        cipher: this.#cipher,
        defer: (work) => this.#turnEnd.defer(work),
        kernelCache: this.#kernelCache,
        noteTraffic: (sizeBytes) => {
          this.#cpuLatency.noteWork()
          this.#deadBuffers.noteBytes(sizeBytes)
        },
        onLive: () => {
          if (isCurrent()) this.#becameLive()
        },
        onEnded: (reason) => {
          if (isCurrent()) this.#ended(reason)
        },
        onFatal: (error) => this.#fatal(error)
      },
      { stateDir, isolationMs: incarnationIsolationMs(this.#settings) }
    )
    this.#incarnation = opened
    await opened.replica.start()
  }

  /** The kernel still has what an earlier incarnation gave it. */
  #becameLive(): void {
    const ends = this.#ends
    this.#kernelCache.dropAll().then(
      () => {
        if (ends !== this.#ends) return
        this.#live = true
        this.#hasServed = true
        this.#serving.wake()
        this.#firstLive()
      },
      (error: unknown) => this.#fatal(error)
    )
  }

  #leaseLeftMs(): number {
    return this.#incarnation?.replica.membership.leaseLeftMs() ?? 0
  }

  #ended(reason: EndReason): void {
    this.#live = false
    this.#ends++
    const { logger } = this.#components
    if (reason === 'removed') {
      this.#fatal(removedFromVolume(`mount ${this.#options.mountPoint}`))
      return
    }
    this.#changing = this.#changing
      .then(async () => {
        const over = this.#incarnation
        this.#incarnation = undefined
        await over?.close({ orderly: false })
        if (this.#stopping) return
        if (reason === 'transferred') this.#hasServed = false
        if (reason === 'rebuild' || reason === 'outdated') {
          this.#hasServed = false
          if (reason === 'outdated') this.#openFiles.poisonAll()
          const clock = this.#clock
          await setStateAside(this.#options.stateDir, this.#openFiles, { clock, logger })
        }
        await this.#open()
      })
      .catch((error: unknown) => this.#fatal(error))
  }

  /** Before its journal is replayed an incarnation has less than the one before it had. */
  #staleReads(): FilesystemApi | undefined {
    const incarnation = this.#incarnation
    if (!incarnation || !this.#hasServed) return undefined
    return incarnation.replica.membership.phase === 'starting' ? undefined : incarnation.stale
  }

  #servedFilesystem(): FilesystemApi {
    const current = new CurrentFilesystem({
      serving: this.#serving,
      release: async (ino, handle) => {
        const filesystem = this.#incarnation?.filesystem
        if (filesystem) await filesystem.release(ino, handle)
        else this.#openFiles.close(ino, handle)
      }
    })
    const durable = async (): Promise<void> => {
      const replica = this.#incarnation?.replica
      if (!replica) throw new FsError('EIO', 'this member does not serve now')
      await this.#serving.unlessIsolated(replica.durable())
    }
    return shownFilesystem(current, this.#options.settings, durable)
  }

  async #serveMount(): Promise<void> {
    const { mountPoint, source, stateDir, settings } = this.#options
    const driver = settings.driver === 'fuse-native' ? fuseNativeDriver : channelDriver
    const mount = await driver(
      {
        fs: this.#servedFilesystem(),
        gate: this.#serving,
        policy: this.#kernelCache,
        clock: this.#clock,
        logger: this.#components.logger,
        turnEnd: this.#turnEnd,
        plainHandles: this.#plainHandles
      },
      {
        mountPoint,
        source,
        stateDirectory: stateDir,
        allowOther: settings.allowOther,
        ...kernelFlags(settings)
      }
    )
    this.#mount = mount
    void mount.closed.then((error) => {
      if (error) this.#fatal(error)
      else if (!this.#unmounting && !this.#stopping) this.#onUnmounted()
    })
  }

  async #finish(): Promise<void> {
    this.#startFailed(new Error('stopped while starting'))
    if (!this.#started) {
      // A mount that is being made has to be there to be taken away; start() reports its failure.
      await this.#mounting?.catch(() => {})
      await this.#mount?.unmount({ lazy: true })
    }
    await this.#closeAll({ orderly: true })
  }

  async #closeAll(options: { readonly orderly: boolean }): Promise<void> {
    this.#memoryRelief.stop()
    this.#cpuLatency.stop()
    this.#serving.stop()
    const mount = this.#mount
    if (mount) {
      // After the unmount the kernel ends its side by itself; nothing is left to be answered.
      await Promise.race([mount.closed, this.#pause(CHANNEL_END_MS)])
      await mount.close()
    }
    await this.#changing
    this.#live = false
    const incarnation = this.#incarnation
    this.#incarnation = undefined
    await incarnation?.close(options)
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      setTimeout(resolve, delayMs)
    })
  }

  #fatal(reason: unknown): void {
    const error = reason instanceof Error ? reason : new Error(String(reason))
    this.#startFailed(error)
    if (!this.#started) return
    const report = (): void => this.#onFatal(error)
    void Promise.race([this.#mount?.beforeExit(), this.#pause(CHANNEL_END_MS)]).then(report, report)
  }

  #assertNotStopping(): void {
    if (this.#stopping) throw new Error('stopped while starting')
  }

  #notServing(): UserError {
    return new UserError('notMounted', {
      what: this.#options.mountPoint,
      why: 'this member is not ready',
      remedy: 'try again when it is'
    })
  }
}
