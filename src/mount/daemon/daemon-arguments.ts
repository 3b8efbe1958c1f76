/** How the launcher tells the daemon what to serve; readable in `ps`, and free of secrets. */
import { parseArgs } from 'node:util'
import type { LogLevel } from './log-file.ts'
import { formatMountOptions, type MountSettings, parseMountOptions } from './mount-options.ts'
import { UserError } from './user-error.ts'

export interface DaemonArguments {
  readonly stateDir: string
  readonly mountPoint: string
  readonly source: string
  readonly settings: MountSettings
  /** Stays attached to the launcher and logs to stderr. */
  readonly foreground: boolean
  readonly logLevel: LogLevel
  /** Serves no mount: the member only votes. `mountPoint` is its state directory then. */
  readonly witness: boolean
}

const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

export function formatDaemonArguments(daemon: DaemonArguments): string[] {
  return [
    '-o',
    formatMountOptions(daemon.settings),
    '--source',
    daemon.source,
    '--log-level',
    daemon.logLevel,
    ...(daemon.foreground ? ['--foreground'] : []),
    ...(daemon.witness ? ['--witness'] : []),
    '--',
    daemon.stateDir,
    daemon.mountPoint
  ]
}

export function parseLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((candidate) => candidate === text)
  if (level !== undefined) return level
  throw new UserError('usage', {
    what: 'log level',
    why: `unknown level '${text}'`,
    remedy: `use one of ${LOG_LEVELS.join(', ')}`
  })
}

/** Throws UserError 'usage'. */
export function parseDaemonArguments(args: readonly string[]): DaemonArguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      options: { type: 'string', short: 'o', default: '' },
      source: { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
      foreground: { type: 'boolean', default: false },
      witness: { type: 'boolean', default: false }
    }
  })
  const [stateDir, mountPoint, ...rest] = positionals
  if (stateDir === undefined || mountPoint === undefined || rest.length > 0) {
    throw new UserError('usage', {
      what: 'daemon',
      why: 'it needs a state directory and a mount point',
      remedy: "start it with 'tandemfs mount'"
    })
  }
  return {
    stateDir,
    mountPoint,
    source: values.source ?? stateDir,
    settings: parseMountOptions(values.options === '' ? [] : [values.options]),
    foreground: values.foreground,
    witness: values.witness,
    logLevel: parseLogLevel(values['log-level'])
  }
}
