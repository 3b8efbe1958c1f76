/** Entry point of the `tandemfs` command. Commands are loaded when they run, so it starts fast. */
import { explainError } from '../daemon/explain-error.ts'
import { errorLine } from '../daemon/user-error.ts'
import type { CommandContext, Commands } from './command-options.ts'
import { runProgram } from './program.ts'

const context: CommandContext = {
  print: (text) => {
    process.stdout.write(`${text}\n`)
  }
}

const commands: Commands = {
  create: async (options) => (await import('./commands/create.ts')).runCreate(options, context),
  invite: async (options) => (await import('./commands/invite.ts')).runInvite(options, context),
  join: async (options) => (await import('./commands/join.ts')).runJoin(options, context),
  mount: async (options) => (await import('./commands/mount.ts')).runMount(options, context),
  unmount: async (options) => (await import('./commands/unmount.ts')).runUnmount(options, context),
  status: async (options) => (await import('./commands/status.ts')).runStatus(options, context),
  locks: async (options) => (await import('./commands/locks.ts')).runLocks(options, context),
  members: async (options) => (await import('./commands/members.ts')).runMembers(options, context),
  fstab: async (options) => (await import('./commands/fstab.ts')).runFstab(options, context),
  salvage: async (options) => (await import('./commands/salvage.ts')).runSalvage(options, context),
  witness: async (options) => (await import('./commands/witness.ts')).runWitness(options, context),
  recover: async (options) => (await import('./commands/recover.ts')).runRecover(options, context)
}

/** Output into a pipe that was closed (`status | head`) is no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})

try {
  process.exitCode = await runProgram(process.argv.slice(2), commands, context)
} catch (error) {
  const what = process.argv.slice(2, 3).join('') || 'command line'
  const explained = explainError(error, what)
  process.stderr.write(`${errorLine(explained)}\n`)
  if (process.env['TANDEMFS_DEBUG'] && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`)
  }
  process.exitCode = explained.exitCode
}
