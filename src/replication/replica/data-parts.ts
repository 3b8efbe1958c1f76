/**
 * The parts that bring file data here and give it to others: slices with their entries or on their
 * own, and whole states for members that have none. How they know each other.
 */
import type { MemberId } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import type { EpochRecord } from '../record.ts'
import { type Vector, vectorCovers } from '../vector.ts'
import type { CatchUp } from './catch-up.ts'
import type { ClusterSpace } from './cluster-space.ts'
import { liveVector } from './live-vector.ts'
import type { Peers } from './peers.ts'
import type { ReplicaComponents } from './replica-components.ts'
import type { ReplicaPorts } from './replica-ports.ts'
import { SliceBacklog } from './slice-backlog.ts'
import { Slices } from './slices.ts'
import { StateSource } from './state-source.ts'
import { StateTransfer } from './state-transfer.ts'

export interface DataPartsComponents
  extends Pick<ReplicaComponents, 'state' | 'clock' | 'logger'>,
    Pick<ReplicaPorts, 'segments' | 'due' | 'exchange'> {
  readonly self: MemberId
  readonly admission: Admission
  readonly peers: Peers
  readonly space: ClusterSpace
  readonly heldBy: CatchUp['heldBy']
  /** A slice arrived: entries that waited for it may go on. */
  readonly onArrived: () => void
  /** See `SlicesComponents`. */
  readonly onAppliedDead: () => void
  /** This member is live, and its last commit is of this volume's life. */
  readonly mayGiveState: () => boolean
  readonly onStateReceived: () => void
  readonly onDamage: (text: string) => void
  readonly onFatal: (reason: unknown) => void
}

export class DataParts {
  readonly slices: Slices
  readonly backlog: SliceBacklog
  readonly source: StateSource
  readonly transfer: StateTransfer
  readonly #components: DataPartsComponents
  readonly #record = (): EpochRecord => this.#components.admission.record

  constructor(components: DataPartsComponents) {
    this.#components = components
    this.slices = this.#makeSlices()
    this.backlog = this.#makeBacklog()
    this.source = this.#makeSource()
    this.transfer = this.#makeTransfer()
  }

  /** Bytes that the state names are still to come. */
  get lacksData(): boolean {
    return this.backlog.left.slices > 0
  }

  /** Of a copied state and of its data; 0 when nothing is fetched. */
  get bytesLeft(): number {
    return this.transfer.bytesLeft ?? this.backlog.left.bytes
  }

  /** Nothing new is begun, and nobody waits any more. */
  stop(): void {
    this.slices.close()
    this.backlog.stop()
    this.source.stop()
    this.transfer.stop()
  }

  #makeSlices(): Slices {
    const { segments, peers, clock, logger, self, admission, heldBy } = this.#components
    return new Slices({
      segments,
      links: peers,
      clock,
      logger,
      self,
      hasApplied: (member, { writer, seq }) => {
        if (!this.#record().inSync.includes(member)) return false
        if (admission.isAgreed({ writer, seq })) return true
        return (heldBy(member)?.get(writer) ?? 0) >= seq
      },
      onArrived: () => this.#components.onArrived(),
      onAppliedDead: () => this.#components.onAppliedDead(),
      onDamage: (text) => this.#components.onDamage(text)
    })
  }

  #makeBacklog(): SliceBacklog {
    const { due, segments, peers, clock, logger, state, heldBy, onFatal } = this.#components
    const begun: Vector = new Map(state.position().applied)
    return new SliceBacklog({
      due,
      segments,
      slices: this.slices,
      links: peers,
      inSync: () => this.#record().inSync,
      hadAll: (member) => {
        const record = this.#record()
        const held = heldBy(member)
        if (!record.inSync.includes(member) || held === undefined) return false
        // Of the others it has all up to their cuts.
        return vectorCovers(held, liveVector(record, begun))
      },
      clock,
      logger,
      onFatal
    })
  }

  #makeSource(): StateSource {
    const { exchange, peers, space, clock, logger, mayGiveState } = this.#components
    return new StateSource({
      links: peers,
      copy: () => exchange.copy(),
      mayGive: mayGiveState,
      hasRoom: () => space.hasLocalRoom(exchange.copyBytesMax()),
      clock,
      logger
    })
  }

  #makeTransfer(): StateTransfer {
    const { exchange, peers, self, clock, logger, onStateReceived } = this.#components
    return new StateTransfer({
      self,
      links: peers,
      record: this.#record,
      receive: () => exchange.receive(),
      unfit: ({ epoch }) => {
        const { forgotten } = this.#record()
        if (epoch > forgotten) return undefined
        return `it is of epoch ${epoch}, and how those up to ${forgotten} ended is forgotten`
      },
      clock,
      logger,
      onReceived: onStateReceived
    })
  }
}
