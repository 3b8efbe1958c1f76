/** The daemon as a process: arguments, log, signals, faults, and the line to its launcher. */
import { writeSync } from 'node:fs'
import { Daemon } from './daemon.ts'
import { parseDaemonArguments } from './daemon-arguments.ts'
import type { HandBack } from './hand-back.ts'
import { createLogger, LogFile } from './log-file.ts'
import type { ComposeNode } from './node-api.ts'
import { serviceManager } from './service-manager.ts'
import { stateFiles } from './state-files.ts'

const SEND_LIMIT_MS = 2000

async function handBack(message: HandBack): Promise<void> {
  if (!process.connected) return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, SEND_LIMIT_MS)
    // A launcher that is gone needs no message; its disconnect stops the daemon.
    process.send?.(message, undefined, undefined, () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** Serves until it is stopped; the process ends through process.exit, with the code for it. */
export async function runDaemon(compose: ComposeNode, args: readonly string[]): Promise<void> {
  const daemonArguments = parseDaemonArguments(args)
  const { foreground, stateDir, logLevel } = daemonArguments
  const destination = foreground
    ? { write: (line: string) => writeSync(2, line) }
    : new LogFile(stateFiles(stateDir).log)
  const logger = createLogger(destination, { level: logLevel })
  let launched = false
  const daemon = new Daemon(
    {
      compose,
      logger,
      services: serviceManager(logger, foreground ? process.env : {}),
      handBack: async (message) => {
        await handBack(message)
        launched = true
        if (!foreground && process.connected) process.disconnect()
      },
      exit: (code) => process.exit(code)
    },
    daemonArguments
  )
  process.on('uncaughtException', (error) => daemon.fail(error))
  process.on('unhandledRejection', (error) => daemon.fail(error))
  process.on('SIGTERM', () => void daemon.stop('signal'))
  process.on('SIGINT', () => void daemon.stop('signal'))
  process.on('SIGHUP', () => {
    if (foreground) void daemon.stop('signal')
  })
  process.on('disconnect', () => {
    if (foreground || !launched) void daemon.stop('launcher-gone')
  })
  await daemon.start()
}
