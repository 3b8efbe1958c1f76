import test from 'brittle'
import { formatLocks } from '../../../src/mount/cli/locks-text.ts'
import { formatStatus } from '../../../src/mount/cli/status-text.ts'
import { formatBytes, formatDuration, formatTable } from '../../../src/mount/cli/table.ts'
import { existingVolume, volumePath } from '../../../src/mount/cli/volume-path.ts'
import { explainError } from '../../../src/mount/daemon/explain-error.ts'
import { LineReader, LineTooLongError } from '../../../src/mount/daemon/line-reader.ts'
import { errorLine, UserError } from '../../../src/mount/daemon/user-error.ts'
import { VolumeError } from '../../../src/replication/volume/volume-error.ts'
import { exampleStatus } from '../daemon/support.ts'

test('status text - everything an administrator looks for', (t) => {
  const text = formatStatus(exampleStatus())
  for (const part of [
    'mail',
    '/srv/mail',
    'alpha (1), incarnation 3',
    'this member is the authority',
    '5 exclusive, 2 noted, 0 waiting',
    '3 held, 1 waiting',
    '12.5 GiB available of 40.0 GiB, 1234 inodes',
    'up 1 h 2 min',
    'not in sync',
    'alpha (counts 2 times), beta (away): 2 reachable, 2 needed',
    'beta lost or left; paused 2.1 s (epoch 4)',
    '12 (3.0 KiB, 1.5 s)',
    '0.25 ms'
  ]) {
    t.ok(text.includes(part), part)
  }
})

test('status text - a witness has no files', (t) => {
  const none = { tokens: null, locks: null, space: null, channel: null, mountPoint: null }
  const text = formatStatus(exampleStatus({ role: 'witness', phase: 'voting', ...none }))
  t.ok(text.includes('this is a witness'))
  t.absent(text.includes('tokens'))
})

test('status text - trouble is said', (t) => {
  const text = formatStatus(
    exampleStatus({
      authority: { id: 2, name: 'beta', reachable: false },
      leaseLeftMs: 0,
      mounted: false,
      channel: { kind: 'threadpool', reason: 'no addon' },
      damage: ['segment 7: bad\nchecksum'],
      warnings: ['losing beta stops this member']
    })
  )
  t.ok(text.includes('authority beta (NOT REACHABLE)'))
  t.ok(text.includes('/srv/mail: NOT MOUNTED'))
  t.ok(text.includes('RUN OUT'))
  t.ok(text.includes('threadpool (no addon)'))
  t.ok(text.includes('DAMAGE: segment 7: bad checksum'))
  t.ok(text.includes('warning: losing beta stops this member'))
})

test('locks text - who holds and who waits', (t) => {
  const base = { version: 1 as const, volume: 'mail', member: 'alpha', mountPoint: '/srv/mail' }
  t.is(formatLocks({ ...base, locks: [], omitted: 0, silent: [] }), 'mail at /srv/mail: no locks')
  const held = {
    path: 'inbox/a b',
    ino: 77,
    kind: 'record' as const,
    type: 'write' as const,
    start: '10',
    end: null,
    state: 'held' as const,
    member: 'alpha',
    pid: 41,
    command: 'imapd',
    ageMs: 2500,
    waiters: 1,
    waitsFor: []
  }
  const waiting = {
    ...held,
    path: null,
    kind: 'flock' as const,
    state: 'waiting' as const,
    member: 'beta',
    pid: 42,
    command: null,
    waiters: 0,
    waitsFor: [{ member: 'alpha', pid: 41 }]
  }
  const text = formatLocks({ ...base, locks: [held, waiting], omitted: 3, silent: ['gamma'] })
  t.alike(
    text.split('\n').map((line) => line.replace(/ {2,}/g, '  ')),
    [
      'mail at /srv/mail:',
      'PATH  KIND  TYPE  RANGE  STATE  AGE  MEMBER  PROCESS  WAITING',
      'inbox/a b  record  write  10-end  held  2.5 s  alpha  41 (imapd)  1 for it',
      '(inode 77)  flock  write  file  waiting  2.5 s  beta  42  for alpha:41',
      'and 3 more',
      'not known: those of gamma, not reached'
    ]
  )
})

test('table - columns, sizes, durations', (t) => {
  t.is(
    formatTable([
      ['a', 'bb'],
      ['ccc', 'd\u001b[2J']
    ]),
    'a    bb\nccc  d [2J'
  )
  t.alike([0, 1023, 1024, 1.5 * 2 ** 30].map(formatBytes), ['0 B', '1023 B', '1.0 KiB', '1.5 GiB'])
  const durations = [0, 2540, 60_000, 11_040_000, 190_800_000].map(formatDuration)
  t.alike(durations, ['0.0 s', '2.5 s', '1 min', '3 h 4 min', '2 d 5 h'])
})

test('volume path - names, paths and the way back from the source of a mount', (t) => {
  const standard = { dir: '/var/lib/tandemfs' }
  const mail = { stateDir: '/var/lib/tandemfs/mail', source: 'mail' }
  t.alike(volumePath('mail', standard), mail)
  const elsewhere = volumePath('mail', { dir: '/data' })
  t.alike(elsewhere, { stateDir: '/data/mail', source: '/data/mail' })
  t.alike(volumePath(elsewhere.source, standard), elsewhere)
  t.is(volumePath('./mail', standard).stateDir, `${process.cwd()}/mail`)
  for (const bad of ['', '.', '..', '-x', 'a b', 'a\nb', 'x'.repeat(64)]) {
    try {
      volumePath(bad, standard)
      t.fail(bad)
    } catch (error) {
      t.ok(error instanceof UserError && error.exitCode === 2, JSON.stringify(bad))
    }
  }
  try {
    existingVolume('/nowhere/mail', standard)
    t.fail('must throw')
  } catch (error) {
    t.ok(error instanceof UserError && error.exitCode === 3)
  }
})

test('errors - one line in three parts whatever they contain', (t) => {
  const strange = new UserError('usage', {
    what: 'a\nb',
    why: '\u001b[31m',
    remedy: 'x'.repeat(5000)
  })
  const line = errorLine(strange)
  t.ok(line.startsWith('tandemfs: a b: [31m: xxx') && line.length < 1200)
  t.is(explainError(strange, 'other'), strange, 'an explained one stays as it is')
})

test('errors - causes get their exit codes', (t) => {
  const table: readonly (readonly [unknown, number, string])[] = [
    [Object.assign(new Error('listen'), { code: 'EADDRINUSE' }), 8, 'mount'],
    [Object.assign(new Error('write'), { code: 'ENOSPC' }), 9, 'mount'],
    [Object.assign(new Error('malformed'), { code: 'SQLITE_CORRUPT' }), 10, 'mount'],
    [new VolumeError('refused', 'join mail: it has expired: ask for a new one'), 7, 'join mail'],
    [new VolumeError('unreachable', 'join mail: host:1: refused; host:2: x'), 6, 'join mail'],
    [new VolumeError('damaged', '/s/record: damaged: checksum: at 5'), 10, '/s/record'],
    [new TypeError('x is undefined'), 11, 'mount'],
    ['a string', 11, 'mount']
  ]
  for (const [error, exitCode, what] of table) {
    const explained = explainError(error, 'mount')
    t.is(explained.exitCode, exitCode, explained.message)
    t.is(explained.what, what)
  }
  const refused = explainError(new VolumeError('refused', 'join mail: it has expired: ask'), '')
  t.alike([refused.why, refused.remedy], ['it has expired', 'ask'])
})

test('line reader - lines over chunks, and a bound', (t) => {
  const reader = new LineReader({ maxBytes: 10 })
  t.alike(reader.push(Buffer.from('ab')), [])
  t.alike(reader.push(Buffer.from('c\n\nde\nf')), ['abc', '', 'de'])
  t.alike(reader.push(Buffer.from('g\n1234567890\n')), ['fg', '1234567890'])
  const euro = Buffer.from('\u20ac\n')
  t.alike([...reader.push(euro.subarray(0, 1)), ...reader.push(euro.subarray(1))], ['\u20ac'])
  try {
    reader.push(Buffer.from('12345678901'))
    t.fail('must throw')
  } catch (error) {
    t.ok(error instanceof LineTooLongError)
  }
})
