/** One node of the demonstration: runs the real command for it, and a worker on its mount. */
import { type ChildProcess, execFile, fork } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { mountAt } from '../src/mount/cli/find-mounts.ts'
import type { Work, WorkDone } from './demo-worker.ts'

const COMMAND_LIMIT_MS = 120_000
const WORK_LIMIT_MS = 120_000

/** Folder of the checkout. */
export function projectRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder)
  return folder
}

export interface CommandOptions {
  /** Standard input. */
  readonly input?: string
  /** Ends the command, as Ctrl-C would. */
  readonly signal?: AbortSignal
}

/** Runs `tandemfs ARGS` as a user would; resolves with what it printed, rejects with its error. */
export function tandemfs(
  args: readonly string[],
  { input = '', signal }: CommandOptions = {}
): Promise<string> {
  const program = path.join(projectRoot(), 'bin/tandemfs.js')
  return new Promise((resolve, reject) => {
    const limits = { timeout: COMMAND_LIMIT_MS, encoding: 'utf8' } as const
    const options = signal === undefined ? limits : { ...limits, signal }
    const child = execFile(process.execPath, [program, ...args], options, (error, out, err) => {
      if (error === null) resolve(out.trim())
      else reject(new Error(err.trim() || `tandemfs ${args.join(' ')}: ${error.message}`))
    })
    child.stdin?.end(input)
  })
}

export class DemoNode {
  readonly name: string
  /** `--dir` of its commands. */
  readonly dir: string
  readonly stateDir: string
  readonly mountPoint: string
  #worker: ChildProcess | undefined
  #stopped = false

  constructor(scratch: string, name: string, volume: string) {
    this.name = name
    this.dir = path.join(scratch, `state-${name}`)
    this.stateDir = path.join(this.dir, volume)
    this.mountPoint = path.join(scratch, name)
    mkdirSync(this.mountPoint)
  }

  file(name: string): string {
    return path.join(this.mountPoint, name)
  }

  async mount(signal: AbortSignal): Promise<void> {
    await tandemfs(['mount', this.stateDir, this.mountPoint], { signal })
  }

  /** Does it in the worker; resolves with its result and the time it took there. */
  async work(work: Work): Promise<WorkDone> {
    if (this.#stopped) throw new Error(`${this.name}: stopped`)
    const worker = this.#startWorker()
    return await new Promise<WorkDone>((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer)
        worker.off('message', onMessage)
        worker.off('exit', onExit)
        act()
      }
      const onMessage = (answer: WorkDone | { readonly error: string }) => {
        if ('error' in answer) settle(() => reject(new Error(`${this.name}: ${answer.error}`)))
        else settle(() => resolve(answer))
      }
      const onExit = () => settle(() => reject(new Error(`${this.name}: its worker ended`)))
      const timer = setTimeout(() => {
        settle(() => reject(new Error(`${this.name}: ${work.do} took too long`)))
      }, WORK_LIMIT_MS)
      worker.on('message', onMessage)
      worker.on('exit', onExit)
      worker.send(work)
    })
  }

  /** SIGKILL, as a crash would; resolves when the process is gone. */
  async killDaemon(): Promise<void> {
    this.stopWorker()
    const pid = this.daemonPid()
    if (pid === undefined) throw new Error(`${this.name}: no daemon is running`)
    process.kill(pid, 'SIGKILL')
    await ended(pid)
  }

  stopWorker(): void {
    this.#worker?.kill('SIGKILL')
    this.#worker = undefined
  }

  /** No more work: what is running rejects. */
  stop(): void {
    this.#stopped = true
    this.stopWorker()
  }

  /** Leaves nothing: unmounts, by force if it has to be. Never throws. */
  async cleanUp(): Promise<void> {
    this.stop()
    const pid = this.daemonPid()
    for (const flags of [
      ['--timeout', '30'],
      ['--lazy', '--timeout', '5']
    ]) {
      if (!this.isMounted()) break
      await tandemfs(['unmount', this.mountPoint, ...flags]).catch(() => undefined)
    }
    if (pid === undefined) return
    try {
      process.kill(pid, 'SIGKILL')
      await ended(pid)
    } catch {
      // It has ended, as it should.
    }
    if (this.isMounted()) await tandemfs(['unmount', this.mountPoint]).catch(() => undefined)
  }

  isMounted(): boolean {
    return mountAt(this.mountPoint) !== undefined
  }

  /** Process id of the daemon, if the one of the pid file is still it. */
  daemonPid(): number | undefined {
    try {
      const pid = Number(readFileSync(path.join(this.stateDir, 'daemon.pid'), 'utf8'))
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      return command.includes(this.stateDir) ? pid : undefined
    } catch {
      return undefined
    }
  }

  #startWorker(): ChildProcess {
    if (this.#worker === undefined || !this.#worker.connected) {
      this.#worker = fork(fileURLToPath(new URL('./demo-worker.js', import.meta.url)))
    }
    return this.#worker
  }
}

async function ended(pid: number): Promise<void> {
  for (let waits = 0; existsSync(`/proc/${pid}`) && waits < 500; waits += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
