/**
 * An N-node volume on this machine, made and run through the real command line in a scratch folder.
 * Owns every process, mount and file it makes: close() leaves nothing behind, also after failures,
 * and so does the end of the process. Nothing here touches a mounted path: workers do.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mustRun, runCli } from './cli.ts'
import { isReference } from './sizes.ts'
import {
  detachMountsBelow,
  freePort,
  isAlive,
  isMounted,
  mountsBelow,
  processesNaming,
  waitFor
} from './system.ts'
import { Worker } from './worker-client.ts'

export interface ClusterOptions {
  readonly nodeCount?: number
  /** Called with each node's folder before its state is made there. */
  readonly prepare?: (folder: string, index: number) => void
  readonly mounted?: boolean
  /** Further words of the mount command. */
  readonly mountOptions?: readonly string[]
}

const VOLUME = 'shared'
const EXIT_LIMIT_MS = 15_000
const openClusters = new Set<Cluster>()

process.on('exit', () => {
  for (const cluster of openClusters) cluster.destroyNow()
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(130))
}

export class ClusterNode {
  readonly name: string
  /** The node's own folder: state directory and mount point are below it. */
  readonly folder: string
  readonly stateDir: string
  readonly mountPath: string
  readonly port: number
  readonly #workers = new Set<Worker>()

  constructor(name: string, folder: string, mountPath: string, port: number) {
    this.name = name
    this.folder = folder
    this.stateDir = join(folder, 'state', VOLUME)
    this.mountPath = mountPath
    this.port = port
  }

  /** The first member is named after the host, as `create` does. */
  get memberName(): string {
    const record = readFileSync(join(this.stateDir, 'record'), 'utf8')
    const { members } = JSON.parse(record.slice(record.indexOf('\n') + 1))
    return members[0].name
  }

  /** Path of `relative` on this node's mount. */
  path(relative: string): string {
    return relative === '' ? this.mountPath : join(this.mountPath, relative)
  }

  worker(): Worker {
    const worker = new Worker()
    this.#workers.add(worker)
    return worker
  }

  async mount(...options: readonly string[]): Promise<void> {
    if (isReference) return
    await mustRun(['mount', this.stateDir, this.mountPath, ...options])
  }

  async unmount(...options: readonly string[]): Promise<void> {
    if (isReference) return
    await mustRun(['unmount', this.mountPath, ...options])
  }

  /** The daemon's process id, or undefined when none is running. */
  pid(): number | undefined {
    try {
      const pid = Number(readFileSync(join(this.stateDir, 'daemon.pid'), 'utf8').trim())
      return pid > 1 && isAlive(pid) ? pid : undefined
    } catch {
      return undefined
    }
  }

  /** Kills the daemon and returns when it is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const pid = this.pid()
    if (pid === undefined) throw new Error(`${this.name}: no daemon to kill`)
    process.kill(pid, signal)
    await waitFor(`${this.name}: daemon ${pid} gone`, EXIT_LIMIT_MS, () => !isAlive(pid))
  }

  async status(): Promise<{ readonly code: number; readonly report: Record<string, unknown> }> {
    const answer = await runCli(['status', this.stateDir, '--json'])
    const text = answer.stdout.trim()
    return { code: answer.code, report: text === '' ? {} : JSON.parse(text) }
  }

  log(): string {
    try {
      return readFileSync(join(this.stateDir, 'daemon.log'), 'utf8')
    } catch {
      return ''
    }
  }

  killWorkers(): void {
    for (const worker of this.#workers) worker.kill()
    this.#workers.clear()
  }

  killDaemonNow(): void {
    const pid = this.pid()
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  }
}

export class Cluster {
  readonly scratch: string
  readonly nodes: ClusterNode[] = []

  constructor() {
    this.scratch = mkdtempSync(join(tmpdir(), 'tandemfs-test-'))
    openClusters.add(this)
  }

  node(index: number): ClusterNode {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`no node ${index}`)
    return node
  }

  /** A new code that lets one machine join. */
  async invite(...options: readonly string[]): Promise<string> {
    const answer = await mustRun(['invite', this.node(0).stateDir, ...options])
    const code = answer.stdout.trim().split('\n').at(-1)?.trim() ?? ''
    if (code === '') throw new Error('invite printed no code')
    return code
  }

  /** Makes the first member or joins one more; its folder exists, nothing is mounted yet. */
  async addNode(options: ClusterOptions = {}): Promise<ClusterNode> {
    const index = this.nodes.length
    const name = `node-${'abcdefg'[index]}`
    const folder = join(this.scratch, name)
    const mountPath = isReference ? join(this.scratch, 'mount') : join(folder, 'mount')
    mkdirSync(mountPath, { recursive: true })
    mkdirSync(join(folder, 'state'), { recursive: true })
    options.prepare?.(folder, index)
    const node = new ClusterNode(name, folder, mountPath, isReference ? 0 : await freePort())
    if (!isReference) {
      const place = ['--dir', join(folder, 'state'), '--listen', `127.0.0.1:${node.port}`]
      if (index === 0) await mustRun(['create', VOLUME, ...place])
      else await mustRun(['join', await this.invite(), ...place, '--name', name])
    }
    this.nodes.push(node)
    return node
  }

  /** Ends everything and checks that nothing is left; throws what was. */
  async close(): Promise<void> {
    for (const node of this.nodes) node.killWorkers()
    const complaints: string[] = []
    if (!isReference) {
      for (const node of [...this.nodes].reverse()) {
        if (!isMounted(node.mountPath)) continue
        const answer = await runCli(['unmount', node.mountPath], { deadlineMs: 30_000 })
        if (answer.code !== 0) {
          complaints.push(
            `${node.name}: unmount ended with ${answer.code}: ${answer.stderr.trim()}`
          )
        }
      }
      complaints.push(...(await this.#leftovers()))
    }
    this.destroyNow()
    if (complaints.length > 0) throw new Error(complaints.join('; '))
  }

  /** Synchronous and unconditional: for failures and the end of the process. */
  destroyNow(): void {
    openClusters.delete(this)
    for (const node of this.nodes) node.killWorkers()
    for (const pid of processesNaming(this.scratch)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended meanwhile.
      }
    }
    detachMountsBelow(this.scratch)
    // Never walk into a mount that could not be detached: that would delete the shared files.
    if (mountsBelow(this.scratch).length === 0)
      rmSync(this.scratch, { recursive: true, force: true })
  }

  async #leftovers(): Promise<string[]> {
    const isFuse = (type: string): boolean => type.startsWith('fuse')
    try {
      await waitFor('processes ended', EXIT_LIMIT_MS, () => {
        return processesNaming(this.scratch).filter(isAlive).length === 0
      })
    } catch {
      return processesNaming(this.scratch).map((pid) => `process ${pid} left behind`)
    }
    return mountsBelow(this.scratch)
      .filter((mount) => isFuse(mount.type))
      .map((mount) => `mount ${mount.mountPath} left behind`)
  }
}

/**
 * A volume with `nodeCount` members (2 when not said), mounted unless asked otherwise. The vote of
 * the first counts twice, so that it goes on when the others are killed, and starts without them.
 */
export async function makeCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = new Cluster()
  try {
    for (let index = 0; index < (options.nodeCount ?? 2); index++) {
      const node = await cluster.addNode(options)
      // The first member must run to admit the others.
      if (options.mounted !== false || index === 0) {
        await node.mount(...(options.mountOptions ?? []))
      }
    }
    const first = cluster.node(0)
    if (!isReference) await mustRun(['members', first.stateDir, 'tie-breaker', first.memberName])
    return cluster
  } catch (error) {
    const log = cluster.nodes.map((node) => node.log().slice(-2000)).join('\n')
    cluster.destroyNow()
    throw new Error(`the volume could not be made: ${String(error)}\n${log}`)
  }
}
