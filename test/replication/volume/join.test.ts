import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import NoiseSecretStream from '@hyperswarm/secret-stream'
import test, { type Test } from 'brittle'
import type { Epoch, MemberId } from '../../../src/fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../../../src/replication/record.ts'
import { createVolume } from '../../../src/replication/volume/create-volume.ts'
import { Invitations } from '../../../src/replication/volume/invitations.ts'
import {
  formatInviteCode,
  inviteKeyPair,
  parseInviteCode
} from '../../../src/replication/volume/invite-code.ts'
import { joinVolume } from '../../../src/replication/volume/join-volume.ts'
import { openVolume } from '../../../src/replication/volume/open-volume.ts'
import {
  loadInvites,
  saveInvites,
  saveRecord
} from '../../../src/replication/volume/volume-files.ts'
import { TestClock, TestMember, until } from '../transport/members.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }
const HOUR_MS = 3_600_000

class Authority {
  readonly clock = new TestClock()
  readonly dir: string
  record: EpochRecord
  invitations: Invitations
  member: TestMember
  /** Thrown by the next admission, after the claim is durable. */
  admitFails: Error | undefined

  constructor(dir: string) {
    this.dir = dir
    const opened = openVolume(dir)
    this.record = opened.record
    this.invitations = new Invitations({
      keyPair: opened.keyPair,
      record: () => this.record,
      book: opened.invites,
      saveBook: (book) => saveInvites(dir, book),
      admit: async (member) => this.#admit(member),
      clock: this.clock,
      logger: { ...silent, child: () => silent }
    })
    this.member = new TestMember(
      () => this.record,
      opened.keyPair,
      { self: opened.self.id, listen: opened.settings.listen },
      { joinGate: this.invitations }
    )
  }

  #admit(member: MemberInfo): void {
    if (this.admitFails) throw this.admitFails
    const { record } = this
    this.record = {
      ...record,
      epoch: (record.epoch + 1) as Epoch,
      members: [...record.members, member],
      nextMemberId: Math.max(record.nextMemberId, member.id + 1)
    }
    saveRecord(this.dir, this.record)
  }
}

const silent = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child() {
    return silent
  }
}

async function startAuthority(t: Test, base: string): Promise<Authority> {
  const dir = join(base, 'a')
  await createVolume(dir, { name: 'www', memberName: 'web1', listen: LOOPBACK })
  const authority = new Authority(dir)
  await authority.member.connections.start()
  t.teardown(() => authority.member.connections.stop())
  return authority
}

function joinAs(code: string, dir: string, memberName = 'web2') {
  return joinVolume(
    code,
    dir,
    { clock: new TestClock() },
    { memberName, listen: LOOPBACK, timeoutMs: 5000 }
  )
}

test('create - the state directory is whole, private and readable again', async (t) => {
  const base = await t.tmp()
  const dir = join(base, 'deep', 'a')
  const record = await createVolume(dir, { name: 'www', memberName: 'web1', listen: LOOPBACK })
  const opened = openVolume(dir)
  t.alike(opened.record, record)
  t.is(opened.self.name, 'web1')
  t.is(opened.self.addresses[0], `127.0.0.1:${opened.settings.listen.port}`)
  t.is(statSync(dir).mode & 0o777, 0o700)
  for (const name of readdirSync(dir)) t.is(statSync(join(dir, name)).mode & 0o777, 0o600, name)
  t.alike(readdirSync(join(base, 'deep')), ['a'], 'nothing else is left')
})

test('create - discovery without own nodes is the public DHT, by name', async (t) => {
  const dir = join(await t.tmp(), 'a')
  const discovery = { bootstrap: [] }
  await createVolume(dir, { name: 'www', memberName: 'web1', listen: LOOPBACK, discovery })
  t.alike(openVolume(dir).settings.discovery, { bootstrap: 'public' })
})

test('create - bad input leaves nothing behind', async (t) => {
  const base = await t.tmp()
  const good = { name: 'www', memberName: 'web1', listen: LOOPBACK }
  const dir = join(base, 'a')
  await t.exception(createVolume(dir, { ...good, name: '../x' }), /volume name/)
  await t.exception(createVolume(dir, { ...good, memberName: '' }), /member name/)
  await t.exception(createVolume(dir, { ...good, addresses: ['nonsense'] }), /HOST:PORT/)
  t.alike(readdirSync(base), [])
  mkdirSync(dir)
  await createVolume(dir, good)
  await t.exception(createVolume(dir, good), /not empty/)
  const { listen } = openVolume(dir).settings
  const member = new Authority(dir).member
  await member.connections.start()
  await t.exception(createVolume(join(base, 'b'), { ...good, listen }), /in use/)
  await member.connections.stop()
  t.alike(readdirSync(base), ['a'])
})

test('join - an invited machine becomes a member and connects', async (t) => {
  const base = await t.tmp()
  const authority = await startAuthority(t, base)
  const code = authority.invitations.invite({ role: 'data', ttlMs: HOUR_MS })
  const joined = await joinAs(code, join(base, 'b'))
  t.is(joined.member, 2 as MemberId)
  const opened = openVolume(join(base, 'b'))
  t.alike(opened.record, authority.record)
  t.is(opened.self.id, 2 as MemberId)
  t.alike(readdirSync(base).sort(), ['a', 'b'])
  t.absent(existsSync(join(base, 'b', 'invites')), 'the joiner keeps no invitations')

  authority.member.connections.membersChanged()
  const b = new TestMember(() => opened.record, opened.keyPair, {
    self: opened.self.id,
    listen: opened.settings.listen
  })
  t.teardown(() => b.connections.stop())
  await b.connections.start()
  await until('connection', () => b.opened.length === 2 && authority.member.opened.length === 2)
})

test('join - a used, expired or unknown invitation is refused with its reason', async (t) => {
  const base = await t.tmp()
  const authority = await startAuthority(t, base)
  const first = authority.invitations.invite({ role: 'data', ttlMs: HOUR_MS })
  await joinAs(first, join(base, 'b'))
  await t.exception(joinAs(first, join(base, 'c'), 'web3'), /used already/)
  const second = authority.invitations.invite({ role: 'data', ttlMs: 1000 })
  authority.clock.wallShiftMs = 2000
  await t.exception(joinAs(second, join(base, 'c'), 'web3'), /expired/)
  const forged = { ...parseInviteCode(second), seed: 'ab'.repeat(32) }
  await t.exception(joinAs(formatInviteCode(forged), join(base, 'c'), 'web3'), /not known/)
  const { logger } = authority.member
  t.is(logger.count('key is not a member: refused'), 1)
  const third = authority.invitations.invite({ role: 'data', ttlMs: HOUR_MS })
  const astray = { ...parseInviteCode(third), volumeId: 'ff'.repeat(16) }
  await t.exception(joinAs(formatInviteCode(astray), join(base, 'c'), 'web3'), /another volume/)
  const misled = {
    ...parseInviteCode(third),
    inviterKey: NoiseSecretStream.keyPair().publicKey.toString('hex')
  }
  await t.exception(joinAs(formatInviteCode(misled), join(base, 'c'), 'web3'), /another key/)
  t.is(authority.record.members.length, 2)
})

test('join - a taken name is refused and the code stays good', async (t) => {
  const base = await t.tmp()
  const authority = await startAuthority(t, base)
  const code = authority.invitations.invite({ role: 'data', ttlMs: HOUR_MS })
  await t.exception(joinAs(code, join(base, 'b'), 'web1'), /--name/)
  t.is((await joinAs(code, join(base, 'b'), 'web2')).member, 2 as MemberId)
})

test('join - two joiners with one code at the same time: one becomes a member', async (t) => {
  const base = await t.tmp()
  const authority = await startAuthority(t, base)
  const code = authority.invitations.invite({ role: 'data', ttlMs: HOUR_MS })
  const outcomes = await Promise.allSettled([
    joinAs(code, join(base, 'b'), 'web2'),
    joinAs(code, join(base, 'c'), 'web3')
  ])
  t.is(outcomes.filter((outcome) => outcome.status === 'fulfilled').length, 1)
  t.is(authority.record.members.length, 2)
})

test('join - a crash between the decision and the record loses neither', async (t) => {
  const base = await t.tmp()
  const authority = await startAuthority(t, base)
  const code = authority.invitations.invite({ role: 'data', ttlMs: HOUR_MS })
  authority.admitFails = new Error('power cut')
  await t.exception(joinAs(code, join(base, 'b')), /try again/)
  t.is(authority.record.members.length, 1)
  await authority.member.connections.stop()

  const restarted = new Authority(authority.dir)
  t.is(loadInvites(authority.dir).invites[0]?.claim?.name, 'web2', 'the decision is durable')
  await restarted.invitations.recover()
  t.is(restarted.record.members.length, 2, 'the member is there after the restart')
  await restarted.member.connections.start()
  t.teardown(() => restarted.member.connections.stop())
  await t.exception(joinAs(code, join(base, 'c'), 'web3'), /used already/)
  t.is((await joinAs(code, join(base, 'b'))).member, 2 as MemberId, 'the joiner gets its answer')
  t.is(restarted.record.members.length, 2)
})

test('join - a lost answer: the same command again succeeds', async (t) => {
  const base = await t.tmp()
  const authority = await startAuthority(t, base)
  const code = authority.invitations.invite({ role: 'data', ttlMs: HOUR_MS })
  const answer = authority.invitations.answer.bind(authority.invitations)
  let lost = 0
  authority.invitations.answer = async (key, request) => {
    const bytes = await answer(key, request)
    lost += 1
    if (lost === 1) throw new Error('cut off')
    return bytes
  }
  await t.exception(joinAs(code, join(base, 'b')), /closed the connection/)
  t.is(authority.record.members.length, 2)
  await t.exception(joinAs(code, join(base, 'b'), 'other'), /as 'web2'/)
  t.is((await joinAs(code, join(base, 'b'))).member, 2 as MemberId)
  const { settings, self } = openVolume(join(base, 'b'))
  t.alike(self.addresses, [`127.0.0.1:${settings.listen.port}`], 'the port stays the same')
  t.alike(readdirSync(base).sort(), ['a', 'b'])
  t.alike(readdirSync(join(base, 'b')).sort(), ['identity', 'record', 'settings', 'voter'])
})

test('join - an invitation key may open nothing but the join protocol', async (t) => {
  const base = await t.tmp()
  const authority = await startAuthority(t, base)
  const invite = parseInviteCode(authority.invitations.invite({ role: 'data', ttlMs: HOUR_MS }))
  const self: MemberInfo = {
    id: 9 as MemberId,
    name: 'x',
    publicKey: '00'.repeat(32),
    addresses: [],
    role: 'data'
  }
  const { record } = authority
  const liar = new TestMember(
    () => ({ ...record, members: [...record.members, self] }),
    inviteKeyPair(invite),
    { self: 9 as MemberId, listen: LOOPBACK }
  )
  t.teardown(() => liar.connections.stop())
  await liar.connections.start()
  await until('refusals', () => authority.member.logger.count('connection refused') > 0)
  t.is(authority.member.opened.length, 0)
})

test('open - a directory that is none, readable keys and damage are said', async (t) => {
  const base = await t.tmp()
  const dir = join(base, 'a')
  await t.exception(() => openVolume(dir), /not the state directory/)
  await createVolume(dir, { name: 'www', memberName: 'web1', listen: LOOPBACK })
  chmodSync(join(dir, 'identity'), 0o644)
  await t.exception(() => openVolume(dir), /chmod 600/)
  chmodSync(join(dir, 'identity'), 0o600)
  const bytes = readFileSync(join(dir, 'record'))
  bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1
  writeFileSync(join(dir, 'record'), bytes)
  await t.exception(() => openVolume(dir), /damaged/)
})
