/** The `-o` options of mount as data: parser, help text and docs/cli.md all follow this table. */
import { UserError } from './user-error.ts'

/** What operations do while this member cannot prove that its data is the newest. */
export type OnIsolation = 'block' | 'error' | 'readonly'

/** What a mount was asked for, complete: every option has its value. */
export interface MountSettings {
  readonly readOnly: boolean
  readonly allowOther: boolean
  readonly noExec: boolean
  readonly noSuid: boolean
  readonly noDev: boolean
  readonly noSymFollow: boolean
  readonly sync: boolean
  readonly dirSync: boolean
  readonly noAtime: boolean
  readonly noDirAtime: boolean
  readonly relAtime: boolean
  readonly strictAtime: boolean
  readonly lazyTime: boolean
  /** Every file is shown as this user's (group's); null = as its owner's. */
  readonly shownUid: number | null
  readonly shownGid: number | null
  readonly onIsolation: OnIsolation
  readonly durability: 'disk'
  /** What stands between the kernel and the filesystem. */
  readonly driver: 'default' | 'fuse-native'
  /** Agreed: file locks hold on this member only. */
  readonly localLocks: boolean
  /** What is asked of idle processors while there is much to do (cpu-latency.ts). */
  readonly cpuLatency: 'low' | 'system'
  /** How long an operation waits for the authority before it ends with EIO. */
  readonly isolationTimeoutMs: number
  /** How long `mount` waits for the daemon to be ready. */
  readonly mountTimeoutMs: number
}

export const DEFAULT_SETTINGS: MountSettings = {
  readOnly: false,
  allowOther: false,
  noExec: false,
  noSuid: false,
  noDev: false,
  noSymFollow: false,
  sync: false,
  dirSync: false,
  noAtime: false,
  noDirAtime: false,
  relAtime: false,
  strictAtime: false,
  lazyTime: false,
  shownUid: null,
  shownGid: null,
  onIsolation: 'block',
  durability: 'disk',
  driver: 'default',
  localLocks: false,
  cpuLatency: 'low',
  isolationTimeoutMs: 30_000,
  mountTimeoutMs: 60_000
}

type FlagSetting = {
  [K in keyof MountSettings]: MountSettings[K] extends boolean ? K : never
}[keyof MountSettings]

interface FlagOption {
  readonly kind: 'flag'
  readonly name: string
  /** Undefined: it says what is always so. */
  readonly setting: FlagSetting | undefined
  /** The option that takes it back. */
  readonly opposite?: string
  readonly help: string
}

interface SecondsOption {
  readonly kind: 'seconds'
  readonly name: string
  readonly setting: 'isolationTimeoutMs' | 'mountTimeoutMs'
  readonly min: number
  readonly max: number
  readonly help: string
}

interface IdOption {
  readonly kind: 'id'
  readonly name: string
  readonly setting: 'shownUid' | 'shownGid'
  readonly help: string
}

interface ChoiceOption {
  readonly kind: 'choice'
  readonly name: string
  readonly setting: 'onIsolation' | 'durability' | 'driver' | 'cpuLatency'
  readonly choices: readonly string[]
  /** Values that are known and not there, with the reason. */
  readonly lacking?: Readonly<Record<string, string>>
  readonly help: string
}

export type MountOption = FlagOption | SecondsOption | IdOption | ChoiceOption

function flag(
  name: string,
  setting: FlagSetting | undefined,
  help: string,
  opposite?: string
): FlagOption {
  return { kind: 'flag', name, setting, help, ...(opposite === undefined ? {} : { opposite }) }
}

const DURABILITY_LACKING = 'an fsync always waits for the disks of the in-sync set'

export const MOUNT_OPTIONS: readonly MountOption[] = [
  flag('ro', 'readOnly', 'nothing can be changed through this mount', 'rw'),
  flag('allow_other', 'allowOther', 'other users than the one who mounts have access too'),
  flag('default_permissions', undefined, 'the kernel checks mode bits; always on'),
  flag('noexec', 'noExec', 'programs on it cannot be run', 'exec'),
  flag('nosuid', 'noSuid', 'set-user-id bits have no effect', 'suid'),
  flag('nodev', 'noDev', 'device nodes on it cannot be opened', 'dev'),
  flag('nosymfollow', 'noSymFollow', 'symbolic links on it are not followed', 'symfollow'),
  flag('sync', 'sync', 'every change is on the disk of all before its call returns', 'async'),
  flag('dirsync', 'dirSync', 'the same for changes of names and attributes alone'),
  flag(
    'noatime',
    'noAtime',
    'reading does not change access times (it never does on tandemfs)',
    'atime'
  ),
  flag('nodiratime', 'noDirAtime', 'the same for directories', 'diratime'),
  flag('relatime', 'relAtime', 'shown in the mount table, without effect here', 'norelatime'),
  flag('strictatime', 'strictAtime', 'shown, without effect here', 'nostrictatime'),
  flag('lazytime', 'lazyTime', 'shown, without effect here', 'nolazytime'),
  {
    kind: 'id',
    name: 'uid',
    setting: 'shownUid',
    help: 'every file is shown as owned by this user; the stored owner stays as it is'
  },
  {
    kind: 'id',
    name: 'gid',
    setting: 'shownGid',
    help: 'every file is shown as of this group; the stored group stays as it is'
  },
  {
    kind: 'seconds',
    name: 'isolation_timeout',
    setting: 'isolationTimeoutMs',
    min: 1,
    max: 86_400,
    help: 'an operation that cannot reach the authority ends with EIO after S seconds'
  },
  {
    kind: 'choice',
    name: 'on_isolation',
    setting: 'onIsolation',
    choices: ['block', 'error', 'readonly'],
    help: 'while cut off from the others: wait, fail at once, or read what was there (stale)'
  },
  {
    kind: 'choice',
    name: 'durability',
    setting: 'durability',
    choices: ['disk'],
    lacking: { memory: DURABILITY_LACKING, local: DURABILITY_LACKING },
    help: 'what an fsync waits for: the disk of every member of the in-sync set'
  },
  {
    kind: 'seconds',
    name: 'mount_timeout',
    setting: 'mountTimeoutMs',
    min: 1,
    max: 3600,
    help: 'mount gives up when the volume is not ready after S seconds'
  },
  {
    kind: 'choice',
    name: 'cpu_latency',
    setting: 'cpuLatency',
    choices: ['low', 'system'],
    help: 'under load keep idle processors from halting, where the system lets us; or never'
  },
  {
    kind: 'choice',
    name: 'driver',
    setting: 'driver',
    choices: ['default', 'fuse-native'],
    help: 'what serves the mount: our own code, or an optional package that can do less'
  },
  flag('local_locks', 'localLocks', 'agrees to locks of this member only; for driver=fuse-native')
]

/** Those of fstab, mount(8) and systemd, which mean nothing to a filesystem. */
const IGNORED = [
  'defaults',
  'auto',
  'noauto',
  'nofail',
  '_netdev',
  'nouser',
  'nousers',
  'noowner',
  'nogroup',
  'iversion',
  'noiversion',
  'silent',
  'loud'
] as const
const IGNORED_WITH_VALUE = /^(?:[xX]-[^=]*|comment|helper|uhelper)(?:=.*)?$/
/** Who may mount; what mount(8) understands under them besides is also said here. */
const FOR_USERS = /^(?:users?|owner|group)(?:=.*)?$/
const FOR_USERS_SETTINGS = { noExec: true, noSuid: true, noDev: true } as const

export const IGNORED_OPTIONS_HELP =
  'auto, noauto, nofail, _netdev, defaults, user and the like, comment=, x-* are for others'

const LIST_MAX_LENGTH = 4096
const ID_MAX = 2 ** 32 - 2

type Draft = { -readonly [K in keyof MountSettings]: MountSettings[K] }

function refuse(why: string): UserError {
  return new UserError('usage', {
    what: 'mount options',
    why,
    remedy: "see 'tandemfs mount --help'"
  })
}

function parseNumber(text: string | undefined): number {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
}

function setFlag(draft: Draft, option: FlagOption, item: string): void {
  if (item.includes('=')) throw refuse(`${option.name} takes no value`)
  if (option.setting !== undefined) draft[option.setting] = true
}

function setValue(
  draft: Draft,
  option: Exclude<MountOption, FlagOption>,
  value: string | undefined
): void {
  const { name } = option
  switch (option.kind) {
    case 'seconds': {
      const seconds = parseNumber(value)
      if (!(seconds >= option.min && seconds <= option.max)) {
        throw refuse(`${name} needs seconds from ${option.min} to ${option.max}`)
      }
      draft[option.setting] = seconds * 1000
      return
    }
    case 'id': {
      const id = parseNumber(value)
      if (!(id <= ID_MAX)) throw refuse(`${name} needs a number from 0 to ${ID_MAX}`)
      draft[option.setting] = id
      return
    }
    case 'choice': {
      const reason = option.lacking?.[value ?? '']
      if (reason !== undefined) throw refuse(`${name}=${value} is not supported: ${reason}`)
      if (value === undefined || !option.choices.includes(value)) {
        throw refuse(`${name} needs one of ${option.choices.join(', ')}`)
      }
      Object.assign(draft, { [option.setting]: value })
    }
  }
}

function isIgnored(item: string): boolean {
  return IGNORED.some((name) => name === item) || IGNORED_WITH_VALUE.test(item)
}

/** False when the item is unknown. */
function parseItem(draft: Draft, item: string): boolean {
  const separator = item.indexOf('=')
  const name = separator < 0 ? item : item.slice(0, separator)
  const value = separator < 0 ? undefined : item.slice(separator + 1)
  const option = MOUNT_OPTIONS.find((candidate) => candidate.name === name)
  if (option !== undefined) {
    if (option.kind === 'flag') setFlag(draft, option, item)
    else setValue(draft, option, value)
    return true
  }
  const taken = MOUNT_OPTIONS.find(
    (candidate) => candidate.kind === 'flag' && candidate.opposite === item
  )
  if (taken?.kind === 'flag' && taken.setting !== undefined) {
    draft[taken.setting] = false
    return true
  }
  if (FOR_USERS.test(item)) {
    Object.assign(draft, FOR_USERS_SETTINGS)
    return true
  }
  return isIgnored(item)
}

export interface MountRequest {
  readonly settings: MountSettings
  /** Changes a mount that is there instead of making one. */
  readonly remount: boolean
}

export interface ParseOptions {
  /** What is not named stays so; default DEFAULT_SETTINGS. */
  readonly base?: MountSettings
  /** Unknown options are left out instead of refused (mount -s). */
  readonly sloppy?: boolean
}

/** Parses comma separated lists, later ones win. Throws UserError 'usage'. */
export function parseMountRequest(
  lists: readonly string[],
  options: ParseOptions = {}
): MountRequest {
  const draft: Draft = { ...(options.base ?? DEFAULT_SETTINGS) }
  let remount = false
  for (const list of lists) {
    if (list.length > LIST_MAX_LENGTH) throw refuse(`longer than ${LIST_MAX_LENGTH} characters`)
    for (const item of list.split(',')) {
      if (item === 'remount') remount = true
      else if (!parseItem(draft, item) && options.sloppy !== true) {
        throw refuse(`unknown option '${item}'`)
      }
    }
  }
  return { settings: draft, remount }
}

/** Like parseMountRequest, for a mount that is to be made. */
export function parseMountOptions(lists: readonly string[]): MountSettings {
  const { settings, remount } = parseMountRequest(lists)
  if (!remount) return settings
  throw new UserError('usage', {
    what: 'mount options',
    why: "'remount' is for mount(8)",
    remedy: "use 'mount -o remount,... MOUNTPOINT'"
  })
}

/** The list that parses to these settings; how the launcher tells the daemon. */
export function formatMountOptions(settings: MountSettings): string {
  const items: string[] = []
  for (const option of MOUNT_OPTIONS) {
    const { name } = option
    if (option.kind === 'flag') {
      if (option.setting !== undefined && settings[option.setting]) items.push(name)
      continue
    }
    const value = settings[option.setting]
    if (value === null) continue
    items.push(
      `${name}=${typeof value === 'number' && option.kind === 'seconds' ? value / 1000 : value}`
    )
  }
  return items.join(',')
}

const USAGE_VALUES = { seconds: 'S', id: 'N' } as const

/** How an option is written, such as `isolation_timeout=S`. */
export function optionUsage(option: MountOption): string {
  if (option.kind === 'flag') {
    return option.opposite === undefined ? option.name : `${option.name}, ${option.opposite}`
  }
  if (option.kind === 'choice') return `${option.name}=${option.choices.join('/')}`
  return `${option.name}=${USAGE_VALUES[option.kind]}`
}

/** `(30 unless given)`; empty where nothing need be said. */
export function optionStandard(option: MountOption): string {
  if (option.kind === 'seconds') return `(${DEFAULT_SETTINGS[option.setting] / 1000} unless given)`
  if (option.kind !== 'choice') return ''
  return `(${DEFAULT_SETTINGS[option.setting]} unless given)`
}

export function mountOptionsHelp(): string {
  const width = Math.max(...MOUNT_OPTIONS.map((option) => optionUsage(option).length))
  const lines = MOUNT_OPTIONS.map((option) => {
    const text = `${option.help} ${optionStandard(option)}`.trimEnd()
    return `  ${optionUsage(option).padEnd(width)}  ${text}`
  })
  return ['Mount options (-o, comma separated):', ...lines, `  ${IGNORED_OPTIONS_HELP}`].join('\n')
}
