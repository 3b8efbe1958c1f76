/** Opens a replica on what the state directory holds, with the real stores and connections. */
import type { Database } from 'better-sqlite3'
import type { Seq } from '../../fs/primitives.ts'
import { makeWriterId } from '../../fs/primitives.ts'
import { DueSliceTable } from '../../fs/state/due-slice-table.ts'
import type { Defer } from '../defer.ts'
import { isForgotten } from '../record-history.ts'
import type { FileRangeCalls } from '../storage/disk-io.ts'
import { Journal } from '../storage/journal.ts'
import { OpenEntryFile } from '../storage/open-entry.ts'
import { SegmentStore } from '../storage/segment-store.ts'
import type { StateDirectory } from '../storage/state-directory.ts'
import type { StateExchangeComponents } from '../storage/state-exchange.ts'
import { StateExchange } from '../storage/state-exchange.ts'
import { WriterLogs } from '../storage/writer-logs.ts'
import { Connections } from '../transport/connections.ts'
import type { MessageCipher } from '../transport/large-messages.ts'
import { Turns } from '../turns.ts'
import { saveInvites, saveRecord, saveVoter } from '../volume/volume-files.ts'
import { EntryShelf } from './entry-shelf.ts'
import { hasSlicesOnDisk } from './intake.ts'
import { closeLeftOpen } from './left-open.ts'
import { republishOwn, scanHeld } from './recovery.ts'
import { Replica } from './replica.ts'
import type { ReplicaComponents, ReplicaOptions } from './replica-components.ts'
import { REPLICA_DEFAULTS } from './replica-components.ts'
import type { ConnectionsOwner, ReplicaConnections } from './replica-ports.ts'

/** A member that comes back is met halfway: who waits for it dials as well. */
const RESERVE_DIAL_MS = 300

/** What is needed to make the ports. */
export interface OpenComponents extends ReplicaComponents {
  readonly directory: StateDirectory
  /** The state's database: local tables stand in it, in the same transaction. */
  readonly database: Database
  /** Copies of the whole state, made and taken over off the event loop. */
  readonly copies: Pick<StateExchangeComponents, 'copyTo' | 'adopt'>
  readonly ranges?: FileRangeCalls
  /** Seals large messages; libsodium does unless given. */
  readonly cipher?: MessageCipher
  /** Puts work off until the operations at hand have had their turn. */
  readonly defer: Defer
  readonly alternative?: ConstructorParameters<typeof Connections>[0]['alternative']
}

/** Opens what is on the disk; throws its damage. Takes a new incarnation number. */
export async function openReplica(
  components: OpenComponents,
  options: ReplicaOptions = REPLICA_DEFAULTS
): Promise<Replica> {
  const { directory, volume, logger, state } = components
  directory.prepare()
  // What an earlier life has committed may stand in the page cache alone.
  await components.checkpoint()
  const writer = makeWriterId(volume.self.id, directory.nextIncarnation())
  let replica: Replica | undefined
  const fail = (error: Error): void => {
    replica?.fatal(error)
  }
  const { applied } = state.position()
  const { ranges } = components
  const journal = Journal.open(
    {
      dir: directory.journal,
      logger,
      onFailure: fail,
      ...(ranges ? { crc32: ranges.crc32 } : {})
    },
    { writer }
  )
  const segments = SegmentStore.open(
    {
      dir: directory.segments,
      logger,
      onFailure: fail,
      ...(ranges ? { ranges } : {})
    },
    { writer }
  )
  const left = OpenEntryFile.left(directory.openEntry)
  if (closeLeftOpen({ journal, segments }, left, applied)) {
    logger.info({}, 'entry that was open when the last process ended is closed')
  }
  const logs = await WriterLogs.open({
    dir: directory.logs,
    logger,
    onFailure: (failure) => {
      replica?.reportDamage(`log of writer ${failure.writer}: ${failure.error.message}`)
      if (failure.kind === 'write') fail(failure.error)
    }
  })
  const { record } = volume
  const keys = record.writers.map(({ coreKey }) => Buffer.from(coreKey, 'hex'))
  const removed = await logs.removeAllBut(keys)
  if (removed > 0) logger.info({ removed }, 'logs of writers that are forgotten removed')
  const ownLog = await logs.create(writer)
  const turns = new Turns(components.clock)
  const held = await scanHeld(
    journal,
    { record, ...state.position() },
    (item) => hasSlicesOnDisk(segments, item),
    turns
  )
  const damage = await republishOwn({
    journal,
    logs,
    self: volume.self.id,
    record,
    logger,
    turns
  })
  const shelf = new EntryShelf(components.database)
  for (const each of shelf.writers()) {
    if (isForgotten(record, each)) shelf.remove(each, Number.MAX_SAFE_INTEGER as Seq)
  }
  replica = new Replica(components, options, {
    writer,
    journal,
    openEntry: OpenEntryFile.begin(directory.openEntry),
    segments,
    logs,
    ownLog,
    shelf,
    due: new DueSliceTable(components.database),
    exchange: new StateExchange({ directory, ...components.copies }),
    held,
    inoRanges: directory,
    saveRecord: (record) => saveRecord(directory.dir, record),
    saveVoter: (voterState) => saveVoter(directory.dir, voterState),
    saveInvites: (book) => saveInvites(directory.dir, book),
    connect: (owner) => openConnections(components, owner),
    defer: components.defer
  })
  for (const text of damage) replica.reportDamage(text)
  await replica.follow()
  return replica
}

function openConnections(components: OpenComponents, owner: ConnectionsOwner): ReplicaConnections {
  const { volume, clock, logger, random, alternative, cipher } = components
  const { handlers, record, joinGate } = owner
  return new Connections(
    {
      keyPair: volume.keyPair,
      record,
      handlers,
      clock,
      logger,
      random,
      joinGate,
      ...(alternative ? { alternative } : {}),
      ...(cipher ? { cipher } : {})
    },
    { self: volume.self.id, listen: volume.settings.listen, reserveDialMs: RESERVE_DIAL_MS }
  )
}
