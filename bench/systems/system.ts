/** Something to measure: two folders that show the same files, and the processes behind them. */

export interface ProcessGroup {
  readonly name: string
  /** Ids of the processes that serve; those of today, they may change. */
  pids(): number[]
}

export interface System {
  readonly name: SystemName
  /** Version and members, for the report. */
  readonly description: string
  /** The folder on the first and on the second node; the same twice where there is one machine. */
  readonly folders: readonly [string, string]
  readonly groups: readonly ProcessGroup[]
  close(): Promise<void>
}

export type SystemName = 'tandemfs' | 'GlusterFS' | 'passthrough' | 'local disk'

/** In the order of the tables. */
export const SYSTEM_NAMES: readonly SystemName[] = [
  'tandemfs',
  'GlusterFS',
  'passthrough',
  'local disk'
]
