/**
 * The composition root of a witness: a member that votes and holds no data. It needs neither FUSE
 * nor the state stores, and nothing of them is loaded.
 */
import { LEASE_DEFAULTS } from '../../replication/lease.ts'
import type { EpochRecord } from '../../replication/record.ts'
import { Connections } from '../../replication/transport/connections.ts'
import { type OpenedVolume, openVolume } from '../../replication/volume/open-volume.ts'
import { saveRecord, saveVoter } from '../../replication/volume/volume-files.ts'
import { Witness } from '../../replication/witness/witness.ts'
import { boottimeMs } from './boottime.ts'
import { discoveryRoute } from './discovery-route.ts'
import type { NodeComponents, NodeOptions, NodeStatus, TandemNode } from './node-api.ts'
import { removedFromVolume } from './removed.ts'
import { systemClock } from './system-clock.ts'
import { UserError } from './user-error.ts'
import { witnessStatus } from './witness-status.ts'

const RESERVE_DIAL_MS = 300

export function composeWitness(components: NodeComponents, options: NodeOptions): TandemNode {
  return new WitnessNode(components, options)
}

class WitnessNode implements TandemNode {
  readonly settings
  readonly #components: NodeComponents
  readonly #options: NodeOptions
  readonly #clock = systemClock(boottimeMs())
  readonly #startedMs = this.#clock.monotonicMs()
  #witness: Witness | undefined
  #onFatal: (error: Error) => void = () => {}

  constructor(components: NodeComponents, options: NodeOptions) {
    this.settings = options.settings
    this.#components = components
    this.#options = options
  }

  async start(): Promise<void> {
    const { stateDir } = this.#options
    const volume = openVolume(stateDir)
    if (volume.self.role !== 'witness') {
      throw new UserError('usage', {
        what: `witness ${stateDir}`,
        why: 'this member holds data',
        remedy: `mount it with 'tandemfs mount'`
      })
    }
    const witness = await this.#makeWitness(volume)
    await witness.start()
    this.#witness = witness
  }

  status(): NodeStatus {
    const witness = this.#witness
    if (!witness) throw this.#refused('status', 'it is starting')
    return witnessStatus(witness, {
      self: openVolume(this.#options.stateDir).self,
      stateDir: this.#options.stateDir,
      uptimeMs: Math.round(this.#clock.monotonicMs() - this.#startedMs)
    })
  }

  async stop(): Promise<void> {
    await this.#witness?.stop()
  }

  locks(): Promise<never> {
    return Promise.reject(this.#refused('locks', 'a witness has no files'))
  }

  configure(): Promise<never> {
    return Promise.reject(this.#refused('remount', 'a witness mounts nothing'))
  }

  invite(): Promise<never> {
    return Promise.reject(this.#refused('invite', 'a witness takes in nobody'))
  }

  removeMember(): Promise<never> {
    return Promise.reject(this.#refused('members', 'a witness changes no members'))
  }

  setTieBreaker(): Promise<never> {
    return Promise.reject(this.#refused('members', 'a witness changes no members'))
  }

  onFatal(callback: (error: Error) => void): void {
    this.#onFatal = callback
  }

  onUnmounted(): void {}

  async #makeWitness(volume: OpenedVolume): Promise<Witness> {
    const { stateDir } = this.#options
    const { logger } = this.#components
    const { keyPair, settings, self } = volume
    const clock = this.#clock
    const alternative = await discoveryRoute(volume, clock, logger)
    const random = Math.random
    return new Witness(
      {
        self: self.id,
        record: volume.record,
        voter: volume.voter,
        saveVoter: (state) => saveVoter(stateDir, state),
        saveRecord: (record: EpochRecord) => saveRecord(stateDir, record),
        connect: ({ handlers, record }) =>
          new Connections(
            {
              keyPair,
              record,
              handlers,
              clock,
              logger,
              random,
              ...(alternative ? { alternative } : {})
            },
            { self: self.id, listen: settings.listen, reserveDialMs: RESERVE_DIAL_MS }
          ),
        clock,
        logger,
        random,
        onRemoved: () => {
          this.#onFatal(removedFromVolume(`witness ${stateDir}`))
        }
      },
      LEASE_DEFAULTS
    )
  }

  #refused(what: string, why: string): UserError {
    return new UserError('usage', { what, why, remedy: 'run it at a data member' })
  }
}
