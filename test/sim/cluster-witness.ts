/** A witness of the simulated cluster: its disk, its process, and the real witness in it. */
import type { MemberId } from '../../src/fs/primitives.ts'
import { LEASE_DEFAULTS } from '../../src/replication/lease.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import type { FramedKind } from '../../src/replication/transport/peer-connection.ts'
import { Witness } from '../../src/replication/witness/witness.ts'
import { Disk } from './cluster-disk.ts'
import { SimProcess } from './cluster-faults.ts'
import { ToyConnection } from './cluster-member.ts'
import type { ClusterWorld } from './cluster-world.ts'

export class SimWitness {
  readonly id: MemberId
  readonly disk: Disk
  process: SimProcess | undefined
  readonly #world: ClusterWorld
  readonly #clockRate: number
  readonly #connections = new Map<MemberId, ToyConnection>()
  #witness: Witness | undefined

  constructor(
    world: ClusterWorld,
    id: MemberId,
    record: EpochRecord,
    options: { readonly clockRate: number }
  ) {
    this.#world = world
    this.id = id
    this.#clockRate = options.clockRate
    const { syncMaxUs, losesAll } = world.parameters
    this.disk = new Disk(record, { syncMaxUs, losesAll })
  }

  get isOnline(): boolean {
    return this.#witness !== undefined
  }

  boot(): void {
    if (this.process) return
    const { disk, id } = this
    const world = this.#world
    const process = new SimProcess(world.scheduler, this.#clockRate)
    this.process = process
    const witness = new Witness(
      {
        self: id,
        record: disk.record,
        voter: disk.voter,
        saveVoter: (state) => world.saveVoter(this, process, state),
        saveRecord: (record) => {
          if (process.isDead) return
          disk.record = record
          world.onRecordSaved(id, record)
        },
        connect: () => ({
          start: async () => {},
          stop: async () => world.disconnectAll(id),
          membersChanged: () => {}
        }),
        clock: process.clock(),
        logger: world.logger(id),
        random: () => world.random.share(),
        onRemoved: () => {}
      },
      LEASE_DEFAULTS
    )
    this.#witness = witness
    world.background(witness.start())
  }

  /** A witness stops without a word. */
  leave(): void {
    this.kill(false)
    this.#world.disconnectAll(this.id)
  }

  /** What a voter keeps is synced each time: a power cut takes no more than a kill. */
  kill(_powerCut: boolean): void {
    this.process?.kill()
    this.process = undefined
    this.#witness = undefined
    for (const connection of this.#connections.values()) connection.closed = true
    this.#connections.clear()
  }

  onConnected(kind: FramedKind, peer: MemberId): void {
    if (kind !== 'control') return
    const net = this.#world.network(kind)
    const connection = new ToyConnection(
      {
        send: (type, body) => net.send(this.id, peer, { type, body }),
        close: () => net.disconnect(this.id, peer)
      },
      { member: peer, kind, dialed: this.id > peer }
    )
    this.#connections.set(peer, connection)
    const witness = this.#witness
    if (witness) this.process?.run(() => witness.onConnection(connection))
  }

  onDisconnected(kind: FramedKind, peer: MemberId): void {
    const connection = this.#connections.get(peer)
    if (kind !== 'control' || !connection) return
    this.#connections.delete(peer)
    connection.closed = true
    const witness = this.#witness
    this.process?.after(0, () => witness?.onClose(connection))
  }

  onPacket(kind: FramedKind, peer: MemberId, type: number, body: Buffer): void {
    const connection = this.#connections.get(peer)
    const witness = this.#witness
    if (kind !== 'control' || !connection || !witness) return
    this.process?.run(() => witness.onMessage(connection, type, body))
  }
}
