/** Own entries on their way out once they are journaled: to the peers and into the hypercore. */
import type { MemberId } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'
import type { AppliedWaits } from './applied-waits.ts'
import type { Peers } from './peers.ts'
import type { RecentEntries } from './recent-entries.ts'
import type { ReplicaOwnLog } from './replica-ports.ts'

export interface PublicationComponents {
  readonly peers: Peers
  /** True when entries may be pushed to that member. */
  readonly knows: (member: MemberId) => boolean
  readonly ownLog: ReplicaOwnLog
  readonly recent: RecentEntries
  readonly waits: AppliedWaits
  readonly onFatal: (reason: unknown) => void
}

export class Publication {
  readonly #components: PublicationComponents

  constructor(components: PublicationComponents) {
    this.#components = components
  }

  /** Resolves when there is room for more; undefined when nothing has to wait. */
  publish(entry: SealedEntry): Promise<void> | undefined {
    const { peers, knows, ownLog, recent, waits, onFatal } = this.#components
    recent.add(entry)
    for (const member of peers.connected()) {
      if (knows(member)) peers.pushEntry(member, entry)
    }
    ownLog.append(entry.seq, [entry.head]).catch(onFatal)
    waits.settle()
    return this.#roomForMore()
  }

  /** Undefined when neither the peers' queues nor the hypercore's are full. */
  #roomForMore(): Promise<void> | undefined {
    const { peers, ownLog } = this.#components
    const full = peers.connected().filter((m) => !peers.controlHasRoom(m))
    if (full.length === 0 && ownLog.hasRoom) return undefined
    const waits = full.map((m) => peers.controlDrained(m))
    return Promise.all([...waits, ownLog.room()]).then(() => undefined)
  }
}
