import test from 'brittle'
import type { Commands } from '../../../src/mount/cli/command-options.ts'
import { runProgram } from '../../../src/mount/cli/program.ts'
import { DEFAULT_SETTINGS } from '../../../src/mount/daemon/mount-options.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'

interface Call {
  readonly name: string
  readonly options: object
}

interface Outcome {
  readonly calls: Call[]
  readonly printed: string
  readonly code: number
  readonly error: UserError | undefined
}

async function run(line: string): Promise<Outcome> {
  const calls: Call[] = []
  let printed = ''
  const record = (name: string) => async (options: object) => {
    calls.push({ name, options })
    return 0
  }
  const commands: Commands = {
    create: record('create'),
    invite: record('invite'),
    join: record('join'),
    mount: record('mount'),
    unmount: record('unmount'),
    status: async (options) => {
      calls.push({ name: 'status', options })
      return 6
    },
    locks: record('locks'),
    members: record('members'),
    fstab: record('fstab'),
    salvage: record('salvage'),
    witness: record('witness'),
    recover: record('recover')
  }
  const print = (text: string) => {
    printed += `${text}\n`
  }
  const args = line === '' ? [] : line.split(' ')
  try {
    const code = await runProgram(args, commands, { print })
    return { calls, printed, code, error: undefined }
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return { calls, printed, code: error.exitCode, error }
  }
}

const dir = '/var/lib/tandemfs'
const listen = { host: '0.0.0.0', port: 4907 }
const advertise = undefined
const settings = DEFAULT_SETTINGS

const GOOD: readonly (readonly [string, string, object])[] = [
  ['create mail', 'create', { volume: 'mail', dir, listen, advertise, bootstrap: undefined }],
  [
    'create mail --dir /d --listen 127.0.0.1:0',
    'create',
    {
      volume: 'mail',
      dir: '/d',
      listen: { host: '127.0.0.1', port: 0 },
      advertise,
      bootstrap: undefined
    }
  ],
  [
    'create mail --listen [::1]',
    'create',
    { volume: 'mail', dir, listen: { host: '::1', port: 4907 }, advertise, bootstrap: undefined }
  ],
  ['create mail --discovery', 'create', { volume: 'mail', dir, listen, advertise, bootstrap: [] }],
  [
    'create mail --advertise gate.example:5000,[2001:db8::7]:4907',
    'create',
    {
      volume: 'mail',
      dir,
      listen,
      advertise: ['gate.example:5000', '[2001:db8::7]:4907'],
      bootstrap: undefined
    }
  ],
  [
    'create mail --discovery --bootstrap 10.0.0.1:49737,[fe80::1]:2',
    'create',
    { volume: 'mail', dir, listen, advertise, bootstrap: ['10.0.0.1:49737', '[fe80::1]:2'] }
  ],
  ['invite mail', 'invite', { volume: 'mail', dir, role: 'data', ttlMs: 3_600_000 }],
  [
    'invite mail --witness --ttl 90s --dir /d',
    'invite',
    { volume: 'mail', dir: '/d', role: 'witness', ttlMs: 90_000 }
  ],
  ['join - --name b', 'join', { code: '-', dir, listen, advertise, name: 'b' }],
  [
    'join - --name b --advertise 192.0.2.7:1',
    'join',
    { code: '-', dir, listen, advertise: ['192.0.2.7:1'], name: 'b' }
  ],
  [
    'mount mail /srv/mail',
    'mount',
    {
      volume: 'mail',
      mountPoint: '/srv/mail',
      dir,
      foreground: false,
      settings,
      fstab: false,
      logLevel: 'info'
    }
  ],
  [
    'mount -f ./state /srv -o ro,noexec -o isolation_timeout=5 --log-level debug',
    'mount',
    {
      volume: './state',
      mountPoint: '/srv',
      dir,
      foreground: true,
      settings: { ...settings, readOnly: true, noExec: true, isolationTimeoutMs: 5000 },
      fstab: false,
      logLevel: 'debug'
    }
  ],
  ['unmount /srv', 'unmount', { mountPoint: '/srv', lazy: false, timeoutMs: 60_000 }],
  [
    'unmount /srv --lazy --timeout 5',
    'unmount',
    { mountPoint: '/srv', lazy: true, timeoutMs: 5000 }
  ],
  ['status', 'status', { target: undefined, dir, json: false, watch: false }],
  ['locks', 'locks', { target: undefined, dir, json: false }],
  ['locks /srv/mail/a --json', 'locks', { target: '/srv/mail/a', dir, json: true }],
  ['status mail --json --watch', 'status', { target: 'mail', dir, json: true, watch: true }],
  [
    'fstab mail /srv/mail',
    'fstab',
    {
      volume: 'mail',
      mountPoint: '/srv/mail',
      dir,
      action: 'show',
      mountOptions: undefined,
      root: '/'
    }
  ],
  [
    'fstab mail /srv --install -o ro -o noexec --root /r',
    'fstab',
    {
      volume: 'mail',
      mountPoint: '/srv',
      dir,
      action: 'install',
      mountOptions: 'ro,noexec',
      root: '/r'
    }
  ],
  [
    'fstab mail --uninstall',
    'fstab',
    {
      volume: 'mail',
      mountPoint: undefined,
      dir,
      action: 'uninstall',
      mountOptions: undefined,
      root: '/'
    }
  ],
  ['salvage mail', 'salvage', { volume: 'mail', dir, extract: undefined }],
  ['salvage mail list --dir /d', 'salvage', { volume: 'mail', dir: '/d', extract: undefined }],
  [
    'salvage mail extract state-0001 --to /out',
    'salvage',
    { volume: 'mail', dir, extract: { name: 'state-0001', to: '/out' } }
  ],
  ['members mail', 'members', { volume: 'mail', dir, change: undefined }],
  [
    'members mail remove b',
    'members',
    { volume: 'mail', dir, change: { kind: 'remove', name: 'b' } }
  ],
  [
    'members mail tie-breaker none',
    'members',
    { volume: 'mail', dir, change: { kind: 'tie-breaker', name: null } }
  ],
  ['recover mail', 'recover', { volume: 'mail', dir, acceptLoss: false }],
  [
    'recover mail --accept-loss --dir /d',
    'recover',
    { volume: 'mail', dir: '/d', acceptLoss: true }
  ],
  [
    'witness mail --stop',
    'witness',
    { volume: 'mail', dir, foreground: false, stop: true, logLevel: 'info' }
  ]
]

const BAD: readonly string[] = [
  '',
  'frobnicate',
  'help',
  'create',
  'create a b',
  'create mail --unknown',
  'create mail --listen',
  'create mail --listen nowhere:70000',
  'create mail --listen :::1',
  'create mail --advertise gate.example',
  'join CODE --advertise gate.example:0',
  'create mail --bootstrap 10.0.0.1:1',
  'create mail --discovery --bootstrap 10.0.0.1',
  'invite mail --ttl 0s',
  'invite mail --ttl 1',
  'invite mail --ttl 31d',
  'invite mail --ttl 1e3s',
  'witness',
  'recover',
  'join',
  'mount mail',
  'mount mail /srv -o nonsense',
  'mount mail /srv -o ro=1',
  'mount mail /srv -o isolation_timeout',
  'mount mail /srv -o isolation_timeout=0',
  'mount mail /srv -o isolation_timeout=-1',
  'mount mail /srv -o mount_timeout=3601',
  'mount mail /srv -o ,',
  'mount mail /srv --log-level loud',
  'unmount',
  'unmount /a /b',
  'unmount /a --timeout 0',
  'unmount /a --timeout 1.5',
  'locks a b',
  'status a b',
  'members',
  'members mail rename b',
  'members mail remove',
  'mount mail /srv --fstab -o ro',
  'mount mail /srv -o remount,ro',
  'fstab',
  'fstab mail /srv -o nonsense',
  'fstab mail /srv --install --uninstall',
  'salvage',
  'salvage mail extract x',
  'salvage mail extract --to /out',
  'salvage mail list --to /out',
  'salvage mail remove x',
  'members mail tie-breaker'
]

test('command line - what each command is called with', async (t) => {
  for (const [line, name, options] of GOOD) {
    const outcome = await run(line)
    t.alike(outcome.calls, [{ name, options }], line)
  }
})

test('command line - wrong ones run nothing and are a usage error in one line', async (t) => {
  for (const line of BAD) {
    const { calls, code, error, printed } = await run(line)
    t.alike(calls, [], `'${line}' runs nothing`)
    t.is(code, 2, error?.message)
    t.absent(error?.message.includes('\n'))
    t.is(printed, '')
  }
})

test('command line - the exit code of a command is passed on', async (t) => {
  t.is((await run('status')).code, 6)
  t.is((await run('members mail')).code, 0)
})

test('command line - help is no error', async (t) => {
  t.ok(/^\d+\.\d+\.\d+\n$/.test((await run('--version')).printed))
  for (const line of ['--help', 'mount --help', 'members --help']) {
    const { code, printed, calls } = await run(line)
    t.is(code, 0)
    t.alike(calls, [])
    t.ok(printed.startsWith('Usage: tandemfs'), line)
  }
})
