/**
 * One incarnation of a member at work: its state, its replica and the filesystem over both. What
 * outlives it (the mount, the open files) belongs to the node (compose.ts).
 */
import { copyFileSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDirectory } from '../../fs/attr.ts'
import { allDone } from '../../fs/awaitable.ts'
import { Filesystem } from '../../fs/filesystem.ts'
import type { FilesystemApi } from '../../fs/filesystem-api.ts'
import type { Op } from '../../fs/op.ts'
import type { OpenFiles } from '../../fs/open-files.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { OpLog } from '../../fs/ports/op-log.ts'
import type { Ino } from '../../fs/primitives.ts'
import { Checkpointer } from '../../fs/state/checkpointer.ts'
import { openState } from '../../fs/state/open-state.ts'
import type { StateStore } from '../../fs/state/state-store.ts'
import type { Defer } from '../../replication/defer.ts'
import type { Entry, SealedEntry } from '../../replication/entry.ts'
import type { EndReason } from '../../replication/replica/membership-components.ts'
import { changesData, inosBeyondCuts } from '../../replication/replica/recovery.ts'
import type { Replica } from '../../replication/replica/replica.ts'
import { REPLICA_DEFAULTS } from '../../replication/replica/replica-components.ts'
import { openReplica } from '../../replication/replica/replica-open.ts'
import type { FileRangeCalls } from '../../replication/storage/disk-io.ts'
import type { JournalPosition } from '../../replication/storage/journal-record.ts'
import { readEntries, scanJournal } from '../../replication/storage/journal-scan.ts'
import { StateDirectory } from '../../replication/storage/state-directory.ts'
import { installReceived } from '../../replication/storage/state-exchange.ts'
import type { MessageCipher } from '../../replication/transport/large-messages.ts'
import { Turns } from '../../replication/turns.ts'
import { openVolume } from '../../replication/volume/open-volume.ts'
import type { KernelCache } from '../fuse/kernel-cache.ts'
import { discoveryRoute } from './discovery-route.ts'
import { commandOf } from './lock-report.ts'
import { staleReads } from './stale-reads.ts'

export interface IncarnationComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly openFiles: OpenFiles
  readonly ranges: FileRangeCalls | undefined
  readonly cipher: MessageCipher | undefined
  readonly defer: Defer
  readonly kernelCache: Pick<KernelCache, 'drop' | 'submitted'>
  readonly noteTraffic: (sizeBytes: number) => void
  readonly onLive: () => void
  readonly onEnded: (reason: EndReason) => void
  readonly onFatal: (error: Error) => void
}

export interface IncarnationOptions {
  readonly stateDir: string
  readonly isolationMs: number
}

export interface Incarnation {
  readonly replica: Replica
  readonly filesystem: Filesystem
  /** What this member has, readable without any right. */
  readonly stale: FilesystemApi
  readonly state: StateStore
  close(options: { readonly orderly: boolean }): Promise<void>
}

/**
 * Opens what the state directory holds and prepares to serve. Throws VolumeError, the damage found
 * (DamagedFileError, StateDamagedError), or the system's error; nothing stays open then.
 */
export async function openIncarnation(
  components: IncarnationComponents,
  options: IncarnationOptions
): Promise<Incarnation> {
  const { clock, logger, openFiles, ranges, cipher, defer, kernelCache } = components
  const directory = new StateDirectory(options.stateDir)
  const volume = openVolume(options.stateDir)
  directory.prepare()
  openFiles.incarnationEnded()
  if (installReceived(directory.state)) logger.info({}, 'state of another member put in place')
  const state = openState(directory.state, {
    onUnchecked: (why) =>
      logger.warn({ why }, 'of the state database only the structure was checked')
  })
  const checkpointer = new Checkpointer({ state })
  try {
    const alternative = await discoveryRoute(volume, clock, logger)
    let filesystem: Filesystem | undefined
    const replica = await openReplica(
      {
        directory,
        volume,
        state,
        database: state.database,
        checkpoint: () => checkpointer.run(),
        copies: {
          copyTo: (file) => checkpointer.copyTo(file),
          adopt: (file) => checkpointer.adopt(file)
        },
        clock,
        logger,
        random: Math.random,
        defer,
        ...(ranges ? { ranges } : {}),
        ...(cipher ? { cipher } : {}),
        ...(alternative ? { alternative } : {}),
        closeForGood: (inos) => openFiles.closedForGood(inos),
        forgetReaped: (inos) => filesystem?.forgetReaped(inos),
        dropCaches: (inos) => kernelCache.drop(inos),
        isDirectory: (ino) => mayBeDirectory(state, ino),
        onVoid: (entry, sealed) => salvage(directory, openFiles, logger, entry, sealed),
        onLocksLost: (locks) => {
          for (const lock of locks) openFiles.poisonLock(lock)
        },
        commandOf,
        noteTraffic: components.noteTraffic,
        onLive: components.onLive,
        onEnded: components.onEnded,
        onFatal: components.onFatal
      },
      { ...REPLICA_DEFAULTS, isolationMs: options.isolationMs }
    )
    const parts = {
      state,
      opLog: reportingOps(replica, (op) => kernelCache.submitted(op)),
      slices: replica.slices,
      tokens: replica.tokens,
      locks: replica.locks,
      clock,
      logger
    }
    filesystem = new Filesystem(parts, { openFiles, member: volume.self.id })
    const stale = staleReads(parts, openFiles)
    const close = async ({ orderly }: { readonly orderly: boolean }): Promise<void> => {
      try {
        await replica.close({ orderly })
      } finally {
        await checkpointer.close()
        state.close()
      }
    }
    return { replica, filesystem, stale, state, close }
  } catch (error) {
    await checkpointer.close()
    state.close()
    throw error
  }
}

/** The log, with every op shown to `report` when it is applied; who submitted it waits for that too. */
function reportingOps(log: OpLog, report: (op: Op) => Promise<void> | undefined): OpLog {
  return {
    submit: (op, payload) => {
      const done = log.submit(op, payload)
      return allDone([done, report(op)])
    },
    submitTogether: (ops) => {
      const done = log.submitTogether(ops)
      return allDone([done, ...ops.map(report)])
    },
    durable: () => log.durable(),
    allocateIno: () => log.allocateIno(),
    assertSpace: (bytes) => log.assertSpace(bytes),
    space: () => log.space()
  }
}

/**
 * Puts the state and the journal aside: they hold what the volume does not have. The next
 * incarnation builds the state anew from the logs; the data in the segments is used again. What is
 * open on inodes with lost changes hears of it (RULES 4).
 */
export async function setStateAside(
  stateDir: string,
  openFiles: OpenFiles,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger }
): Promise<void> {
  const directory = new StateDirectory(stateDir)
  await poisonLost(directory, openFiles, clock)
  mkdirSync(directory.salvage, { recursive: true, mode: 0o700 })
  const aside = join(directory.salvage, nextStateFolder(readdirSync(directory.salvage)))
  mkdirSync(aside, { mode: 0o700 })
  for (const suffix of ['', '-wal', '-shm', '-sums']) {
    moveIfThere(`${directory.state}${suffix}`, join(aside, `state.db${suffix}`))
  }
  moveIfThere(directory.journal, join(aside, 'journal'))
  // Later ones forget where the writers of today end.
  copyFileSync(directory.record, join(aside, 'record'))
  logger.warn({ aside }, 'state put aside: it is built anew from the other members')
}

/** Some of the earlier ones may have been removed. */
function nextStateFolder(names: readonly string[]): string {
  const numbers = names.map((name) => Number(/^state-(\d{4,})$/.exec(name)?.[1] ?? 0))
  return `state-${String(Math.max(0, ...numbers) + 1).padStart(4, '0')}`
}

async function poisonLost(
  directory: StateDirectory,
  openFiles: OpenFiles,
  clock: Clock
): Promise<void> {
  const { files, end } = scanJournal(directory.journal)
  const { record } = openVolume(directory.dir)
  const entries = readEntries(files, 0 as JournalPosition, end)
  const lost = await inosBeyondCuts(entries, record, new Turns(clock))
  if (lost === 'any') openFiles.poisonAll()
  else for (const [ino, isData] of lost) poison(openFiles, ino, isData)
}

function poison(openFiles: OpenFiles, ino: Ino, isData: boolean): void {
  if (isData) openFiles.poisonData(ino)
  else openFiles.poisonInode(ino)
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

/** Keeps an entry that was cut off, and lets the handles know that wrote it (RULES 4). */
function salvage(
  directory: StateDirectory,
  openFiles: OpenFiles,
  logger: Logger,
  entry: Entry,
  sealed: SealedEntry
): void {
  const { writer, seq } = entry
  const name = join(directory.salvage, `entry-${writer}-${seq}`)
  writeFileSync(`${name}.head`, sealed.head, { mode: 0o600 })
  if (sealed.payload.length > 0) writeFileSync(`${name}.payload`, sealed.payload, { mode: 0o600 })
  for (const op of entry.ops) poison(openFiles, op.ino, changesData(op))
  logger.warn({ writer, seq, ops: entry.ops.length, name }, 'entry beyond its cut kept aside')
}

function mayBeDirectory(state: StateStore, ino: Ino): boolean {
  const inode = state.inode(ino)
  return inode === undefined || isDirectory(inode.mode)
}
