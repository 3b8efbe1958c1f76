import test from 'brittle'
import type { Epoch, Incarnation, MemberId, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { Admission } from '../../../src/replication/admission.ts'
import { LEASE_DEFAULTS, Lease, LeasePromises } from '../../../src/replication/lease.ts'
import type { ControlMessage } from '../../../src/replication/messages.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { ballotAbove, NO_BALLOT } from '../../../src/replication/register/ballot.ts'
import { decodeRegister, encodeRegister } from '../../../src/replication/register/register-codec.ts'
import { RegisterNode } from '../../../src/replication/register/register-node.ts'
import type { VoterRequest } from '../../../src/replication/register/voter.ts'
import { FRESH_VOTER, Voter } from '../../../src/replication/register/voter.ts'
import type { CatchUp } from '../../../src/replication/replica/catch-up.ts'
import { Membership } from '../../../src/replication/replica/membership.ts'
import type { EndReason } from '../../../src/replication/replica/membership-components.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { A, B, epochRecord, memberInfo } from '../records.ts'
import { HandClock, NotedLinks, NotedLogger, settle } from './support.ts'

const EMPTY: Vector = new Map()
const CORE_KEY = 'cd'.repeat(32)
const BALLOT = ballotAbove(NO_BALLOT, A)
const OPTIONS = { ...LEASE_DEFAULTS, isolationMs: 30_000 }

function writer(member: MemberId) {
  return makeWriterId(member, 1 as Incarnation)
}

function recordOf(epoch: number, live: readonly MemberId[]): EpochRecord {
  return epochRecord({
    epoch: epoch as Epoch,
    members: [memberInfo(A), memberInfo(B)],
    live: live.map(writer),
    writers: live.map((member) => ({ writer: writer(member), coreKey: CORE_KEY })),
    history: Array.from({ length: epoch }, (_, i) => ({ epoch: (i + 1) as Epoch, cuts: [] }))
  })
}

/** The voter at the other end answers at once; all else is only written down. */
class AnsweringLinks extends NotedLinks {
  readonly #voter: Voter
  /** What the voter was asked to accept. */
  accept: EpochRecord | undefined
  isVoterSilent = false
  renewals = 0
  /** Of them, those behind a heartbeat that was not taken yet. */
  renewalsBehindBeats = 0
  onAnswer: (from: MemberId, body: Buffer) => void = () => {}

  constructor(other: MemberId) {
    super([other])
    this.#voter = new Voter(FRESH_VOTER, { ...OPTIONS, self: other, nowMs: 0 })
  }

  cut(): void {}

  #noteRenewal(): void {
    this.renewals++
    if (this.control.some(({ message }) => message.type === 'heartbeat')) this.renewalsBehindBeats++
  }

  override sendControl(to: MemberId, message: ControlMessage): boolean {
    if (message.type !== 'register') return super.sendControl(to, message)
    const request = decodeRegister(message.body) as VoterRequest
    if (request.type === 'accept') this.accept = request.record
    if (request.type === 'renew') this.#noteRenewal()
    if (this.isVoterSilent) return true
    const { reply } = this.#voter.on(to === A ? B : A, request, 1 as Epoch, 0)
    if (reply) queueMicrotask(() => this.onAnswer(to, encodeRegister(reply)))
    return true
  }
}

/** A membership whose surroundings do nothing but write down. */
class Desk {
  readonly clock = new HandClock()
  readonly links: AnsweringLinks
  readonly logger = new NotedLogger()
  readonly limits: (Vector | undefined)[] = []
  readonly served: number[] = []
  readonly ended: EndReason[] = []
  fatal: Error | undefined
  lacksState = false
  lacksData = false
  passedEpoch: Epoch | 0 = 0
  fetches = 0
  /** Heartbeats of this member. */
  beats = 0
  readonly admission: Admission
  readonly membership: Membership
  /** Resolvers of what has to be applied first; undefined: all is. */
  waits: (() => void)[] | undefined

  constructor(self: MemberId, record: EpochRecord) {
    this.links = new AnsweringLinks(self === A ? B : A)
    const nothing = () => {}
    const admission = new Admission({ record, applied: new Map(), epoch: 0 })
    this.admission = admission
    const register: RegisterNode = new RegisterNode(
      {
        self,
        record: () => admission.record,
        voterState: FRESH_VOTER,
        saveVoter: nothing,
        onPending: nothing,
        links: this.links,
        clock: this.clock,
        random: () => 0.5,
        logger: this.logger,
        isDeaf: () => false,
        mayCampaign: () => this.membership.mayCampaign(),
        onChosen: (chosen) => this.membership.onChosen(chosen),
        onElected: () => this.membership.onElected(),
        onDeposed: () => this.membership.onDeposed()
      },
      OPTIONS
    )
    this.links.onAnswer = (from, body) => register.receive(from, body)
    const catchUp = { pull: nothing, heard: nothing, gone: nothing, lag: () => 0 }
    this.membership = new Membership(
      {
        self,
        writer: writer(self),
        coreKey: CORE_KEY,
        links: this.links,
        catchUp: catchUp as unknown as CatchUp,
        admission,
        register,
        isDeaf: () => false,
        lacksState: () => this.lacksState,
        fetchState: () => {
          this.fetches++
        },
        lacksData: () => this.lacksData,
        passedEpoch: () => this.passedEpoch,
        clock: this.clock,
        logger: this.logger,
        lease: new Lease(OPTIONS),
        promises: new LeasePromises(OPTIONS),
        held: () => EMPTY,
        heartbeat: () => ({
          applied: EMPTY,
          checkpointed: EMPTY,
          checkpointEpoch: 0,
          space: { totalBytes: 0, availableBytes: 0 },
          stamp: { sentUs: 0, heardUs: 0, heldUs: 0 }
        }),
        saveRecord: nothing,
        onRecord: nothing,
        replay: async () => {},
        seal: async () => {},
        serve: ({ epoch }) => this.served.push(epoch),
        sync: async () => EMPTY,
        waitApplied: () => this.#wait(),
        limitIntake: (limit) => this.limits.push(limit),
        fetchSlices: () => {},
        missingBytes: () => 0,
        ownsUpToNotes: () => true,
        onBeat: () => this.beats++,
        onEnded: (reason) => this.ended.push(reason),
        onFatal: (error) => {
          this.fatal = error
        }
      },
      OPTIONS
    )
  }

  #wait(): Promise<void> {
    const { waits } = this
    if (!waits) return Promise.resolve()
    return new Promise((resolve) => waits.push(resolve))
  }

  release(): void {
    for (const resolve of this.waits?.splice(0) ?? []) resolve()
  }

  heartbeat(from: MemberId): void {
    this.membership.onHeartbeat(from, {
      type: 'heartbeat',
      epoch: 2 as Epoch,
      sentMs: 0,
      applied: EMPTY,
      checkpointed: EMPTY,
      checkpointEpoch: 0,
      space: { totalBytes: 0, availableBytes: 0 },
      stamp: { sentUs: 0, heardUs: 0, heldUs: 0 }
    })
  }

  /** The leader says which record is the newest. */
  told(record: EpochRecord): void {
    this.membership.onRecord(A, { type: 'record', record, leads: true })
  }

  sealed(round: number, cuts: Vector = EMPTY): void {
    const epoch = 3 as Epoch
    this.membership.onSeal(A, { type: 'seal', ballot: BALLOT, epoch, round, cuts })
  }

  take<T extends ControlMessage['type']>(type: T): Extract<ControlMessage, { type: T }>[] {
    const messages = this.links.takeControl().map((sent) => sent.message)
    return messages.filter((m): m is Extract<ControlMessage, { type: T }> => m.type === type)
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= OPTIONS.heartbeatMs) {
      this.clock.advance(Math.min(left, OPTIONS.heartbeatMs))
      await settle()
    }
  }
}

/** The authority, live and alone; B said hello. */
async function authority(): Promise<Desk> {
  const desk = new Desk(A, recordOf(1, []))
  desk.membership.start()
  await settle()
  desk.membership.onConnected(B)
  desk.membership.onHello(B, {
    type: 'hello',
    writer: writer(B),
    coreKey: CORE_KEY,
    epoch: 2 as Epoch,
    held: EMPTY,
    serving: false
  })
  desk.links.takeControl()
  return desk
}

function join(desk: Desk, epoch: number): void {
  desk.membership.onJoin(B, { type: 'join', epoch: epoch as Epoch, want: 'in-sync' })
}

test('membership - the leader renews its lease with its heartbeat, in one waking', async (t) => {
  const desk = await authority()
  const { renewals, renewalsBehindBeats } = desk.links
  desk.clock.advance(OPTIONS.heartbeatMs - 1)
  t.alike([desk.take('heartbeat').length, desk.links.renewals, desk.beats], [0, renewals, 1])
  desk.clock.advance(1)
  t.alike([desk.take('heartbeat').length, desk.links.renewals, desk.beats], [1, renewals + 1, 2])
  t.is(desk.links.renewalsBehindBeats, renewalsBehindBeats + 1, 'it is told before whom it hears')
  await settle()
  desk.clock.advance(OPTIONS.heartbeatMs / 2)
  desk.heartbeat(B)
  t.is(desk.beats, 2, 'it follows nobody')
  t.alike(desk.take('heartbeat'), [])
  desk.membership.stop()
})

test('membership - others give their heartbeat when that of the leader comes', async (t) => {
  const desk = new Desk(B, recordOf(2, [A, B]))
  desk.membership.start()
  desk.membership.onConnected(A)
  const hello = { coreKey: CORE_KEY, epoch: 2 as Epoch, held: EMPTY, serving: true }
  desk.membership.onHello(A, { type: 'hello', writer: writer(A), ...hello })
  desk.links.takeControl()
  t.is(desk.beats, 1)
  for (const delayMs of [100, OPTIONS.heartbeatMs, OPTIONS.heartbeatMs]) {
    desk.clock.advance(delayMs)
    desk.heartbeat(A)
    t.is(desk.take('heartbeat').length, 1)
  }
  t.is(desk.beats, 4)
  desk.membership.stop()
  desk.clock.advance(100)
  desk.heartbeat(A)
  t.is(desk.beats, 4)
})

test('membership - a joiner answers the seal and is live', async (t) => {
  const desk = await authority()
  t.is(desk.membership.phase, 'live')
  join(desk, 2)
  await settle()
  t.is(desk.membership.phase, 'sealed')
  const [seal] = desk.take('seal')
  if (!seal) return t.fail('no seal')
  const { epoch, round } = seal
  desk.membership.onSealed(B, { type: 'sealed', epoch, round: round - 1, held: EMPTY })
  await settle()
  t.is(desk.membership.phase, 'sealed', 'the answer to another seal')
  desk.membership.onSealed(B, { type: 'sealed', epoch, round, held: EMPTY })
  await settle()
  t.is(desk.membership.phase, 'live')
  t.alike(desk.take('record').at(-1)?.record.live, [writer(A), writer(B)])
  desk.membership.stop()
})

test('membership - who finishes the record that removes it tells the others and ends', async (t) => {
  // An earlier leader had begun it; this member found it when it won the next ballot.
  const desk = new Desk(B, recordOf(2, [A]))
  desk.membership.start()
  desk.told(recordOf(2, [A]))
  await settle()
  const third = recordOf(3, [A])
  const without = { ...third, members: third.members.filter(({ id }) => id !== B) }
  desk.membership.onChosen(without)
  t.alike(desk.ended, [], 'the leader may still need its voter')
  desk.take('record')
  desk.membership.onElected()
  t.alike(desk.ended, ['removed'])
  t.alike(
    desk.take('record').map(({ record }) => record.epoch),
    [3]
  )
})

test('membership - who is removed and holds more than the cuts does not start anew', async (t) => {
  const desk = new Desk(B, recordOf(2, [A]))
  desk.membership.start()
  desk.told(recordOf(2, [A]))
  await settle()
  desk.admission.noteOwn(writer(A), 1 as Seq)
  const third = recordOf(3, [])
  const members = third.members.filter(({ id }) => id !== B)
  const ended = { writer: writer(A), coreKey: CORE_KEY, finalSeq: 0 as Seq }
  desk.told({ ...third, members, writers: [ended] })
  await settle()
  t.alike(desk.ended, ['removed'])
})

test('membership - a number of a start that was used before: the disk was put back', async (t) => {
  for (const known of [recordOf(2, [A, B]), recordOf(3, [A, B])]) {
    const desk = new Desk(B, recordOf(1, [A]))
    desk.membership.start()
    desk.told(known)
    await settle()
    t.is(desk.fatal?.message.includes('put back to an earlier state'), true)
    t.is(desk.membership.phase, 'ended')
  }
})

test('membership - who is refused as a removed member ends, before a leader is heard', (t) => {
  const desk = new Desk(B, recordOf(2, [A, B]))
  desk.membership.start()
  desk.membership.onRemoved(A)
  desk.membership.onRemoved(A)
  t.alike(desk.ended, ['removed'])
  t.is(desk.membership.phase, 'ended')
})

test('membership - a joiner that does not answer is left out, and not heard for a while', async (t) => {
  const desk = await authority()
  join(desk, 2)
  await desk.pass(1200)
  t.is(desk.membership.phase, 'sealed')
  await desk.pass(900)
  t.is(desk.membership.phase, 'live')
  const [record] = desk.take('record')
  t.is(record?.record.epoch, 3, 'everybody is told, who was sealed serves again')
  t.alike(record?.record.live, [writer(A)])
  join(desk, 3)
  await settle()
  t.is(desk.membership.phase, 'live')
  await desk.pass(30_000)
  join(desk, 3)
  await settle()
  t.is(desk.membership.phase, 'sealed', 'now it may try again')
  desk.membership.stop()
})

test('membership - who is removed answers as a voter before it stops', async (t) => {
  const desk = new Desk(B, recordOf(2, [A]))
  desk.membership.start()
  desk.told(recordOf(2, [A]))
  await settle()
  const without = { ...recordOf(3, [A]), members: [memberInfo(A)] }
  desk.membership.onChosen(without)
  await settle()
  t.is(desk.membership.phase, 'catching-up', 'the leader may not know that it is chosen')
  desk.told(without)
  await settle()
  t.is(desk.membership.phase, 'ended')
})

test('membership - a seal that is overtaken by the record limits nothing any more', async (t) => {
  const desk = new Desk(B, recordOf(2, [A]))
  desk.membership.start()
  desk.told(recordOf(2, [A]))
  await settle()
  t.is(desk.membership.phase, 'catching-up')
  desk.waits = []
  desk.sealed(7)
  await settle()
  t.is(desk.limits.length, 1)
  desk.told(recordOf(3, [A]))
  desk.release()
  await settle()
  t.is(desk.limits.length, 1, 'it goes on catching up')
  t.alike(desk.take('sealed'), [])
  desk.membership.stop()
})

test('membership - a seal is answered in its round', async (t) => {
  const desk = new Desk(B, recordOf(2, [A]))
  desk.membership.start()
  desk.told(recordOf(2, [A]))
  await settle()
  desk.waits = []
  desk.sealed(7)
  await settle()
  const cuts = new Map([[writer(A), 1 as Seq]])
  desk.sealed(8, cuts)
  await settle()
  desk.release()
  await settle()
  t.alike(
    desk.take('sealed').map(({ round }) => round),
    [8],
    'the newer seal takes the place of the older'
  )
  desk.membership.stop()
})

test('membership - a seal of a leader that was replaced is not obeyed', async (t) => {
  const desk = new Desk(B, recordOf(2, [A]))
  desk.membership.start()
  desk.told(recordOf(2, [A]))
  await settle()
  const epoch = 3 as Epoch
  const seal = { type: 'seal', epoch, round: 9, cuts: EMPTY } as const
  desk.membership.onSeal(A, { ...seal, ballot: ballotAbove(BALLOT, A) })
  await settle()
  t.is(desk.take('sealed').length, 1)
  const limits = desk.limits.length
  desk.sealed(7)
  await settle()
  t.alike(desk.take('sealed'), [], 'its ballot is lower')
  t.is(desk.limits.length, limits, 'what was answered stays all that is held')
  desk.membership.stop()
})

test('membership - a seal that comes again gets the same answer and lifts no limit', async (t) => {
  // The leader may have made the cuts of the first answer when it is reminded.
  const desk = new Desk(B, recordOf(2, [A]))
  desk.membership.start()
  desk.told(recordOf(2, [A]))
  await settle()
  desk.sealed(7)
  await settle()
  const [answer] = desk.take('sealed')
  t.is(answer?.round, 7)
  const limits = desk.limits.length
  t.ok(desk.limits.at(-1), 'nothing beyond the answer is admitted')
  desk.sealed(7)
  await settle()
  t.alike(desk.take('sealed'), [answer])
  t.is(desk.limits.length, limits)
  desk.membership.stop()
})

test('membership - a record that was proposed here and comes from elsewhere is served once', async (t) => {
  const desk = await authority()
  join(desk, 2)
  await settle()
  const [seal] = desk.take('seal')
  if (!seal) return t.fail('no seal')
  desk.links.isVoterSilent = true
  desk.membership.onSealed(B, { ...seal, type: 'sealed', held: EMPTY })
  await settle()
  const record = desk.links.accept
  if (!record) return t.fail('nothing was proposed')
  t.is(desk.membership.phase, 'sealed')
  desk.membership.onRecord(B, { type: 'record', record, leads: false })
  await settle()
  t.alike(desk.served, [2, 3])
  t.is(desk.take('record').length, 1, 'it is published')
  desk.membership.stop()
})

test('membership - who lacks what the record says it holds does not try to lead', async (t) => {
  const cuts = [[writer(B), 5 as Seq]] as const
  const record = { ...recordOf(2, [A, B]), inSync: [A, B], authority: B }
  const whole = new Desk(A, record)
  t.is(whole.membership.mayCampaign(), true)
  const history = [{ epoch: 2 as Epoch, cuts }]
  const lacking = new Desk(A, { ...record, history })
  t.is(lacking.membership.mayCampaign(), false)
})

/** Of what came before its epoch it remembers nothing. */
function forgetful(epoch: number): EpochRecord {
  const history = [{ epoch: epoch as Epoch, cuts: [] }]
  return { ...recordOf(epoch, [A]), forgotten: (epoch - 1) as Epoch, history }
}

test('membership - a state older than what is forgotten is put aside; without one it is fetched', async (t) => {
  const old = new Desk(B, recordOf(2, [A]))
  old.membership.start()
  old.told(forgetful(9))
  await settle()
  t.alike(old.ended, ['outdated'])
  const bare = new Desk(B, recordOf(2, [A]))
  bare.lacksState = true
  bare.membership.start()
  bare.told(forgetful(9))
  await settle()
  t.alike([bare.ended, bare.fetches, bare.membership.phase], [[], 1, 'starting'])
  bare.membership.onStateReceived()
  t.alike(bare.ended, ['transferred'])
})

test('membership - it asks to join with all its data and a checkpoint that needs nothing forgotten', async (t) => {
  const desk = new Desk(B, recordOf(9, [A]))
  desk.lacksData = true
  desk.membership.start()
  desk.told({ ...recordOf(10, [A]), forgotten: 8 as Epoch })
  await settle()
  t.is(desk.membership.phase, 'catching-up')
  const asks = async (): Promise<boolean> => {
    await desk.pass(OPTIONS.heartbeatMs)
    return desk.take('join').length > 0
  }
  desk.passedEpoch = 8 as Epoch
  t.absent(await asks(), 'bytes are missing')
  desk.lacksData = false
  desk.passedEpoch = 7 as Epoch
  t.absent(await asks(), 'what it falls back to after a crash is too old')
  desk.passedEpoch = 8 as Epoch
  t.ok(await asks())
  desk.membership.stop()
})
