/** The command line: commands, arguments, options and their help. Runs nothing itself. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { parseLogLevel } from '../daemon/daemon-arguments.ts'
import {
  EXIT_CODE_MEANINGS,
  ExitCode,
  type ExitCodeName,
  type ExitCodeValue
} from '../daemon/exit-codes.ts'
import { mountOptionsHelp, parseMountOptions } from '../daemon/mount-options.ts'
import type { CommandContext, Commands, HostPort, MembersOptions } from './command-options.ts'
import { memberNameOfHost } from './member-name.ts'
import {
  parseAdvertise,
  parseBootstrap,
  parseHostPort,
  parseTimeout,
  parseTtl,
  usageError
} from './values.ts'
import { DEFAULT_DIR } from './volume-path.ts'

const DEFAULT_PORT = 4907
const DIR_HELP = 'folder of the state directories'

/** Of the package that this program was built in. */
function programVersion(): string {
  const file = new URL('../../../../package.json', import.meta.url)
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string }
  return version
}

function exitCodesHelp(): string {
  const names = Object.keys(ExitCode) as ExitCodeName[]
  const lines = names.map((name) => {
    return `  ${String(ExitCode[name]).padStart(2)}  ${EXIT_CODE_MEANINGS[name]}`
  })
  return ['', 'Exit codes:', ...lines].join('\n')
}

function examples(...lines: string[]): string {
  return ['', 'Examples:', ...lines.map((line) => `  ${line}`)].join('\n')
}

function parseListen(text: string): HostPort {
  return parseHostPort('--listen', text, DEFAULT_PORT)
}

const LISTEN_FLAGS = '--listen <HOST:PORT>'
const LISTEN_HELP = 'address for the other members'
const ADVERTISE_FLAGS = '--advertise <LIST>'
const ADVERTISE_HELP = 'HOST:PORT,... where the others reach it, when that is not --listen'
const LISTEN_ANY: HostPort = { host: '0.0.0.0', port: DEFAULT_PORT }

function describeMembership(program: Command, commands: Commands, done: Done): void {
  program
    .command('create <VOLUME>')
    .description('make a new volume; this machine becomes its first member')
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .option(LISTEN_FLAGS, LISTEN_HELP, parseListen, LISTEN_ANY)
    .option(ADVERTISE_FLAGS, ADVERTISE_HELP, parseAdvertise)
    .option('--discovery', 'members may also find each other through a DHT')
    .option('--bootstrap <LIST>', 'own DHT nodes, HOST:PORT,...', parseBootstrap)
    .addHelpText('after', examples('tandemfs create mail', 'tandemfs create mail --dir /data/t'))
    .action(async (volume: string, flags) => {
      const bootstrap: string[] | undefined = flags.bootstrap
      if (bootstrap !== undefined && !flags.discovery) {
        throw usageError('--bootstrap', 'only used by --discovery', 'add --discovery')
      }
      const nodes = flags.discovery ? (bootstrap ?? []) : undefined
      const { dir, listen, advertise } = flags
      done(await commands.create({ volume, dir, listen, advertise, bootstrap: nodes }))
    })
  program
    .command('invite <VOLUME>')
    .description('print a join code for one new member; keep this one running until it is used')
    .option('--witness', 'for a member that only votes and holds no data')
    .option('--ttl <TIME>', 'how long the code is good', parseTtl, 3_600_000)
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .addHelpText('after', examples('tandemfs invite mail', 'tandemfs invite mail --ttl 2d'))
    .action(async (volume: string, flags) => {
      const role = flags.witness === true ? 'witness' : 'data'
      done(await commands.invite({ volume, dir: flags.dir, role, ttlMs: flags.ttl }))
    })
  program
    .command('join <CODE>')
    .description('make this machine a member of the volume that the code is for')
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .option(LISTEN_FLAGS, LISTEN_HELP, parseListen, LISTEN_ANY)
    .option(ADVERTISE_FLAGS, ADVERTISE_HELP, parseAdvertise)
    .option('--name <NAME>', 'name of this member (default: the host name)')
    .addHelpText('after', examples('tandemfs join - < code', 'tandemfs join CODE --name web2'))
    .action(async (code: string, flags) => {
      const { dir, listen, advertise } = flags
      const name = flags.name ?? memberNameOfHost()
      done(await commands.join({ code, dir, listen, advertise, name }))
    })
  program
    .command('members <VOLUME> [ACTION] [NAME]')
    .usage('[options] <VOLUME> [remove NAME | tie-breaker NAME|none]')
    .description(
      'list the members, remove one, or let one vote count twice where their number is even'
    )
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .addHelpText('after', examples('tandemfs members mail', 'tandemfs members mail remove web2'))
    .action(async (volume: string, action: string | undefined, name: string | undefined, flags) => {
      done(await commands.members({ volume, dir: flags.dir, change: memberChange(action, name) }))
    })
}

function memberChange(
  action: string | undefined,
  name: string | undefined
): MembersOptions['change'] {
  if (action === undefined) return undefined
  if (action === 'remove' && name !== undefined) return { kind: 'remove', name }
  if (action === 'tie-breaker' && name !== undefined) {
    return { kind: 'tie-breaker', name: name === 'none' ? null : name }
  }
  const why = `'${action}' is not 'remove NAME' or 'tie-breaker NAME'`
  throw usageError('members', why, "see 'members --help'")
}

function describeWitness(program: Command, commands: Commands, done: Done): void {
  program
    .command('witness <VOLUME>')
    .description('run a member that only votes; returns when it runs')
    .option('-f, --foreground', 'stay in the foreground, log to stderr')
    .option('--stop', 'end the one that runs')
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .option('--log-level <LEVEL>', 'debug, info, warn or error', parseLogLevel, 'info')
    .addHelpText('after', examples('tandemfs witness mail', 'tandemfs witness mail --stop'))
    .action(async (volume: string, flags) => {
      const foreground = flags.foreground === true
      const stop = flags.stop === true
      const { dir, logLevel } = flags
      done(await commands.witness({ volume, dir, foreground, stop, logLevel }))
    })
}

function describeRecovery(program: Command, commands: Commands, done: Done): void {
  program
    .command('recover <VOLUME>')
    .description('go on with what this member has when too many others are gone for good')
    .option('--accept-loss', 'do it: what only the others had is lost, and they are removed')
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .addHelpText('after', examples('tandemfs recover mail', 'tandemfs recover mail --accept-loss'))
    .action(async (volume: string, flags) => {
      const acceptLoss = flags.acceptLoss === true
      done(await commands.recover({ volume, dir: flags.dir, acceptLoss }))
    })
}

function describeMounting(program: Command, commands: Commands, done: Done): void {
  program
    .command('mount <VOLUME> <MOUNTPOINT>')
    .description('mount a volume; returns when it is mounted and ready')
    .option('-f, --foreground', 'stay in the foreground, log to stderr')
    .option('-o <OPTIONS>', 'mount options, see below; may be repeated', collect)
    .option('--driver <NAME>', 'the same as -o driver=NAME')
    .option('--fstab', 'with the options of the line in /etc/fstab')
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .option('--log-level <LEVEL>', 'debug, info, warn or error', parseLogLevel, 'info')
    .addHelpText('after', `\n${mountOptionsHelp()}`)
    .addHelpText('after', examples('tandemfs mount mail /srv/mail -o allow_other,noexec'))
    .action(async (volume: string, mountPoint: string, flags) => {
      const chosen = flags.driver === undefined ? [] : [`driver=${flags.driver}`]
      const lists: readonly string[] = [...(flags.o ?? []), ...chosen]
      const settings = parseMountOptions(lists)
      const fstab = flags.fstab === true
      if (fstab && lists.length > 0) {
        throw usageError('mount', 'options are given beside --fstab', 'leave one of them out')
      }
      const foreground = flags.foreground === true
      const { dir, logLevel } = flags
      const options = { volume, mountPoint, dir, foreground, settings, fstab, logLevel }
      done(await commands.mount(options))
    })
  program
    .command('unmount <MOUNTPOINT>')
    .description('hand back what this member holds, unmount, and wait for the daemon to end')
    .option('--lazy', 'detach at once, also when files are open')
    .option('--timeout <SECONDS>', 'give up after this time', parseTimeout, 60_000)
    .addHelpText('after', examples('tandemfs unmount /srv/mail'))
    .action(async (mountPoint: string, flags) => {
      const lazy = flags.lazy === true
      done(await commands.unmount({ mountPoint, lazy, timeoutMs: flags.timeout }))
    })
  program
    .command('status [TARGET]')
    .usage('[options] [VOLUME|MOUNTPOINT]')
    .description('show members, epoch, lag, lease, tokens and space')
    .option('--json', 'one JSON object for each volume, one a line')
    .option('--watch', 'repeat every second until interrupted')
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .addHelpText('after', examples('tandemfs status', 'tandemfs status /srv/mail --json'))
    .action(async (target: string | undefined, flags) => {
      const json = flags.json === true
      const watch = flags.watch === true
      done(await commands.status({ target, dir: flags.dir, json, watch }))
    })
  program
    .command('locks [TARGET]')
    .usage('[options] [PATH|VOLUME]')
    .description('show file locks: who holds them, who waits, since when')
    .option('--json', 'one JSON object for each volume, one a line')
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .addHelpText('after', examples('tandemfs locks', 'tandemfs locks /srv/mail/inbox'))
    .action(async (target: string | undefined, flags) => {
      done(await commands.locks({ target, dir: flags.dir, json: flags.json === true }))
    })
}

function describeSystem(program: Command, commands: Commands, done: Done): void {
  program
    .command('fstab <VOLUME> [MOUNTPOINT]')
    .description('show or install what mounts a volume at boot: fstab line, helpers, systemd unit')
    .option('--install', 'install it; twice changes nothing')
    .option('--uninstall', 'take all of it away again')
    .option('-o <OPTIONS>', 'mount options for the line', collect)
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .option('--root <DIR>', 'folder that stands for / in the paths of the files', '/')
    .addHelpText(
      'after',
      examples('tandemfs fstab mail /srv/mail', 'tandemfs fstab mail /srv/mail --install -o noexec')
    )
    .action(async (volume: string, mountPoint: string | undefined, flags) => {
      if (flags.install && flags.uninstall) {
        throw usageError('fstab', '--install and --uninstall at once', 'leave one of them out')
      }
      const action = flags.install ? 'install' : flags.uninstall ? 'uninstall' : 'show'
      const lists: readonly string[] = flags.o ?? []
      parseMountOptions(lists)
      const mountOptions = lists.length === 0 ? undefined : lists.join(',')
      const { dir, root } = flags
      done(await commands.fstab({ volume, mountPoint, dir, action, mountOptions, root }))
    })
  program
    .command('salvage <VOLUME> [ACTION] [NAME]')
    .usage('[options] <VOLUME> [list | extract NAME --to DIR]')
    .description('what this member wrote while it was cut off and the volume does not have')
    .option('--to <DIR>', 'folder in which extract makes one named NAME')
    .option('--dir <DIR>', DIR_HELP, DEFAULT_DIR)
    .addHelpText(
      'after',
      examples('tandemfs salvage mail', 'tandemfs salvage mail extract state-0001 --to /root')
    )
    .action(async (volume: string, action: string | undefined, name: string | undefined, flags) => {
      const { dir, to } = flags
      const lists = (action === undefined || action === 'list') && name === undefined
      if (lists && to === undefined) {
        done(await commands.salvage({ volume, dir, extract: undefined }))
      } else if (action === 'extract' && name !== undefined && to !== undefined) {
        done(await commands.salvage({ volume, dir, extract: { name, to } }))
      } else {
        const why = "it is neither 'list' nor 'extract NAME --to DIR'"
        throw usageError('salvage', why, "see 'salvage --help'")
      }
    })
}

type Done = (code: number) => void

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value]
}

function buildProgram(commands: Commands, context: CommandContext, done: Done): Command {
  const program = new Command('tandemfs')
  program
    .description('one shared directory on two to seven servers, every server with a full copy')
    .helpCommand(false)
    .version(programVersion(), '-V, --version', 'show the version')
    .addHelpText('after', exitCodesHelp())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.print(text.replace(/\n$/, '')),
      writeErr: () => {}
    })
  describeMembership(program, commands, done)
  describeMounting(program, commands, done)
  describeSystem(program, commands, done)
  describeWitness(program, commands, done)
  describeRecovery(program, commands, done)
  for (const command of program.commands) {
    command.exitOverride().copyInheritedSettings(program)
    command.allowExcessArguments(false)
  }
  return program
}

function explainUsage(error: CommanderError): Error {
  const why = error.message.replace(/^error: /, '').replace(/\n.*/s, '')
  return usageError('command line', why, "see 'tandemfs --help'")
}

/** Parses and runs `args`. Resolves with the exit code; throws UserError. */
export async function runProgram(
  args: readonly string[],
  commands: Commands,
  context: CommandContext
): Promise<number> {
  let code: number = ExitCode.ok satisfies ExitCodeValue
  const program = buildProgram(commands, context, (result) => {
    code = result
  })
  try {
    if (args.length === 0) throw usageError('command line', 'no command', "see 'tandemfs --help'")
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return ExitCode.ok
    throw explainUsage(error)
  }
}
