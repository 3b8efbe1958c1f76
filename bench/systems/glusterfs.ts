/**
 * GlusterFS with two data bricks and an arbiter, each with its own glusterd on its own machine, and
 * a client mount on the two data nodes; settings as the packages have them. Its state is below the
 * scratch folder; what its programs insist on keeping in system folders goes to folders that only
 * they see.
 */
import { mkdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, processesNaming, waitFor } from '../../test/helpers/system.ts'
import { run, succeeds } from '../children.ts'
import type { Network } from './network.ts'
import type { System } from './system.ts'

const VOLUME = 'bench'
const NODES = 3
const LIMIT_MS = 60_000
/** Hidden from glusterd and what it starts behind folders of their own. */
const SYSTEM_FOLDERS = ['/var/lib/glusterd', '/var/run/gluster', '/var/log/glusterfs']

/** A shell command behind the system folders that only it sees. */
function hidden(command: string): string[] {
  const hide = SYSTEM_FOLDERS.map((path) => `mount -t tmpfs tmpfs ${path}`)
  const script = [...hide, `exec ${command}`].join(' && ')
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script]
}

/** The package's own, with other folders. */
function settings(folder: string): string {
  return `volume management
    type mgmt/glusterd
    option working-directory ${folder}/lib
    option run-directory ${folder}/run
    option logging-directory ${folder}/log
    option glusterd-sockfile ${folder}/run/glusterd.socket
    option transport-type socket
    option transport.socket.listen-port 24007
    option transport.socket.keepalive-time 10
    option transport.socket.keepalive-interval 2
    option transport.socket.read-fail-log off
    option ping-timeout 0
    option event-threads 1
end-volume
`
}

/** All its programs are one file; what merely works below the mount is another. */
function isGluster(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`).endsWith('/glusterfsd')
  } catch {
    return false
  }
}

class Gluster {
  readonly #folder: string
  readonly #network: Network

  constructor(folder: string, network: Network) {
    this.#folder = folder
    this.#network = network
  }

  node(index: number): string {
    return join(this.#folder, `node-${'abc'[index]}`)
  }

  mountPath(index: number): string {
    return join(this.node(index), 'mount')
  }

  async open(): Promise<void> {
    for (let index = 0; index < NODES; index++) await this.#startNode(index)
    for (let index = 1; index < NODES; index++) {
      await this.#gluster('peer', 'probe', this.#network.address(index))
    }
    await waitFor('the GlusterFS nodes know each other', LIMIT_MS, async () => {
      const { stdout } = await this.#gluster('peer', 'status')
      return stdout.split('Peer in Cluster (Connected)').length === NODES
    })
    const bricks = [...Array(NODES).keys()].map(
      (index) => `${this.#network.address(index)}:${this.node(index)}/brick`
    )
    const kind = ['replica', '2', 'arbiter', '1']
    await this.#gluster('volume', 'create', VOLUME, ...kind, ...bricks, 'force')
    await this.#gluster('volume', 'start', VOLUME)
    for (const index of [0, 1]) await this.#mount(index)
  }

  async close(): Promise<void> {
    for (const index of [0, 1]) await succeeds(['umount', this.mountPath(index)])
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (const pid of processesNaming(`${this.#folder}/`)) process.kill(pid, signal)
      const gone = () => processesNaming(`${this.#folder}/`).length === 0
      try {
        await waitFor('GlusterFS ended', 10_000, gone)
        return
      } catch (error) {
        if (signal === 'SIGKILL') throw error
      }
    }
  }

  async #startNode(index: number): Promise<void> {
    const folder = this.node(index)
    for (const name of ['lib', 'run', 'log', 'brick', 'mount']) {
      mkdirSync(join(folder, name), { recursive: true })
    }
    const file = join(folder, 'glusterd.vol')
    writeFileSync(file, settings(folder))
    const files = [
      '-f',
      file,
      '-p',
      `${folder}/run/glusterd.pid`,
      '-l',
      `${folder}/log/glusterd.log`
    ]
    await run([...this.#network.enter(index), ...hidden(`glusterd ${files.join(' ')}`)])
    await waitFor(`glusterd of ${folder} answers`, LIMIT_MS, () =>
      succeeds(this.#command(index, ['peer', 'status']))
    )
  }

  async #mount(index: number): Promise<void> {
    const log = join(this.node(index), 'log/client.log')
    const server = ['-s', this.#network.address(index), `--volfile-id=${VOLUME}`, '-l', log]
    const path = this.mountPath(index)
    await run([...this.#network.enter(index), 'glusterfs', ...server, path])
    // Also waits until the bricks are connected: before that the root does not answer.
    await waitFor(`${path} answers`, LIMIT_MS, () =>
      succeeds(['sh', '-c', `touch '${path}/.ready' && rm '${path}/.ready'`], { limitMs: 10_000 })
    )
  }

  #command(index: number, args: readonly string[]): string[] {
    const folder = this.node(index)
    const options = [
      '--mode=script',
      `--glusterd-sock=${folder}/run/glusterd.socket`,
      `--log-file=${folder}/log/cli.log`
    ]
    const command = ['gluster', ...options, ...args].join(' ')
    return [...this.#network.enter(index), ...hidden(command)]
  }

  #gluster(...args: string[]) {
    return run(this.#command(0, args), { limitMs: LIMIT_MS })
  }
}

async function versionOf(): Promise<string> {
  const { stdout } = await run(['glusterfs', '--version'])
  return stdout.split('\n')[0]?.replace('glusterfs ', '') ?? 'unknown version'
}

export async function openGlusterfs(folder: string, network: Network): Promise<System> {
  if (!hasProgram('glusterd')) {
    throw new Error('GlusterFS is not installed (Debian: apt-get install glusterfs-server)')
  }
  if (!network.separate) throw new Error('GlusterFS needs network namespaces: root and iproute2')
  mkdirSync(folder)
  const gluster = new Gluster(folder, network)
  try {
    await gluster.open()
  } catch (error) {
    await gluster.close()
    throw error
  }
  return {
    name: 'GlusterFS',
    description: `${await versionOf()}, replica 2 + arbiter, settings of the package`,
    folders: [gluster.mountPath(0), gluster.mountPath(1)],
    groups: [...Array(NODES).keys()].map((index) => ({
      name: index === 2 ? 'arbiter' : `node-${'ab'[index]}`,
      pids: () => processesNaming(`${gluster.node(index)}/`).filter(isGluster)
    })),
    close: () => gluster.close()
  }
}
