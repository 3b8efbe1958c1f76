import test from 'brittle'
import { parseMountHelper, parseUmountHelper } from '../../../src/mount/cli/helper-arguments.ts'
import { HelperExit, helperExit } from '../../../src/mount/cli/helper-exit.ts'
import { explainError } from '../../../src/mount/daemon/explain-error.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'
import { MountError } from '../../../src/mount/mounting/mount-error.ts'

function refusal(run: () => unknown): UserError | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    if (error instanceof UserError) return error
    throw error
  }
}

test('mount helper - the calls mount(8) makes', (t) => {
  const plain = { volume: 'mail', mountPoint: '/srv', lists: [], sloppy: false, fake: false }
  t.alike(parseMountHelper(['mail', '/srv']), { ...plain, verbose: false })
  t.alike(parseMountHelper(['mail', '/srv', '-o', 'rw,noexec']).lists, ['rw,noexec'])
  const all = ['mail', '/srv', '-sfnv', '-o', 'ro', '-o', 'x=1', '-t', 'fuse.tandemfs']
  t.alike(parseMountHelper(all), {
    ...plain,
    lists: ['ro', 'x=1'],
    sloppy: true,
    fake: true,
    verbose: true
  })
  const bad = [
    ['mail'],
    ['mail', '/srv', 'more'],
    ['mail', '/srv', '-q'],
    ['mail', '/srv', '-o'],
    ['mail', '/srv', '-t', 'nfs'],
    ['mail', '/srv', '-N', '1']
  ]
  for (const args of bad) {
    const error = refusal(() => parseMountHelper(args))
    t.ok(error && helperExit(error) === HelperExit.usage, args.join(' '))
  }
})

test('umount helper - the calls umount(8) makes', (t) => {
  t.alike(parseUmountHelper(['/srv']), { mountPoint: '/srv', lazy: false, verbose: false })
  t.ok(parseUmountHelper(['/srv', '-l']).lazy && parseUmountHelper(['/srv', '-nf']).lazy)
  t.ok(parseUmountHelper(['/srv', '-rv', '-t', 'fuse.tandemfs']).verbose)
  t.ok(refusal(() => parseUmountHelper([])) && refusal(() => parseUmountHelper(['/a', '/b'])))
})

test('helpers - exit codes of mount(8)', (t) => {
  const of = (error: unknown) => helperExit(explainError(error, 'mount'))
  const parts = { what: '/srv', why: 'x', advice: 'y' }
  const user = { what: '/srv', why: 'x', remedy: 'y' }
  t.is(of(new UserError('usage', user)), 1)
  t.is(of(new MountError('permission', parts)), 1)
  t.is(of(new MountError('no-fuse-device', parts)), 2)
  t.is(of(new TypeError('x')), 4)
  t.is(of(new MountError('busy', parts)), 32)
  t.is(of(new UserError('noAuthority', user)), 32)
  t.is(of(new UserError('volumeUnknown', user)), 32)
})
