/** The systemd units of a member: their names and their text. Pure. */
import path from 'node:path'
import { ExitCode } from '../../daemon/exit-codes.ts'

/** First line of every unit that was made here; only such files are ever changed or removed. */
export const UNIT_MARK = "# Made by 'tandemfs fstab --install', removed by --uninstall."

/** Starting again cannot help: wrong options, no such volume, removed from it, damaged. */
const HOPELESS = [
  ExitCode.usage,
  ExitCode.volumeUnknown,
  ExitCode.mountPoint,
  ExitCode.alreadyRunning,
  ExitCode.refused,
  ExitCode.damaged
]

export interface UnitSubject {
  /** A volume's name, or the path of a state directory. */
  readonly source: string
  readonly stateDir: string
  /** Absolute path of node. */
  readonly node: string
  /** Absolute path of the tandemfs program. */
  readonly program: string
}

/** As systemd-escape(1) does, with --path for what begins with a slash. */
export function escapeUnitPart(text: string): string {
  const bare = text.startsWith('/') ? text.replace(/^\/+|\/+$/g, '').replace(/\/+/g, '/') : text
  if (bare === '' && text !== '') return '-'
  let escaped = ''
  for (const byte of Buffer.from(bare)) {
    const character = String.fromCharCode(byte)
    if (character === '/') escaped += '-'
    else if (/[A-Za-z0-9:_]/.test(character) || (character === '.' && escaped !== '')) {
      escaped += character
    } else escaped += `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return escaped
}

export function serviceName(source: string, witness: boolean): string {
  return `${witness ? 'tandemfs-witness' : 'tandemfs'}-${escapeUnitPart(source)}.service`
}

/** One word of an ExecStart line. */
export function quoteWord(word: string): string {
  const escaped = word.replace(/[%$]/g, '$&$&').replace(/["\\]/g, '\\$&')
  return /^[A-Za-z0-9%$@/._:=,+-]+$/.test(word) ? escaped : `"${escaped}"`
}

/** Paths in [Unit] options: specifiers and blanks. */
function quotePath(text: string): string {
  return text.replaceAll('%', '%%').replace(/[\s\\"]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

function unit(sections: Readonly<Record<string, readonly string[]>>): string {
  const parts = Object.entries(sections).map(([name, lines]) => [`[${name}]`, ...lines].join('\n'))
  return `${UNIT_MARK}\n${parts.join('\n\n')}\n`
}

function unitSection(description: string, needed: readonly string[]): string[] {
  return [
    `Description=${description.replaceAll('%', '%%')}`,
    'Documentation=man:tandemfs(1) man:mount.tandemfs(8)',
    'Wants=network-online.target',
    'After=network-online.target',
    `RequiresMountsFor=${needed.map(quotePath).join(' ')}`,
    '# The other members may come up much later: it never stops trying.',
    'StartLimitIntervalSec=0'
  ]
}

function serviceSection(words: readonly string[]): string[] {
  return [
    'Type=notify',
    'NotifyAccess=all',
    `ExecStart=${words.map(quoteWord).join(' ')}`,
    'Restart=on-failure',
    'RestartSec=5',
    `RestartPreventExitStatus=${HOPELESS.join(' ')}`,
    'KillMode=mixed',
    '# The daemon gives up by itself after mount_timeout.',
    'TimeoutStartSec=infinity',
    'TimeoutStopSec=90',
    'WatchdogSec=120'
  ]
}

/**
 * The daemon of a mount, in the foreground. Nothing enables it: the line in fstab requires it, so
 * it runs exactly where the mount is wanted, and its options are those of that line.
 */
export function mountUnit(subject: UnitSubject, mountPoint: string): string {
  const { source, stateDir, node, program } = subject
  const words = [node, program, 'mount', '--foreground', '--fstab', '--', source, mountPoint]
  return unit({
    Unit: unitSection(`tandemfs volume ${source} at ${mountPoint}`, [
      stateDir,
      path.dirname(mountPoint)
    ]),
    Service: [...serviceSection(words), 'LimitNOFILE=65536']
  })
}

/** A vote-only member; it has no mount that could require it, so it is enabled. */
export function witnessUnit(subject: UnitSubject): string {
  const { source, stateDir, node, program } = subject
  return unit({
    Unit: unitSection(`tandemfs witness of volume ${source}`, [stateDir]),
    Service: serviceSection([node, program, 'witness', '--foreground', '--', source]),
    Install: ['WantedBy=multi-user.target']
  })
}
