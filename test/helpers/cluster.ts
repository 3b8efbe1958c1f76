/**
 * An N-node volume on this machine, made and run through the real command line in a scratch folder.
 * Owns every process, mount and file it makes: close() leaves nothing behind, also after failures,
 * and so does the end of the process. Nothing here touches a mounted path: workers do.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CliAnswer, mustRun, runCli } from './cli.ts'
import { Network } from './network.ts'
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
  /** All connections between the members go through `cluster.network()`. */
  readonly network?: boolean
  /**
   * Who goes on when a member is lost: with the tie-breaker (the default) the first node, whoever
   * reaches the witness, which runs unless `mounted` is false, or a plain majority of the nodes.
   */
  readonly voting?: 'tie-breaker' | 'witness' | 'plain'
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

/** A member of the volume on this machine: its state directory and its daemon. */
export class ClusterMember {
  readonly name: string
  /** Its number in the record: members are numbered as they join. */
  readonly id: number
  /** The member's own folder: everything it has is below it. */
  readonly folder: string
  readonly stateDir: string
  readonly port: number

  constructor(name: string, id: number, folder: string, port: number) {
    this.name = name
    this.id = id
    this.folder = folder
    this.stateDir = join(folder, 'state', VOLUME)
    this.port = port
  }

  /** The first member is named after the host, as `create` does. */
  get memberName(): string {
    const record = readFileSync(join(this.stateDir, 'record'), 'utf8')
    const { members } = JSON.parse(record.slice(record.indexOf('\n') + 1))
    return members[0].name
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
    const pid = this.signal(signal)
    await waitFor(`${this.name}: daemon ${pid} gone`, EXIT_LIMIT_MS, () => !isAlive(pid))
  }

  /** Returns the daemon's process id. */
  signal(signal: NodeJS.Signals): number {
    const pid = this.pid()
    if (pid === undefined) throw new Error(`${this.name}: no daemon for ${signal}`)
    process.kill(pid, signal)
    return pid
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

  killDaemonNow(): void {
    const pid = this.pid()
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  }
}

/** A member with a mount, and the workers that use it. */
export class ClusterNode extends ClusterMember {
  readonly mountPath: string
  readonly #workers = new Set<Worker>()

  constructor(name: string, id: number, folder: string, mountPath: string, port: number) {
    super(name, id, folder, port)
    this.mountPath = mountPath
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

  killWorkers(): void {
    for (const worker of this.#workers) worker.kill()
    this.#workers.clear()
  }
}

/** A member that only votes. */
export class ClusterWitness extends ClusterMember {
  async start(): Promise<void> {
    await mustRun(['witness', this.stateDir])
  }
}

export class Cluster {
  readonly scratch: string
  readonly nodes: ClusterNode[] = []
  #witness: ClusterWitness | undefined
  #network: Network | undefined

  constructor() {
    this.scratch = mkdtempSync(join(tmpdir(), 'tandemfs-test-'))
    openClusters.add(this)
  }

  node(index: number): ClusterNode {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`no node ${index}`)
    return node
  }

  get witness(): ClusterWitness {
    if (this.#witness === undefined) throw new Error('this volume has no witness')
    return this.#witness
  }

  /** Everything that passes between the members; for volumes made with `network`. */
  get network(): Network {
    this.#network ??= new Network(this.scratch)
    return this.#network
  }

  /** A new code that lets one machine join, from whoever is the authority. */
  async invite(...options: readonly string[]): Promise<string> {
    let answer: CliAnswer | undefined
    for (const node of this.nodes) {
      answer = await runCli(['invite', node.stateDir, ...options])
      const code = answer.stdout.trim().split('\n').at(-1)?.trim() ?? ''
      if (answer.code === 0 && code !== '') return code
    }
    throw new Error(`no member invites: ${answer?.stderr.trim()}`)
  }

  /** Makes the first member or joins one more; its folder exists, nothing is mounted yet. */
  async addNode(options: ClusterOptions = {}): Promise<ClusterNode> {
    const index = this.nodes.length
    const name = `node-${'abcdefg'[index]}`
    const { folder, port } = await this.#prepareFolder(name)
    const mountPath = isReference ? join(this.scratch, 'mount') : join(folder, 'mount')
    mkdirSync(mountPath, { recursive: true })
    options.prepare?.(folder, index)
    const id = this.#nextId()
    const node = new ClusterNode(name, id, folder, mountPath, port)
    if (!isReference) {
      const place = await this.#placeOf(node, options)
      if (index === 0) await mustRun(['create', VOLUME, ...place])
      else await mustRun(['join', await this.invite(), ...place, '--name', name])
    }
    this.nodes.push(node)
    return node
  }

  /** Joins a witness; it does not run yet. */
  async addWitness(options: ClusterOptions = {}): Promise<ClusterWitness> {
    const name = 'witness'
    const { folder, port } = await this.#prepareFolder(name)
    const witness = new ClusterWitness(name, this.#nextId(), folder, port)
    const place = await this.#placeOf(witness, options)
    await mustRun(['join', await this.invite('--witness'), ...place, '--name', name])
    this.#witness = witness
    return witness
  }

  #nextId(): number {
    return this.nodes.length + (this.#witness === undefined ? 1 : 2)
  }

  async #prepareFolder(name: string): Promise<{ readonly folder: string; readonly port: number }> {
    const folder = join(this.scratch, name)
    mkdirSync(join(folder, 'state'), { recursive: true })
    return { folder, port: isReference ? 0 : await freePort() }
  }

  async #placeOf(member: ClusterMember, options: ClusterOptions): Promise<string[]> {
    const { name, folder, port, stateDir } = member
    const place = ['--dir', join(folder, 'state'), '--listen', `127.0.0.1:${port}`]
    if (!options.network) return place
    const seenAt = await this.network.addMember(name, port, join(stateDir, 'daemon.pid'))
    return [...place, '--advertise', `127.0.0.1:${seenAt}`]
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
      if (this.#witness?.pid() !== undefined) await this.#witness.kill('SIGTERM')
      this.#network?.close()
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
    if (options.voting === 'witness') {
      const witness = await cluster.addWitness(options)
      if (options.mounted !== false) await witness.start()
    } else if (options.voting !== 'plain' && !isReference) {
      const first = cluster.node(0)
      await mustRun(['members', first.stateDir, 'tie-breaker', first.memberName])
    }
    return cluster
  } catch (error) {
    const log = cluster.nodes.map((node) => node.log().slice(-2000)).join('\n')
    cluster.destroyNow()
    throw new Error(`the volume could not be made: ${String(error)}\n${log}`)
  }
}
