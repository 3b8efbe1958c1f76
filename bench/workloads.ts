/** What is measured: the steps the load generator does, how many, and what should be reached. */
import type { ShapeName } from './shapes.ts'

/** How much of everything; see `fullScale` and `quickScale`. */
export interface WorkloadScale {
  readonly files: number
  readonly deliveries: number
  readonly streamMib: number
  readonly randomMib: number
  readonly listed: number
  readonly cloned: number
  /** Work goes on for so long at least, so that fast systems are measured as well. */
  readonly minMs: number
  readonly maxMs: number
}

export const fullScale: WorkloadScale = {
  files: 1000,
  deliveries: 200,
  streamMib: 128,
  randomMib: 64,
  listed: 10_000,
  cloned: 2000,
  minMs: 1000,
  maxMs: 15_000
}

export const quickScale: WorkloadScale = {
  files: 200,
  deliveries: 40,
  streamMib: 32,
  randomMib: 16,
  listed: 1000,
  cloned: 200,
  minMs: 250,
  maxMs: 4000
}

/** A ratio that must be reached, and one to aim at. */
export interface Goal {
  readonly must: number
  readonly aim: number
}

/** Values of the load generator, for each of `processes`. */
export interface LoadValues {
  readonly count?: number
  readonly limit?: number
  readonly minMs?: number
  readonly bytes?: number
}

export interface Workload {
  readonly name: string
  readonly label: string
  readonly unit: string
  readonly shapes: readonly ShapeName[]
  /** Workloads of one family work on the same files, one after the other. */
  readonly family: string
  /** Those of the family whose files it needs. */
  readonly needs?: readonly string[]
  /** Runs on the node that did not make the files. */
  readonly onOther?: boolean
  /** The kernel's caches are emptied before. */
  readonly cold?: boolean
  /** The load itself pauses before it is ready, for as long as the row says: nothing else is waited for. */
  readonly rests?: boolean
  /** Passes before the first round, 1 unless given: few and large steps are not compiled by one. */
  readonly warmUps?: number
  /** What has to be there before: a folder full of files, or a repository. */
  readonly fixture?: 'listing' | 'repository'
  /** Of the shape 'one', or of the first there is. */
  readonly versusPeer?: Goal
  readonly versusFloor?: Goal
  readonly load:
    | 'ping_pong'
    | 'ping_pong -rw'
    | {
        readonly step: string
        values(scale: WorkloadScale, processes: number): LoadValues
      }
}

const MIB = 2 ** 20
const FILES: readonly ShapeName[] = ['one', 'eight', 'apart', 'together']
const FLOOR: Goal = { must: 0.7, aim: 1 }
/** As many files as a slow system makes in reasonable time, and not more than a floor can open. */
const FILES_AT_MOST = 12

const onFiles = (step: string) => ({
  step,
  values: (scale: WorkloadScale, processes: number): LoadValues => ({
    count: Math.ceil(scale.files / processes)
  })
})

const timed = (step: string) => ({ step, values: (): LoadValues => ({}) })

const fileWorkloads: readonly Workload[] = [
  {
    name: 'create',
    label: 'create + 4 KiB',
    unit: 'op/s',
    shapes: FILES,
    family: 'files',
    versusPeer: { must: 8, aim: 25 },
    versusFloor: FLOOR,
    load: {
      step: 'create',
      values: (scale, processes) => ({
        count: Math.ceil(scale.files / processes),
        limit: Math.ceil((FILES_AT_MOST * scale.files) / processes)
      })
    }
  },
  {
    name: 'stat',
    label: 'stat, warm',
    unit: 'op/s',
    shapes: FILES,
    family: 'files',
    needs: ['create'],
    versusPeer: { must: 100, aim: 300 },
    rests: true,
    load: onFiles('stat')
  },
  {
    name: 'stat-again',
    label: 'stat, within the same second',
    unit: 'op/s',
    shapes: ['one'],
    family: 'files',
    needs: ['create'],
    load: onFiles('stat_again')
  },
  {
    name: 'open-read',
    label: 'open + read 4 KiB, warm',
    unit: 'op/s',
    shapes: FILES,
    family: 'files',
    needs: ['create'],
    versusPeer: { must: 2, aim: 15 },
    rests: true,
    load: onFiles('open_read')
  },
  {
    name: 'rename',
    label: 'rename',
    unit: 'op/s',
    shapes: FILES,
    family: 'files',
    needs: ['create'],
    versusPeer: { must: 8, aim: 20 },
    versusFloor: FLOOR,
    load: onFiles('rename')
  },
  {
    name: 'unlink',
    label: 'unlink',
    unit: 'op/s',
    shapes: FILES,
    family: 'files',
    needs: ['create'],
    versusPeer: { must: 8, aim: 20 },
    versusFloor: FLOOR,
    load: { step: 'unlink', values: () => ({}) }
  }
]

const mailWorkloads: readonly Workload[] = [
  {
    name: 'delivery',
    label: 'mail delivery (create, 4 KiB, fsync, rename)',
    unit: 'op/s',
    shapes: ['one', 'apart', 'together'],
    family: 'delivery',
    versusPeer: { must: 4, aim: 8 },
    load: { step: 'deliver', values: (scale) => ({ count: scale.deliveries }) }
  },
  {
    name: 'delivery-16',
    label: 'mail delivery, 16 processes',
    unit: 'op/s',
    shapes: ['sixteen'],
    family: 'delivery-16',
    versusPeer: { must: 6, aim: 12 },
    load: {
      step: 'deliver',
      values: (scale, processes) => ({ count: Math.ceil((scale.deliveries * 4) / processes) })
    }
  }
]

const lockWorkloads: readonly Workload[] = [
  {
    name: 'lock',
    label: 'lock + unlock, uncontended',
    unit: 'op/s',
    shapes: ['one', 'eight', 'apart', 'shared'],
    family: 'lock',
    versusPeer: { must: 4, aim: 20 },
    versusFloor: FLOOR,
    load: timed('lock')
  },
  {
    name: 'ping-pong',
    label: 'ping_pong',
    unit: 'locks/s of each',
    shapes: ['shared'],
    family: 'ping-pong',
    versusPeer: { must: 1.5, aim: 3 },
    load: 'ping_pong'
  },
  {
    name: 'ping-pong-rw',
    label: 'ping_pong -rw',
    unit: 'locks/s of each',
    shapes: ['shared'],
    family: 'ping-pong-rw',
    versusPeer: { must: 1.5, aim: 3 },
    load: 'ping_pong -rw'
  }
]

const dataWorkloads: readonly Workload[] = [
  {
    name: 'random-write',
    label: 'random 4 KiB writes',
    unit: 'op/s',
    shapes: ['one', 'eight', 'apart', 'shared'],
    family: 'random-write',
    versusPeer: { must: 3, aim: 10 },
    versusFloor: FLOOR,
    load: {
      step: 'random_write',
      values: (scale, processes) => ({
        bytes: Math.max(1, Math.floor(scale.randomMib / processes)) * MIB
      })
    }
  },
  {
    name: 'append',
    label: 'appends of 100 bytes',
    unit: 'op/s',
    shapes: ['one', 'eight', 'apart', 'shared'],
    family: 'append',
    versusPeer: { must: 1, aim: 2 },
    load: timed('append')
  },
  {
    name: 'stream-write',
    label: 'sequential write + fsync',
    unit: 'MiB/s',
    shapes: ['one', 'apart'],
    family: 'stream',
    warmUps: 8,
    versusPeer: { must: 2, aim: 3 },
    versusFloor: { must: 0.5, aim: 1 },
    load: {
      step: 'stream_write',
      values: (scale) => ({ count: scale.streamMib, limit: scale.streamMib, minMs: 0 })
    }
  },
  {
    name: 'stream-read',
    label: 'sequential read, cold, on the other node',
    unit: 'MiB/s',
    shapes: ['one', 'apart'],
    family: 'stream',
    needs: ['stream-write'],
    onOther: true,
    cold: true,
    versusPeer: { must: 2, aim: 4 },
    load: {
      step: 'stream_read',
      values: (scale) => ({ count: scale.streamMib, limit: scale.streamMib, minMs: 0 })
    }
  }
]

const treeWorkloads: readonly Workload[] = [
  {
    name: 'list-cold',
    label: 'ls -l, cold, on the other node',
    unit: 'entries/s',
    shapes: ['one'],
    family: 'list',
    onOther: true,
    cold: true,
    fixture: 'listing',
    versusPeer: { must: 4, aim: 10 },
    load: {
      step: 'list_cold',
      values: (scale) => ({ count: 1, limit: 1, bytes: scale.listed })
    }
  },
  {
    name: 'list',
    label: 'ls -l, warm, on the other node',
    unit: 'entries/s',
    shapes: ['one'],
    family: 'list',
    onOther: true,
    fixture: 'listing',
    versusPeer: { must: 20, aim: 100 },
    load: { step: 'list', values: (scale) => ({ bytes: scale.listed }) }
  },
  {
    name: 'clone',
    label: 'git clone',
    unit: 'files/s',
    shapes: ['one', 'apart'],
    family: 'clone',
    fixture: 'repository',
    versusPeer: { must: 5, aim: 10 },
    load: {
      step: 'clone',
      values: (scale) => ({ count: 1, limit: 1, bytes: scale.cloned })
    }
  }
]

/** In the order of the tables, and in which those of one family run. */
export const WORKLOADS: readonly Workload[] = [
  ...fileWorkloads,
  ...mailWorkloads,
  ...lockWorkloads,
  ...dataWorkloads,
  ...treeWorkloads
]
