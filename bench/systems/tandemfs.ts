/**
 * A volume with two data members, made through the command line as an administrator would, and with
 * a witness where this build has one.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, processesNaming, waitFor } from '../../test/helpers/system.ts'
import { run } from '../children.ts'
import { projectRoot } from '../compile.ts'
import type { Network } from './network.ts'
import type { ProcessGroup, System } from './system.ts'

const VOLUME = 'bench'
const PORT = 4907
const START_LIMIT_MS = 90_000
/** A member that joins copies the volume first. */
const MOUNT_LIMIT_MS = 3_600_000

export interface Member {
  readonly name: string
  readonly stateDir: string
  readonly mountPath: string
}

const tandemfs = [process.execPath, join(projectRoot(), 'bin/tandemfs.js')]

/** One volume on a network; members are added one after the other. */
export class TandemVolume {
  readonly members: Member[] = []
  readonly #folder: string
  readonly #network: Network
  #witness: Member | undefined

  constructor(folder: string, network: Network) {
    this.#folder = folder
    this.#network = network
  }

  async addMember(): Promise<Member> {
    const index = this.members.length
    const member = await this.#makeState(index, `node-${'abcdefg'[index]}`, [])
    this.members.push(member)
    await this.mount(index)
    return member
  }

  /** False when this build has no witness. */
  async addWitness(index: number): Promise<boolean> {
    const { stdout } = await run([...tandemfs, '--help'])
    if (!/^ +witness /m.test(stdout)) return false
    this.#witness = await this.#makeState(index, 'witness', ['--witness'])
    await this.#run(index, ['witness', this.#witness.stateDir])
    return true
  }

  async mount(index: number): Promise<void> {
    const { stateDir, mountPath } = this.#member(index)
    try {
      const patience = ['-o', `mount_timeout=${MOUNT_LIMIT_MS / 1000}`]
      await this.#run(index, ['mount', ...patience, stateDir, mountPath], {
        limitMs: MOUNT_LIMIT_MS
      })
    } catch (error) {
      const log = readFileSync(join(stateDir, 'daemon.log'), 'utf8').slice(-2000)
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${log}`)
    }
  }

  async unmount(index: number): Promise<void> {
    await this.#run(index, ['unmount', this.#member(index).mountPath])
  }

  pid(index: number): number {
    return Number(readFileSync(join(this.#member(index).stateDir, 'daemon.pid'), 'utf8').trim())
  }

  groups(): ProcessGroup[] {
    const all = this.#witness === undefined ? this.members : [...this.members, this.#witness]
    return all.map(({ name, stateDir }) => ({ name, pids: () => processesNaming(stateDir) }))
  }

  async close(): Promise<void> {
    for (let index = this.members.length - 1; index >= 0; index--) await this.unmount(index)
    if (this.#witness === undefined) return
    const { stateDir } = this.#witness
    for (const pid of processesNaming(stateDir)) process.kill(pid, 'SIGTERM')
    await waitFor('the witness ended', 15_000, () => processesNaming(stateDir).length === 0)
  }

  #member(index: number): Member {
    const member = this.members[index]
    if (member === undefined) throw new Error(`no member ${index}`)
    return member
  }

  async #makeState(index: number, name: string, invitation: readonly string[]): Promise<Member> {
    const folder = join(this.#folder, name)
    const dir = join(folder, 'state')
    const mountPath = join(folder, 'mount')
    mkdirSync(dir, { recursive: true })
    mkdirSync(mountPath)
    const port = this.#network.separate ? PORT : await freePort()
    const place = ['--dir', dir, '--listen', `${this.#network.address(index)}:${port}`]
    if (index === 0) {
      await this.#run(index, ['create', VOLUME, ...place])
    } else {
      const { stdout } = await this.#run(0, ['invite', this.#member(0).stateDir, ...invitation])
      const code = stdout.trim().split('\n').at(-1)?.trim() ?? ''
      await this.#run(index, ['join', '-', ...place, '--name', name], { input: code })
    }
    return { name, stateDir: join(dir, VOLUME), mountPath }
  }

  #run(
    index: number,
    args: readonly string[],
    options: { readonly input?: string; readonly limitMs?: number } = {}
  ) {
    const argv = [...this.#network.enter(index), ...tandemfs, ...args]
    return run(argv, { limitMs: START_LIMIT_MS, ...options })
  }
}

export async function openTandemfs(folder: string, network: Network): Promise<System> {
  const volume = new TandemVolume(folder, network)
  const first = await volume.addMember()
  const second = await volume.addMember()
  const witness = await volume.addWitness(2)
  return {
    name: 'tandemfs',
    description: witness ? '2 members + witness' : '2 members, no witness in this build',
    folders: [first.mountPath, second.mountPath],
    groups: volume.groups(),
    close: () => volume.close()
  }
}
