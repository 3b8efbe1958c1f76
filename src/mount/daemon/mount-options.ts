/** The `-o` options of mount as data: parser, help text and docs/cli.md all follow this table. */
import { UserError } from './user-error.ts'

/** What a mount was asked for, complete: every option has its value. */
export interface MountSettings {
  readonly readOnly: boolean
  readonly allowOther: boolean
  readonly noExec: boolean
  readonly noSuid: boolean
  readonly noDev: boolean
  readonly noAtime: boolean
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
  noAtime: false,
  isolationTimeoutMs: 30_000,
  mountTimeoutMs: 60_000
}

interface FlagOption {
  readonly kind: 'flag'
  readonly name: string
  readonly setting:
    | 'readOnly'
    | 'allowOther'
    | 'noExec'
    | 'noSuid'
    | 'noDev'
    | 'noAtime'
    | undefined
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

export type MountOption = FlagOption | SecondsOption

export const MOUNT_OPTIONS: readonly MountOption[] = [
  {
    kind: 'flag',
    name: 'ro',
    setting: 'readOnly',
    help: 'nothing can be changed through this mount'
  },
  {
    kind: 'flag',
    name: 'allow_other',
    setting: 'allowOther',
    help: 'other users than the one who mounts have access too'
  },
  {
    kind: 'flag',
    name: 'default_permissions',
    setting: undefined,
    help: 'the kernel checks mode bits; always on'
  },
  { kind: 'flag', name: 'noexec', setting: 'noExec', help: 'programs on it cannot be run' },
  { kind: 'flag', name: 'nosuid', setting: 'noSuid', help: 'set-user-id bits have no effect' },
  { kind: 'flag', name: 'nodev', setting: 'noDev', help: 'device nodes on it cannot be opened' },
  {
    kind: 'flag',
    name: 'noatime',
    setting: 'noAtime',
    help: 'reading does not change access times (it never does on tandemfs)'
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
    kind: 'seconds',
    name: 'mount_timeout',
    setting: 'mountTimeoutMs',
    min: 1,
    max: 3600,
    help: 'mount gives up when the volume is not ready after S seconds'
  }
]

const LIST_MAX_LENGTH = 4096

function refuse(why: string): UserError {
  return new UserError('usage', {
    what: 'mount options',
    why,
    remedy: "see 'tandemfs mount --help'"
  })
}

function parseSeconds(option: SecondsOption, text: string | undefined): number {
  const seconds = text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(seconds >= option.min && seconds <= option.max)) {
    throw refuse(`${option.name} needs seconds from ${option.min} to ${option.max}`)
  }
  return seconds * 1000
}

/** Parses comma separated lists, later ones win. Throws UserError 'usage'. */
export function parseMountOptions(lists: readonly string[]): MountSettings {
  const settings: { -readonly [K in keyof MountSettings]: MountSettings[K] } = {
    ...DEFAULT_SETTINGS
  }
  for (const list of lists) {
    if (list.length > LIST_MAX_LENGTH) throw refuse(`longer than ${LIST_MAX_LENGTH} characters`)
    for (const item of list.split(',')) {
      const separator = item.indexOf('=')
      const name = separator < 0 ? item : item.slice(0, separator)
      const value = separator < 0 ? undefined : item.slice(separator + 1)
      const option = MOUNT_OPTIONS.find((candidate) => candidate.name === name)
      if (option === undefined) throw refuse(`unknown option '${item}'`)
      if (option.kind === 'seconds') {
        settings[option.setting] = parseSeconds(option, value)
      } else {
        if (value !== undefined) throw refuse(`${name} takes no value`)
        if (option.setting !== undefined) settings[option.setting] = true
      }
    }
  }
  return settings
}

/** The list that parses to these settings; how the launcher tells the daemon. */
export function formatMountOptions(settings: MountSettings): string {
  const items: string[] = []
  for (const option of MOUNT_OPTIONS) {
    if (option.kind === 'seconds') items.push(`${option.name}=${settings[option.setting] / 1000}`)
    else if (option.setting !== undefined && settings[option.setting]) items.push(option.name)
  }
  return items.join(',')
}

/** How an option is written, such as `isolation_timeout=S`. */
export function optionUsage(option: MountOption): string {
  return option.kind === 'seconds' ? `${option.name}=S` : option.name
}

export function mountOptionsHelp(): string {
  const width = Math.max(...MOUNT_OPTIONS.map((option) => optionUsage(option).length))
  const lines = MOUNT_OPTIONS.map((option) => {
    const standard =
      option.kind === 'seconds' ? ` (${DEFAULT_SETTINGS[option.setting] / 1000} unless given)` : ''
    return `  ${optionUsage(option).padEnd(width)}  ${option.help}${standard}`
  })
  return ['Mount options (-o, comma separated):', ...lines].join('\n')
}
