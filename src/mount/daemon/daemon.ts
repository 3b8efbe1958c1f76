/**
 * The daemon shell around one member: state directory lock, pid file, control socket, signals and
 * the life cycle starting -> serving -> stopping -> ended. It knows nothing of what the member does.
 *
 * A fault nobody handles ends the process at once with a log line and leaves the mount dead
 * (ENOTCONN): files served from an unknown state, or a mount point showing the empty directory
 * below, would be worse. The next `tandemfs mount` detaches it.
 */
import { rmSync, writeFileSync } from 'node:fs'
import type { Logger } from '../../fs/ports/logger.ts'
import { BEING_MOUNTED, BEING_UNMOUNTED } from './control-protocol.ts'
import { ControlServer } from './control-server.ts'
import type { DaemonArguments } from './daemon-arguments.ts'
import { ExitCode } from './exit-codes.ts'
import { explainError, toControlError } from './explain-error.ts'
import type { HandBack } from './hand-back.ts'
import { formatMountOptions, parseMountOptions } from './mount-options.ts'
import type { ComposeNode, NodeStatus, StopReason, TandemNode } from './node-api.ts'
import type { ServiceManager } from './service-manager.ts'
import { type StateFiles, stateFiles } from './state-files.ts'
import { StateLock } from './state-lock.ts'
import { errorLine, UserError } from './user-error.ts'

const SIGNAL_STOP_LIMIT_MS = 60_000

export interface DaemonComponents {
  readonly compose: ComposeNode
  readonly logger: Logger
  readonly services: ServiceManager
  /** Tells the launcher; resolves when it has been sent. */
  readonly handBack: (message: HandBack) => Promise<void>
  readonly exit: (code: number) => void
}

type Phase = 'starting' | 'serving' | 'stopping' | 'ended'

export class Daemon {
  readonly #components: DaemonComponents
  readonly #logger: Logger
  readonly #daemon: DaemonArguments
  readonly #files: StateFiles
  #phase: Phase = 'starting'
  #lock: StateLock | undefined
  #control: ControlServer | undefined
  #node: TandemNode | undefined
  #stopping: Promise<void> | undefined

  constructor(components: DaemonComponents, daemon: DaemonArguments) {
    this.#components = components
    this.#logger = components.logger
    this.#daemon = daemon
    this.#files = stateFiles(daemon.stateDir)
  }

  /** Resolves when the volume is served, or when it could not be and that was handed back. */
  async start(): Promise<void> {
    const { stateDir, mountPoint, source, settings } = this.#daemon
    try {
      this.#lock = StateLock.acquire(stateDir)
      writeFileSync(this.#files.pid, `${process.pid}\n`, { mode: 0o600 })
      const node = this.#components.compose(
        { logger: this.#logger },
        { stateDir, mountPoint, source, settings }
      )
      this.#node = node
      node.onFatal((error) => this.fail(error))
      node.onUnmounted(() => void this.stop('unmounted'))
      await this.#listen(node)
      this.#components.services.status('starting: waiting until the volume can be served')
      await node.start()
    } catch (error) {
      if (this.#phase === 'starting') await this.#giveUp(error)
      return
    }
    if (this.#phase !== 'starting') return
    this.#phase = 'serving'
    this.#logger.info({ mountPoint, stateDir }, 'serving')
    this.#components.services.ready(() => this.#describe())
    await this.#components.handBack({ kind: 'ready', pid: process.pid })
  }

  #describe(): string {
    try {
      return this.#node === undefined ? 'starting' : statusLine(this.#node.status())
    } catch (error) {
      if (error instanceof UserError) return error.why
      throw error
    }
  }

  /** Unmounts, even when files are open, and ends the process. Breaks off a start. */
  async stop(reason: StopReason): Promise<void> {
    const wasStarting = this.#phase === 'starting'
    const timer = setTimeout(() => {
      this.fail(new Error(`not stopped within ${SIGNAL_STOP_LIMIT_MS / 1000} s`))
    }, SIGNAL_STOP_LIMIT_MS)
    try {
      await this.#stopNode(reason, true)
      if (wasStarting) await this.#handBackBrokenOff(reason)
      await this.#end(ExitCode.ok)
    } catch (error) {
      this.fail(error)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Nothing can be trusted any more: a log line, and the process ends without going on. */
  fail(error: unknown): void {
    if (this.#phase === 'ended') return
    const wasStarting = this.#phase === 'starting'
    this.#phase = 'ended'
    const explained = explainError(error, `serve ${this.#daemon.mountPoint}`)
    const stack = error instanceof Error ? error.stack : String(error)
    this.#logger.error({ stack, exitCode: explained.exitCode }, 'fatal, the daemon ends')
    const leave = () => this.#components.exit(explained.exitCode)
    if (!wasStarting) {
      leave()
      return
    }
    this.#components
      .handBack({ kind: 'failed', error: toControlError(explained) })
      .then(leave, leave)
  }

  async #listen(node: TandemNode): Promise<void> {
    const serving = <P, R>(handle: (params: P) => R) => {
      return (params: P): R => {
        if (this.#phase === 'serving') return handle(params)
        throw new UserError('notMounted', {
          what: this.#daemon.mountPoint,
          why: this.#phase === 'starting' ? BEING_MOUNTED : BEING_UNMOUNTED,
          remedy: 'try again when that is done'
        })
      }
    }
    const unlessStopping = <P, R>(handle: (params: P) => R) => {
      return (params: P): R =>
        this.#phase === 'starting' ? handle(params) : serving(handle)(params)
    }
    const control = new ControlServer(
      {
        logger: this.#logger,
        handlers: {
          status: unlessStopping(() => node.status()),
          locks: serving(({ below }) => node.locks(below ?? undefined)),
          invite: serving(async (request) => ({ code: await node.invite(request) })),
          removeMember: serving(async ({ name }) => {
            await node.removeMember(name)
            return null
          }),
          setTieBreaker: serving(async ({ name }) => {
            await node.setTieBreaker(name)
            return null
          }),
          configure: serving(async ({ options }) => {
            if (options !== null) await node.configure(parseMountOptions([options]))
            return { options: formatMountOptions(node.settings) }
          }),
          stop: async ({ lazy }) => await this.#stopByRequest(lazy)
        }
      },
      { socketPath: this.#files.control }
    )
    await control.start()
    this.#control = control
  }

  async #stopByRequest(lazy: boolean): Promise<{ pid: number }> {
    const wasStarting = this.#phase === 'starting'
    await this.#stopNode('unmount', lazy)
    if (wasStarting) await this.#handBackBrokenOff('unmount')
    // After this answer has been written.
    setImmediate(() => void this.#end(ExitCode.ok))
    return { pid: process.pid }
  }

  /** One stop runs at a time. When the mount is in use the node serves on and this rejects. */
  async #stopNode(reason: StopReason, lazy: boolean): Promise<void> {
    const node = this.#node
    if (node === undefined) return
    if (this.#stopping === undefined) {
      this.#phase = 'stopping'
      this.#logger.info({ reason, lazy }, 'stopping')
      this.#components.services.stopping()
      this.#stopping = node.stop(reason, { lazy })
    }
    try {
      await this.#stopping
    } catch (error) {
      this.#stopping = undefined
      const explained = explainError(error, `unmount ${this.#daemon.mountPoint}`)
      if (explained.exitCode === ExitCode.busy && this.#phase === 'stopping') {
        this.#phase = 'serving'
        this.#logger.info({ reason }, 'not stopped, the mount is in use')
        this.#components.services.ready(() => this.#describe())
      } else {
        setImmediate(() => this.fail(error))
      }
      throw explained
    }
  }

  async #handBackBrokenOff(reason: StopReason): Promise<void> {
    const error = new UserError('notMounted', {
      what: `mount ${this.#daemon.mountPoint}`,
      why: `stopped before it was ready (${reason})`,
      remedy: 'mount it again'
    })
    await this.#components.handBack({ kind: 'failed', error: toControlError(error) })
  }

  async #giveUp(error: unknown): Promise<void> {
    const explained = explainError(error, `mount ${this.#daemon.mountPoint}`)
    const stack = error instanceof Error ? error.stack : String(error)
    this.#logger.error({ stack, line: errorLine(explained) }, 'not started')
    await this.#components.handBack({ kind: 'failed', error: toControlError(explained) })
    await this.#end(explained.exitCode)
  }

  async #end(code: number): Promise<void> {
    if (this.#phase === 'ended') return
    this.#phase = 'ended'
    await this.#control?.stop()
    if (this.#lock !== undefined) rmSync(this.#files.pid, { force: true })
    this.#lock?.release()
    this.#logger.info({ code }, 'ended')
    this.#components.exit(code)
  }
}

/** One line for the service manager. */
function statusLine({ volume, mountPoint, authority, members, leaseLeftMs }: NodeStatus): string {
  const live = members.filter((member) => member.live).length
  const lives = `${live} of ${members.length} members live`
  if (mountPoint === null) return `voting for ${volume.name}: ${lives}`
  const where = `${volume.name} at ${mountPoint}`
  if (!authority.reachable || (leaseLeftMs !== null && leaseLeftMs <= 0)) {
    return `isolated: ${where}: ${authority.name} cannot be reached`
  }
  return `serving ${where}: ${lives}`
}
