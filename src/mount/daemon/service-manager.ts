/**
 * What a service manager wants to know of a daemon in the foreground (sd_notify(3)): ready, what it
 * does, that it lives, that it stops. Sent as datagrams to $NOTIFY_SOCKET by the addon, or without
 * it by systemd-notify(1), whose unit has to allow it (NotifyAccess=all).
 */
import { spawn } from 'node:child_process'
import type { Logger } from '../../fs/ports/logger.ts'
import { loadAddon } from '../channel/load-addon.ts'
import { oneLine } from './user-error.ts'

const STATUS_MS = 5000
const STATUS_MAX_LENGTH = 200

export interface ServiceManager {
  /** Text for `systemctl status`. */
  status(text: string): void
  /** `describe` is asked every few seconds from now on, and what it says is passed on. */
  ready(describe: () => string): void
  stopping(): void
}

export type SendNotification = (socketPath: string, text: string) => void

const nobody: ServiceManager = { status: () => {}, ready: () => {}, stopping: () => {} }

/** The one that started this process, if there is one. */
export function serviceManager(
  logger: Logger,
  env: Readonly<Record<string, string | undefined>> = process.env,
  send: SendNotification = sendNotification
): ServiceManager {
  const socketPath = env['NOTIFY_SOCKET']
  if (socketPath === undefined || socketPath === '') return nobody
  return new Notifier(logger, { socketPath, watchdogUs: Number(env['WATCHDOG_USEC'] ?? 0), send })
}

function sendNotification(socketPath: string, text: string): void {
  const { addon } = loadAddon()
  if (addon !== undefined) {
    addon.sendDatagram(socketPath, text)
    return
  }
  const child = spawn('systemd-notify', text.split('\n'), { stdio: 'ignore' })
  // Without the program there is nobody to tell; the unit's own time limit says so.
  child.on('error', () => {})
}

class Notifier implements ServiceManager {
  readonly #logger: Logger
  readonly #options: {
    readonly socketPath: string
    readonly watchdogUs: number
    readonly send: SendNotification
  }
  #said = ''
  #timer: NodeJS.Timeout | undefined

  constructor(
    logger: Logger,
    options: {
      readonly socketPath: string
      readonly watchdogUs: number
      readonly send: SendNotification
    }
  ) {
    this.#logger = logger
    this.#options = options
  }

  status(text: string): void {
    const line = oneLine(text).slice(0, STATUS_MAX_LENGTH)
    if (line === this.#said) return
    this.#said = line
    this.#send(`STATUS=${line}`)
  }

  ready(describe: () => string): void {
    this.#send('READY=1')
    this.status(describe())
    const { watchdogUs } = this.#options
    const periodMs = watchdogUs > 0 ? Math.min(STATUS_MS, watchdogUs / 2000) : STATUS_MS
    this.#timer = setInterval(() => {
      if (watchdogUs > 0) this.#send('WATCHDOG=1')
      this.status(describe())
    }, periodMs)
    this.#timer.unref()
  }

  stopping(): void {
    clearInterval(this.#timer)
    this.#send('STOPPING=1')
    this.status('stopping')
  }

  #send(text: string): void {
    try {
      this.#options.send(this.#options.socketPath, text)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#logger.warn({ why, text }, 'the service manager could not be told')
    }
  }
}
