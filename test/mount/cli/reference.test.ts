import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'brittle'
import { runProgram } from '../../../src/mount/cli/program.ts'
import { EXIT_CODE_MEANINGS, ExitCode } from '../../../src/mount/daemon/exit-codes.ts'
import {
  DEFAULT_SETTINGS,
  formatMountOptions,
  MOUNT_OPTIONS,
  mountOptionsHelp,
  optionStandard,
  optionUsage,
  parseMountOptions,
  parseMountRequest
} from '../../../src/mount/daemon/mount-options.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'
import { exampleStatus } from '../daemon/support.ts'

function projectFile(name: string): string {
  let folder = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder)
  return readFileSync(path.join(folder, name), 'utf8')
}

function reference(): string {
  return projectFile('docs/cli.md')
}

/** A man page as plain text, as far as a comparison needs it. */
function manPage(name: string): string {
  return projectFile(`man/${name}`)
    .replace(/^\.(?:B|I|BR|BI|RB|RI|IR) /gm, '')
    .replace(/\\f[BIRP]|["\\]/g, '')
}

const never = () => Promise.reject(new Error('not to be run'))

async function help(args: readonly string[]): Promise<string> {
  const commands = {
    create: never,
    invite: never,
    join: never,
    mount: never,
    unmount: never,
    status: never,
    locks: never,
    members: never,
    fstab: never,
    salvage: never,
    witness: never,
    recover: never
  }
  let text = ''
  const print = (part: string) => {
    text += part
  }
  await runProgram(args, commands, { print })
  return text
}

/** First cells of the table below the heading. */
function cells(document: string, heading: string, column: number): string[] {
  const [, section = ''] = document.split(`## ${heading}\n`)
  const [body = ''] = section.split('\n## ')
  return body
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) => (line.split('|')[column] ?? '').trim().replaceAll('`', ''))
}

test('reference - mount options are the same in table, help and docs', async (t) => {
  const usages = MOUNT_OPTIONS.map(optionUsage)
  t.alike(cells(reference(), 'Mount options', 1), usages)
  const effects = cells(reference(), 'Mount options', 2)
  const text = await help(['mount', '--help'])
  t.ok(text.includes(mountOptionsHelp()))
  for (const [index, option] of MOUNT_OPTIONS.entries()) {
    t.ok(effects[index]?.startsWith(option.help), `docs of ${option.name}`)
    const standard = optionStandard(option)
    t.ok(effects[index]?.endsWith(standard) && text.includes(standard), option.name)
  }
})

test('reference - exit codes are the same in code, help and docs', async (t) => {
  const names = Object.keys(ExitCode) as (keyof typeof ExitCode)[]
  const section = 'Errors and exit codes'
  t.alike(
    cells(reference(), section, 1),
    names.map((name) => String(ExitCode[name]))
  )
  t.alike(cells(reference(), section, 2), names)
  t.alike(
    cells(reference(), section, 3),
    names.map((name) => EXIT_CODE_MEANINGS[name])
  )
  const text = await help(['--help'])
  for (const name of names) {
    t.ok(text.includes(`${ExitCode[name]}  ${EXIT_CODE_MEANINGS[name]}`), name)
  }
  t.is(new Set(Object.values(ExitCode)).size, names.length, 'no number has two meanings')
})

test('reference - exit codes keep their numbers', (t) => {
  t.alike(ExitCode, {
    ok: 0,
    usage: 2,
    volumeUnknown: 3,
    mountPoint: 4,
    alreadyRunning: 5,
    noAuthority: 6,
    refused: 7,
    addressInUse: 8,
    noSpace: 9,
    damaged: 10,
    internal: 11,
    notMounted: 12,
    busy: 13,
    timeout: 14,
    system: 15
  })
})

test('reference - every field of the status JSON is documented', (t) => {
  const section = 'status --json'
  const [, text = ''] = reference().split(`## \`${section}\``)
  for (const [name, value] of Object.entries(exampleStatus())) {
    t.ok(text.includes(`\`${name}`), name)
    if (typeof value !== 'object' || value === null) continue
    const inner = Array.isArray(value) ? value[0] : value
    if (typeof inner !== 'object') continue
    for (const field of Object.keys(inner ?? {})) t.ok(text.includes(`\`${field}\``), field)
  }
})

test('mount options - settings survive being written and read', (t) => {
  const all = MOUNT_OPTIONS.map((option) => {
    if (option.kind === 'flag') return option.name
    return `${option.name}=${option.kind === 'choice' ? option.choices.at(-1) : 7}`
  })
  const settings = parseMountOptions([all.join(',')])
  t.alike(parseMountOptions([formatMountOptions(settings)]), settings)
  t.alike(parseMountOptions([formatMountOptions(DEFAULT_SETTINGS)]), DEFAULT_SETTINGS)
  t.is(settings.onIsolation, 'readonly')
  const opposites = MOUNT_OPTIONS.flatMap((option) => {
    return option.kind === 'flag' && option.opposite !== undefined ? [option.opposite] : []
  })
  const back = parseMountOptions([formatMountOptions(settings), opposites.join(',')])
  t.absent(back.readOnly || back.noExec || back.sync || back.relAtime, 'opposites take it back')
  t.alike(parseMountOptions(['mount_timeout=5', 'mount_timeout=9']).mountTimeoutMs, 9000)
})

test('mount options - those of fstab and systemd are for others, unknown ones refused', (t) => {
  const others =
    'defaults,auto,noauto,nofail,_netdev,x-systemd.requires=a.service,X-foo,comment=a b,nouser'
  t.alike(parseMountOptions([others]), DEFAULT_SETTINGS)
  const { noExec, noSuid, noDev } = parseMountOptions(['user=joe'])
  t.ok(noExec && noSuid && noDev, 'as mount(8) has it')
  t.absent(parseMountOptions(['users,exec']).noExec, 'later ones win')
  const unknown = ['nonsense', 'ro=1', 'uid=x', 'uid=-1', 'gid=4294967295', 'durability=local']
  for (const list of [...unknown, 'on_isolation=hope', 'remount', 'allow_root', '', 'commentary']) {
    try {
      parseMountOptions([list])
      t.fail(`'${list}' must be refused`)
    } catch (error) {
      t.ok(error instanceof UserError && error.exitCode === ExitCode.usage, list)
    }
  }
  const sloppy = parseMountRequest(['nonsense,ro,remount'], { sloppy: true })
  t.ok(sloppy.remount && sloppy.settings.readOnly)
  const base = parseMountOptions(['noexec,uid=5'])
  const { settings } = parseMountRequest(['remount,ro'], { base })
  t.alike(settings, { ...base, readOnly: true }, 'what is not named stays')
})

test('reference - the man pages have every command, mount option and exit code', async (t) => {
  const page = manPage('tandemfs.1')
  const commands = (await help(['--help'])).matchAll(/^ {2}([a-z]+) (?:\[options\] )?[<[]/gm)
  const names = [...commands].map(([, name]) => name)
  t.ok(names.length >= 10, names.join(' '))
  for (const name of names) t.ok(page.includes(`\n.TP\n${name} `), `tandemfs ${name}`)
  for (const [name, meaning] of Object.entries(EXIT_CODE_MEANINGS)) {
    const code = ExitCode[name as keyof typeof ExitCode]
    const sentence = `${meaning.slice(0, 1).toUpperCase()}${meaning.slice(1)}.`
    t.ok(page.includes(`.TP\n${code}\n${sentence}\n`), `exit code ${code}`)
  }
  const mount = manPage('mount.tandemfs.8')
  for (const option of MOUNT_OPTIONS) {
    const help = `${option.help.slice(0, 1).toUpperCase()}${option.help.slice(1)}`
    t.ok(mount.includes(`.TP\n${option.name}`) && mount.includes(help), option.name)
  }
})
