/**
 * `tandemfs fstab`: what makes a volume a mount of this machine: a line in fstab, the helpers of
 * mount(8), a systemd unit. Shows it, installs it, or takes all of it away again.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { openVolume } from '../../../replication/volume/open-volume.ts'
import { ExitCode } from '../../daemon/exit-codes.ts'
import { UserError } from '../../daemon/user-error.ts'
import type { CommandContext, FstabOptions } from '../command-options.ts'
import {
  entries,
  entryAt,
  type FstabEntry,
  formatEntry,
  isOurs,
  withEntry,
  withoutEntry
} from '../fstab/fstab-file.ts'
import { HELPERS, SystemFiles } from '../fstab/system-files.ts'
import { mountUnit, serviceName, type UnitSubject, witnessUnit } from '../fstab/units.ts'
import { usageError } from '../values.ts'
import { existingVolume, volumePath } from '../volume-path.ts'

/** Where mount(8) and systemd look for programs while the machine starts. */
const BOOT_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
/** Longer than mount_timeout may be: the daemon gives up by itself. */
const SYSTEMD_TIMEOUT = '3700s'

interface Plan {
  readonly unitName: string
  readonly unitText: string
  /** Undefined for a witness. */
  readonly entry: FstabEntry | undefined
}

export async function runFstab(options: FstabOptions, context: CommandContext): Promise<number> {
  const files = new SystemFiles(options.root)
  if (options.action === 'uninstall') uninstall(options, files, context)
  else if (options.action === 'install') install(plan(options), options, files, context)
  else show(plan(options), files, context)
  return ExitCode.ok
}

function binDir(): string {
  return fileURLToPath(new URL('../../../../../bin', import.meta.url))
}

function plan(options: FstabOptions): Plan {
  const { source, stateDir } = existingVolume(options.volume, { dir: options.dir })
  const program = path.join(binDir(), 'tandemfs.js')
  const subject: UnitSubject = { source, stateDir, node: process.execPath, program }
  const witness = openVolume(stateDir).self.role === 'witness'
  const unitName = serviceName(source, witness)
  if (witness) {
    if (options.mountPoint !== undefined || options.mountOptions !== undefined) {
      throw usageError('fstab', 'this member is a witness, which mounts nothing', 'leave it out')
    }
    return { unitName, unitText: witnessUnit(subject), entry: undefined }
  }
  const mountPoint = neededMountPoint(options)
  const words = [
    '_netdev',
    'nofail',
    `x-systemd.requires=${unitName}`,
    `x-systemd.mount-timeout=${SYSTEMD_TIMEOUT}`,
    ...(options.mountOptions === undefined ? [] : [options.mountOptions])
  ]
  const entry = { source, mountPoint, type: 'tandemfs', options: words.join(',') }
  return { unitName, unitText: mountUnit(subject, mountPoint), entry }
}

function neededMountPoint({ mountPoint }: FstabOptions): string {
  if (mountPoint === undefined) throw usageError('fstab', 'no mount point', 'give it after VOLUME')
  const absolute = path.resolve(mountPoint)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a line ends at them
  if (!/[\u0000-\u001f\u007f]/.test(absolute)) return absolute
  throw usageError('fstab', 'the mount point has control characters', 'choose another')
}

function show({ entry, unitName, unitText }: Plan, files: SystemFiles, context: CommandContext) {
  const lines: string[] = []
  if (entry) {
    lines.push(`# line in ${files.fstab}:`, formatEntry(entry), '')
    for (const [name, program] of HELPERS) {
      lines.push(`# ${path.join(files.helperDir, name)} -> ${path.join(binDir(), program)}`)
    }
    lines.push('')
  }
  lines.push(`# ${path.join(files.unitDir, unitName)}:`, unitText.trimEnd())
  context.print(lines.join('\n'))
}

function install(
  { entry, unitName, unitText }: Plan,
  options: FstabOptions,
  files: SystemFiles,
  context: CommandContext
): void {
  const changed: string[] = []
  const note = (isChanged: boolean, what: string): void => {
    if (isChanged) changed.push(what)
  }
  if (entry === undefined) {
    note(files.writeUnit(unitName, unitText), `unit ${unitName}`)
    note(files.enable(unitName, true), `${unitName} starts at boot`)
  } else {
    if (options.root === '/') assertNodeAtBoot()
    const text = files.readFstab()
    const old = entryAt(text, entry.mountPoint)
    if (old && (!isOurs(old) || old.source !== entry.source)) {
      throw new UserError('alreadyRunning', {
        what: `${files.fstab}`,
        why: `it mounts something else (${old.source}) at ${entry.mountPoint}`,
        remedy: 'remove that line or choose another mount point'
      })
    }
    note(files.addHelpers(binDir()), `helpers in ${files.helperDir}`)
    note(files.writeUnit(unitName, unitText), `unit ${unitName}`)
    // Options that somebody wrote into the line stay, unless others are asked for.
    const keeps = old !== undefined && options.mountOptions === undefined
    note(!keeps && files.writeFstab(withEntry(text, entry)), `line in ${files.fstab}`)
  }
  for (const what of changed) context.print(`installed: ${what}`)
  if (changed.length === 0) context.print('everything is installed already')
  else if (options.root === '/') reloadSystemd(context)
}

function uninstall(options: FstabOptions, files: SystemFiles, context: CommandContext): void {
  const { source } = volumePath(options.volume, { dir: options.dir })
  const removed: string[] = []
  const note = (isRemoved: boolean, what: string): void => {
    if (isRemoved) removed.push(what)
  }
  if (options.mountPoint !== undefined) {
    const mountPoint = neededMountPoint(options)
    const text = withoutEntry(files.readFstab(), { source, mountPoint })
    note(files.writeFstab(text), `line in ${files.fstab}`)
    const others = entries(text).filter(isOurs)
    if (others.length === 0) note(files.removeHelpers(), `helpers in ${files.helperDir}`)
    if (others.every((entry) => entry.source !== source)) {
      const name = serviceName(source, false)
      note(files.removeUnit(name), `unit ${name}`)
    }
  }
  const witness = serviceName(source, true)
  note(files.enable(witness, false), `${witness} does not start at boot any more`)
  note(files.removeUnit(witness), `unit ${witness}`)
  for (const what of removed) context.print(`removed: ${what}`)
  if (removed.length === 0) context.print('nothing of it was installed')
  else if (options.root === '/') reloadSystemd(context)
}

/** The helpers begin with `#!/usr/bin/env node`, and nobody's profile is read at boot. */
function assertNodeAtBoot(): void {
  const found = BOOT_PATH.map((folder) => path.join(folder, 'node')).find((file) =>
    existsSync(file)
  )
  if (found !== undefined) return
  throw new UserError('system', {
    what: 'fstab --install',
    why: `node is at ${realpathSync(process.execPath)}, where it is not found while booting`,
    remedy: `link it: ln -s ${process.execPath} /usr/local/bin/node`
  })
}

function reloadSystemd(context: CommandContext): void {
  if (!existsSync('/run/systemd/system')) return
  const { status } = spawnSync('systemctl', ['daemon-reload'], { stdio: 'ignore', timeout: 30_000 })
  if (status !== 0) context.print("systemd was not told: run 'systemctl daemon-reload'")
}
