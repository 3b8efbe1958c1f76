/** Processor time and memory of the processes of a node, from /proc. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { ProcessGroup } from './systems/system.ts'

/** Of one node over one measurement. */
export interface NodeUsage {
  readonly node: string
  readonly cpuSeconds: number
  /** The most that was resident at once since the measurement began, all its processes together. */
  readonly peakMib: number
}

const TICKS_PER_SECOND = 100
const QUIET_STEP_MS = 100
const QUIET_TICKS = 2

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The process ended meanwhile.
    return ''
  }
}

/** Ticks of one process with all its threads; 0 when it is gone. */
function cpuTicks(pid: number): number {
  const stat = read(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
}

function peakKib(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0)
}

function resetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
  } catch {
    // Gone meanwhile, or not ours to reset: the peak is then of its whole life.
  }
}

export class UsageMeter {
  readonly #groups: readonly ProcessGroup[]
  #before = new Map<number, number>()

  constructor(groups: readonly ProcessGroup[]) {
    this.#groups = groups
  }

  begin(): void {
    this.#before = new Map()
    for (const group of this.#groups) {
      for (const pid of group.pids()) {
        this.#before.set(pid, cpuTicks(pid))
        resetPeak(pid)
      }
    }
  }

  /** Since begin(); processes that ended in between are not counted. */
  read(): NodeUsage[] {
    return this.#groups.map((group) => {
      let ticks = 0
      let kib = 0
      for (const pid of group.pids()) {
        ticks += cpuTicks(pid) - (this.#before.get(pid) ?? 0)
        kib += peakKib(pid)
      }
      return { node: group.name, cpuSeconds: ticks / TICKS_PER_SECOND, peakMib: kib / 1024 }
    })
  }

  /** Returns when the processes have nothing left to do, or after `limitMs`. */
  async quiet(limitMs: number): Promise<void> {
    const end = performance.now() + limitMs
    let before = this.#ticks()
    while (performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, QUIET_STEP_MS))
      const now = this.#ticks()
      if (now - before <= QUIET_TICKS) return
      before = now
    }
  }

  #ticks(): number {
    let sum = 0
    for (const group of this.#groups) for (const pid of group.pids()) sum += cpuTicks(pid)
    return sum
  }
}
