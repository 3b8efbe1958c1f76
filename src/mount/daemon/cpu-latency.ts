/**
 * Keeps idle processors from halting while this member has much to do. A process that waits for an
 * answer leaves its processor idle for some microseconds; waking one that has halted takes longer
 * than the answer did, above all on a virtual machine. `/dev/cpu_dma_latency` asks the kernel for no
 * more than a given delay as long as it is held open (the kernel's
 * Documentation/power/pm_qos_interface.rst), so a daemon that dies lets go of it.
 *
 * It holds for all processors of the machine and costs electricity: it is held only while requests
 * and messages come faster than BUSY_PER_S, and let go of soon after. No timer runs otherwise.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'

export interface CpuLatencyComponents {
  readonly clock: Clock
  readonly logger: Logger
  /** Begins to hold; what it returns ends it. Throws the system's error. */
  readonly hold: () => () => void
}

const BUSY_PER_S = 1000
/** Let go of below this. */
const QUIET_PER_S = 300
/** So many in a row tell how fast they come. */
const SAMPLE = 16
const SAMPLE_MS = (SAMPLE * 1000) / BUSY_PER_S
const LOOK_MS = 100
const QUIET_COUNT = (QUIET_PER_S * LOOK_MS) / 1000

export class CpuLatency {
  readonly #components: CpuLatencyComponents
  #isWanted: boolean
  #count = 0
  #sampleMs = Number.NEGATIVE_INFINITY
  #letGo: (() => void) | undefined
  #timer: Timer | undefined

  constructor(components: CpuLatencyComponents, options: { readonly isWanted: boolean }) {
    this.#components = components
    this.#isWanted = options.isWanted
  }

  /** From now on; letting go is at once. */
  configure(options: { readonly isWanted: boolean }): void {
    this.#isWanted = options.isWanted
    if (!options.isWanted) this.#release()
  }

  /** A request or a message has come. */
  noteWork(): void {
    this.#count++
    if (this.#count < SAMPLE || this.#letGo !== undefined || !this.#isWanted) return
    const nowMs = this.#components.clock.monotonicMs()
    const isBusy = nowMs - this.#sampleMs <= SAMPLE_MS
    this.#sampleMs = nowMs
    this.#count = 0
    if (isBusy) this.#hold()
  }

  /** Lets go for good. */
  stop(): void {
    this.configure({ isWanted: false })
  }

  #release(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#letGo?.()
    this.#letGo = undefined
  }

  #hold(): void {
    const { hold, logger } = this.#components
    try {
      this.#letGo = hold()
    } catch (error) {
      this.#isWanted = false
      logger.info({ error: String(error) }, 'idle processors cannot be kept awake under load')
      return
    }
    this.#look()
  }

  #look(): void {
    this.#timer = this.#components.clock.setTimer(LOOK_MS, () => {
      const isQuiet = this.#count < QUIET_COUNT
      this.#count = 0
      if (isQuiet) this.#release()
      else this.#look()
    })
  }
}

const DEVICE = '/dev/cpu_dma_latency'
const IDLE_DRIVER = '/sys/devices/system/cpu/cpuidle/current_driver'
/**
 * On bare metal the shallow halts take a microsecond or two and save most of the electricity; a
 * virtual machine has but one halt, which is dear and which the kernel believes to take one.
 */
const BARE_METAL_US = 10

/** Holds the device until the function it returns is called. Throws the system's error. */
export function holdCpuLatency(): () => void {
  const isVirtual = readFileSync(IDLE_DRIVER, 'latin1').trim() === 'haltpoll'
  const fd = openSync(DEVICE, 'r+')
  try {
    const latencyUs = Buffer.alloc(4)
    latencyUs.writeInt32LE(isVirtual ? 0 : BARE_METAL_US)
    writeSync(fd, latencyUs)
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return () => closeSync(fd)
}
