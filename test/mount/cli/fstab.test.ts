import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import path from 'node:path'
import test, { type Test } from 'brittle'
import type { FstabOptions } from '../../../src/mount/cli/command-options.ts'
import { runCreate } from '../../../src/mount/cli/commands/create.ts'
import { runFstab } from '../../../src/mount/cli/commands/fstab.ts'
import {
  entries,
  entryAt,
  formatEntry,
  withEntry,
  withoutEntry
} from '../../../src/mount/cli/fstab/fstab-file.ts'
import {
  escapeUnitPart,
  mountUnit,
  quoteWord,
  serviceName,
  witnessUnit
} from '../../../src/mount/cli/fstab/units.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'

const ENTRY = { source: 'mail', mountPoint: '/srv/my mail', type: 'tandemfs', options: 'ro' }

test('fstab file - blanks are escaped, other lines stay byte for byte', (t) => {
  const before = '# comment  \n\n/dev/sda1\t/  ext4 defaults 0 1\nnot an entry\n'
  const text = withEntry(before, ENTRY)
  t.is(text, `${before}mail /srv/my\\040mail tandemfs ro 0 0\n`)
  t.alike(entryAt(text, '/srv/my mail'), ENTRY)
  t.is(entries(text).length, 3)
  t.is(withEntry(text, ENTRY), text)
  const other = { ...ENTRY, options: 'noexec' }
  t.is(withEntry(text, other), text.replace(' ro ', ' noexec '))
  t.is(withoutEntry(text, ENTRY), before)
  t.is(withoutEntry(text, { ...ENTRY, source: 'news' }), text, "another volume's line")
  for (const odd of ['', '# no newline at the end', '/dev/sda1 / ext4']) {
    t.is(withoutEntry(withEntry(odd, ENTRY), ENTRY), odd, `'${odd}'`)
  }
  t.is(formatEntry({ ...ENTRY, source: '/a#b\\c' }).split(' ')[0], '/a\\043b\\134c')
})

test('units - names and words as systemd reads them', (t) => {
  t.is(escapeUnitPart('mail'), 'mail')
  t.is(escapeUnitPart('/var//lib/my mail/'), 'var-lib-my\\x20mail')
  t.is(escapeUnitPart('my-mail'), 'my\\x2dmail')
  t.is(serviceName('mail', false), 'tandemfs-mail.service')
  t.is(serviceName('mail', true), 'tandemfs-witness-mail.service')
  t.is(quoteWord('/srv/mail'), '/srv/mail')
  t.is(quoteWord('/srv/100% $my "mail"'), '"/srv/100%% $$my \\"mail\\""')
  const subject = { source: 'mail', stateDir: '/s t', node: '/usr/bin/node', program: '/t.js' }
  const text = mountUnit(subject, '/srv/my mail')
  t.ok(text.includes('\nExecStart=/usr/bin/node /t.js mount --foreground --fstab -- mail '))
  t.ok(text.includes('"/srv/my mail"\n') && text.includes('Type=notify'))
  t.ok(text.includes('RequiresMountsFor=/s\\x20t /srv\n'), 'never the mount point itself')
  t.ok(witnessUnit(subject).includes('ExecStart=/usr/bin/node /t.js witness --foreground -- mail'))
})

interface System {
  readonly root: string
  readonly printed: string[]
  run(changes: Partial<FstabOptions>): Promise<number>
}

async function system(t: Test): Promise<System> {
  const dir = await t.tmp()
  const root = path.join(dir, 'root')
  mkdirSync(path.join(root, 'etc'), { recursive: true })
  writeFileSync(path.join(root, 'etc/fstab'), '# mine\n', { mode: 0o640 })
  const listen = { host: '127.0.0.1', port: 0 }
  const printed: string[] = []
  const context = { print: (text: string) => printed.push(text) }
  await runCreate({ volume: 'mail', dir, listen, bootstrap: undefined, advertise: [] }, context)
  const standard = { volume: 'mail', mountPoint: '/srv/mail', dir, mountOptions: undefined, root }
  printed.length = 0
  const run = (changes: Partial<FstabOptions>) =>
    runFstab({ ...standard, action: 'show', ...changes }, context)
  return { root, printed, run }
}

/** Every file and link below the root with what is in it. */
function contents(root: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name)
    if (entry.isFile()) found[path.relative(root, file)] = readFileSync(file, 'utf8')
    else if (entry.isSymbolicLink()) found[path.relative(root, file)] = readlinkSync(file)
  }
  return found
}

async function refused(promise: Promise<unknown>): Promise<number> {
  try {
    await promise
    return 0
  } catch (error) {
    if (error instanceof UserError) return error.exitCode
    throw error
  }
}

test('fstab - shows, installs once, takes all of it away', async (t) => {
  const { root, printed, run } = await system(t)
  const before = contents(root)
  await run({})
  t.ok(printed.join().includes('/srv/mail tandemfs _netdev,nofail,x-systemd.requires='))
  t.alike(contents(root), before, 'showing changes nothing')
  await run({ action: 'install', mountOptions: 'noexec' })
  const installed = contents(root)
  t.ok(installed['etc/fstab']?.startsWith('# mine\n/'))
  t.ok(installed['etc/fstab']?.trimEnd().endsWith(',noexec 0 0'))
  for (const name of ['mount.tandemfs', 'mount.fuse.tandemfs', 'umount.fuse.tandemfs']) {
    const target = installed[`sbin/${name}`] ?? ''
    t.ok(statSync(target).mode & 0o100, `${name} leads to a program`)
  }
  t.is(Object.keys(installed).length, 5)
  t.is(statSync(path.join(root, 'etc/fstab')).mode & 0o777, 0o640, 'mode stays')
  printed.length = 0
  await run({ action: 'install' })
  t.alike(contents(root), installed, 'twice changes nothing, options of the line stay')
  t.alike(printed, ['everything is installed already'])
  await run({ action: 'install', mountOptions: 'ro' })
  t.ok(contents(root)['etc/fstab']?.trimEnd().endsWith(',ro 0 0'), 'other options on request')
  await run({ action: 'uninstall' })
  t.alike(contents(root), before, 'nothing is left')
  await run({ action: 'uninstall' })
  t.is(printed.at(-1), 'nothing of it was installed')
})

test('fstab - helpers stay while another volume needs them', async (t) => {
  const { root, run } = await system(t)
  await run({ action: 'install' })
  await run({ action: 'install', mountPoint: '/srv/second' })
  await run({ action: 'uninstall' })
  t.ok(existsSync(path.join(root, 'sbin/mount.tandemfs')))
  await run({ action: 'uninstall', mountPoint: '/srv/second' })
  t.absent(existsSync(path.join(root, 'sbin/mount.tandemfs')))
})

test('fstab - what somebody else made is left alone', async (t) => {
  const { root, run } = await system(t)
  const fstab = path.join(root, 'etc/fstab')
  writeFileSync(fstab, '/dev/sdb1 /srv/mail ext4 defaults 0 2\n')
  t.is(await refused(run({ action: 'install' })), 5)
  await run({ action: 'uninstall' })
  t.is(readFileSync(fstab, 'utf8'), '/dev/sdb1 /srv/mail ext4 defaults 0 2\n')
  writeFileSync(fstab, '')
  mkdirSync(path.join(root, 'sbin'))
  symlinkSync('/bin/true', path.join(root, 'sbin/mount.tandemfs'))
  t.is(await refused(run({ action: 'install' })), 5)
  t.is(readlinkSync(path.join(root, 'sbin/mount.tandemfs')), '/bin/true')
  t.is(readFileSync(fstab, 'utf8'), '')
  t.is(await refused(run({ mountPoint: undefined })), 2, 'a data member needs a mount point')
  t.is(await refused(run({ mountPoint: '/srv/a\nb' })), 2)
  t.is(await refused(run({ volume: 'absent' })), 3)
})
