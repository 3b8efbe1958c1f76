/**
 * A replica: this member's part of the cluster for one incarnation. Its parts and how they know
 * each other are in replica-parts.ts, what each does in the files beside.
 *
 * Life: `openReplica` reads what is on the disk, `start` connects and resolves nothing itself;
 * `onLive` is called when this member serves, `onEnded` when the incarnation is over and another
 * one has to be opened (with `rebuild`, on a state made anew).
 */
import type { Awaitable } from '../../fs/awaitable.ts'
import { FsError } from '../../fs/errno.ts'
import type { Timer } from '../../fs/ports/clock.ts'
import type { LockService } from '../../fs/ports/lock-service.ts'
import type { OpLog } from '../../fs/ports/op-log.ts'
import type { SliceStore } from '../../fs/ports/slice-store.ts'
import type { TokenService } from '../../fs/ports/token-service.ts'
import type { Ino, MemberId, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import type { Durability } from '../durability.ts'
import type { MemberChange } from '../epoch/member-change.ts'
import type { EpochRecord } from '../record.ts'
import type { TokenNode } from '../token/token-node.ts'
import { Turns } from '../turns.ts'
import type { Vector } from '../vector.ts'
import type { Invitations } from '../volume/invitations.ts'
import type { CatchUp } from './catch-up.ts'
import type { LagWatch } from './lag-watch.ts'
import type { LockSurvey } from './lock-survey.ts'
import type { Membership } from './membership.ts'
import type { Peers } from './peers.ts'
import { lacksState } from './record-cuts.ts'
import { Repeating } from './repeating.ts'
import type { ReplicaComponents, ReplicaOptions } from './replica-components.ts'
import { ReplicaParts } from './replica-parts.ts'
import type { ReplicaPorts } from './replica-ports.ts'

const BEAT_MS = 500
/** While there are orphans they are asked about this often. */
const REAP_MS = 100
const DAMAGE_KEPT_MAX = 100

export class Replica implements OpLog {
  readonly writer: WriterId
  readonly self: MemberId
  readonly damage: string[] = []
  readonly #components: ReplicaComponents
  readonly #ports: ReplicaPorts
  readonly #parts: ReplicaParts
  readonly #repeating: Repeating
  #replayed = false
  #closed = false

  /** Over stores that are open; `held` and the hypercores are brought up to the journal. */
  constructor(components: ReplicaComponents, options: ReplicaOptions, ports: ReplicaPorts) {
    this.#components = components
    this.#ports = ports
    this.writer = ports.writer
    this.self = components.volume.self.id
    this.#parts = new ReplicaParts(components, options, ports, {
      held: () => this.#held(),
      lacksState: (record) => this.#lacksState(record),
      onRecord: (record) => this.#onRecord(record),
      replay: () => this.#replay(),
      seal: () => this.#seal(),
      serve: (record) => this.#serve(record),
      reportDamage: (text) => this.reportDamage(text),
      onFatal: (reason) => this.fatal(reason)
    })
    this.#repeating = new Repeating({ clock: this.#parts.beatClock })
  }

  get slices(): SliceStore {
    return this.#parts.data.slices
  }

  get tokens(): TokenService {
    return this.#parts.tokens
  }

  get locks(): LockService {
    return this.#parts.locks
  }

  get admission(): Admission {
    return this.#parts.admission
  }

  get membership(): Membership {
    return this.#parts.membership
  }

  get peers(): Peers {
    return this.#parts.peers
  }

  get catchUp(): CatchUp {
    return this.#parts.catchUp
  }

  get durability(): Durability {
    return this.#parts.durable.durability
  }

  get lags(): LagWatch {
    return this.#parts.lags
  }

  /** Of a message and its answer, in milliseconds; undefined when nothing was measured. */
  roundTripMs(member: MemberId): number | undefined {
    return this.#parts.roundTrips.leastMs(member)
  }

  /** Lets go of what was kept for peers that lag a little. */
  releaseMemory(): void {
    this.#parts.recent.releaseMemory()
  }

  get survey(): LockSurvey {
    return this.#parts.survey
  }

  get invitations(): Invitations {
    return this.#parts.invitations
  }

  get record(): EpochRecord {
    return this.admission.record
  }

  /** Opens the logs of the writers of the record. */
  follow(): Promise<void> {
    return this.#parts.follower.follow(this.record)
  }

  /** Connects; the rest follows by itself. Rejects when the listen address cannot be had. */
  async start(): Promise<void> {
    const { connections, membership, intake, durable, orphans, follower, lags } = this.#parts
    await connections.start()
    membership.start()
    this.#repeating.every(BEAT_MS, () => {
      intake.chase()
      follower.check()
      lags.beat()
      durable.clusterSync.remind()
    })
    this.#repeating.everyOrSooner(BEAT_MS, REAP_MS, () => membership.isAuthority && orphans.round())
  }

  submit(op: Parameters<OpLog['submit']>[0], payload?: Uint8Array): Awaitable<void> {
    return this.#parts.localLog.submit(op, payload)
  }

  submitTogether(ops: Parameters<OpLog['submitTogether']>[0]): Awaitable<void> {
    return this.#parts.localLog.submitTogether(ops)
  }

  durable(): Promise<void> {
    return this.#parts.durable.clusterSync.sync()
  }

  allocateIno(): Ino {
    return this.#parts.inos.next()
  }

  assertSpace(bytes: number): void {
    this.#parts.space.assertRoom(bytes)
  }

  space(): { readonly totalBytes: number; readonly availableBytes: number } {
    return this.#parts.space.space()
  }

  /** Resolves when the record with that change is chosen. Rejects with a MemberChangeError. */
  changeMembers(change: MemberChange): Promise<void> {
    return this.#parts.memberChanges.make(change)
  }

  reportDamage(text: string): void {
    this.#components.logger.error({ damage: text }, 'damage found')
    if (this.damage.length < DAMAGE_KEPT_MAX && !this.damage.includes(text)) this.damage.push(text)
  }

  tokenStatus(): ReturnType<TokenNode['status']> {
    return this.#parts.tokens.status()
  }

  /** The member cannot go on. Ignored once this replica is closed. */
  fatal(reason: unknown): void {
    if (this.#closed) return
    this.#components.onFatal(reason instanceof Error ? reason : new Error(String(reason)))
  }

  /**
   * Ends. `orderly`: own entries are sent and made durable first and the state is committed, so
   * that the next start has nothing to do; bounded by `graceMs`.
   */
  async close(options: { readonly orderly: boolean; readonly graceMs?: number }): Promise<void> {
    if (this.#closed) return
    if (options.orderly) await this.#drain(options.graceMs ?? 5000)
    if (options.orderly) await this.membership.leave()
    this.#closed = true
    this.#stopParts()
    await this.#parts.connections.stop()
    if (options.orderly && this.#replayed) await this.#parts.durable.upkeep.finish()
    else await this.#parts.durable.upkeep.stop()
    const { journal, openEntry, segments, logs } = this.#ports
    openEntry?.close()
    await Promise.allSettled([journal.close(), segments.close(), logs.close()])
  }

  /** Nothing new is begun, and nobody waits any more. */
  #stopParts(): void {
    const parts = this.#parts
    const over = new FsError('EIO', 'this incarnation is over')
    parts.membership.stop()
    parts.register.stop()
    parts.memberChanges.stop()
    parts.localLog.flush()
    parts.localLog.setWritable(false)
    parts.intake.stop()
    parts.follower.stop()
    parts.data.stop()
    parts.durable.clusterSync.stop(over)
    parts.orphans.stop()
    this.#repeating.stop()
    parts.durable.acknowledgements.stop()
    parts.tokens.isolate()
    parts.locks.end()
    parts.waits.fail(over)
    parts.durable.durability.fail(over)
  }

  async #drain(graceMs: number): Promise<void> {
    const { clock, logger } = this.#components
    if (this.membership.phase !== 'live') return
    let timer: Timer | undefined
    const limit = new Promise<void>((resolve) => {
      timer = clock.setTimer(graceMs, resolve)
    })
    const durable = this.durable().catch((error: unknown) => {
      logger.warn({ error }, 'stopping without the acknowledgement of every in-sync member')
    })
    await Promise.race([durable, limit])
    timer?.cancel()
  }

  /** Before the replay the state alone does not say it. */
  #held(): Vector {
    return this.#replayed ? this.admission.applied : this.#ports.held
  }

  #lacksState(record: EpochRecord): boolean {
    const stateEpoch = this.#components.state.position().epoch
    return lacksState(record, { stateEpoch, held: this.#ports.held })
  }

  async #replay(): Promise<void> {
    const { intake, data, waits, durable } = this.#parts
    const turns = new Turns(this.#components.clock)
    let entries = 0
    for (const { entry } of this.#ports.journal.entries()) {
      intake.replay(entry)
      entries++
      if (!turns.isOver()) continue
      await turns.pause()
      if (this.#closed) return
    }
    this.#replayed = true
    data.slices.restored()
    intake.open()
    waits.settle()
    this.#components.logger.info({ entries }, 'journal replayed')
    durable.upkeep.start()
    data.backlog.start()
  }

  async #seal(): Promise<void> {
    const { tokens, localLog } = this.#parts
    await tokens.seal()
    localLog.flush()
    localLog.setWritable(false)
  }

  #serve(record: EpochRecord): void {
    const { orphans, tokens, locks, localLog, invitations } = this.#parts
    orphans.reset()
    const { epoch, authority } = record
    const members = record.live.map(memberOf)
    tokens.startEpoch({ epoch, authority, members })
    locks.startEpoch({ epoch, authority, members })
    localLog.setWritable(true)
    this.#components.onLive()
    invitations.recover().catch((error: unknown) => {
      this.#components.logger.error(
        { error },
        'an admitted member could not be put into the record'
      )
    })
  }

  #onRecord(record: EpochRecord): void {
    const { durable, connections, space, follower, intake, memberChanges } = this.#parts
    const { durability } = durable
    // Every member of the in-sync set held up to the cuts, durably, before the record was made.
    const cuts = new Map(record.history.at(-1)?.cuts ?? [])
    for (const member of record.inSync) durability.acknowledged(member, cuts)
    durability.setInSync(record.inSync)
    connections.membersChanged()
    space.keepOnly(record.live.map(memberOf))
    void follower.follow(record)
    if (this.#replayed) intake.pump()
    memberChanges.settle()
  }
}
