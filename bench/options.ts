/** The command line of the benchmark. */
import { parseArgs } from 'node:util'
import { SHAPES, type ShapeName } from './shapes.ts'
import type { SystemName } from './systems/system.ts'
import { fullScale, quickScale, WORKLOADS, type WorkloadScale } from './workloads.ts'

export const USAGE = `npm run bench -- [OPTIONS]        compares tandemfs with other systems, in one run
npm run bench -- scale [OPTIONS]  cost of an operation with 1,000, 100,000 ... files
npm run bench -- micro NAME       one part alone: fs-core, fuse-channel, fuse-codec, locks-core, ...
npm run bench -- report FILE      the tables and the chart of an earlier run, into docs/

  --peer gluster      GlusterFS as well, replica 2 + arbiter (needs glusterfs-server)
  --without LIST      systems to leave out: tandemfs, passthrough, disk
  --only LIST         workloads, see below
  --shapes LIST       who works: ${SHAPES.map(({ name }) => name).join(', ')}
  --delays LIST       round trips to add, in ms: 0 (default), 0,1,10
  --rounds N          3 unless given
  --quick             small and short: to see that it works
  --dir DIR           folder on the disk to measure, for scratch files (default: the system's)
  --json FILE         where the result goes (bench-result.json)
  --docs              also put tables and chart into docs/
  --million           scale: also with 1,000,000 files, and a file of 20 GiB

Workloads: ${WORKLOADS.map(({ name }) => name).join(', ')}.
It needs root: it mounts, and makes network namespaces (ip netns) as machines.
`

export interface CompareOptions {
  readonly systems: ReadonlySet<SystemName>
  readonly chosen: ReadonlySet<string>
  readonly shapes: ReadonlySet<ShapeName>
  readonly delaysMs: readonly number[]
  readonly rounds: number
  readonly scale: WorkloadScale
  readonly jsonPath: string
  readonly docs: boolean
  readonly dir: string | undefined
  readonly million: boolean
  readonly quick: boolean
}

const DELAY_MAX_MS = 1000

export function parseOptions(args: readonly string[]): CompareOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peer: { type: 'string' },
      without: { type: 'string', default: '' },
      only: { type: 'string' },
      shapes: { type: 'string' },
      delays: { type: 'string', default: '0' },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      dir: { type: 'string' },
      json: { type: 'string', default: 'bench-result.json' },
      docs: { type: 'boolean', default: false },
      million: { type: 'boolean', default: false }
    }
  })
  const workloadNames = WORKLOADS.map(({ name }) => name)
  const shapeNames = SHAPES.map(({ name }) => name)
  return {
    systems: chooseSystems(values.peer, values.without),
    chosen: new Set(chooseFrom('--only', values.only, workloadNames)),
    shapes: new Set(chooseFrom('--shapes', values.shapes, shapeNames)),
    delaysMs: parseList(values.delays).map((text) => parseDelay(text)),
    rounds: parseCount('--rounds', values.rounds ?? (values.quick ? '1' : '3')),
    scale: values.quick ? quickScale : fullScale,
    jsonPath: values.json,
    docs: values.docs,
    dir: values.dir,
    million: values.million,
    quick: values.quick
  }
}

function chooseSystems(peer: string | undefined, without: string): Set<SystemName> {
  if (peer !== undefined && peer !== 'gluster') {
    throw new Error(`--peer: there is no '${peer}', only 'gluster'`)
  }
  const byOption = new Map<string, SystemName>([
    ['tandemfs', 'tandemfs'],
    ['passthrough', 'passthrough'],
    ['disk', 'local disk']
  ])
  const left = new Set<SystemName>(byOption.values())
  for (const option of without === '' ? [] : parseList(without)) {
    const name = byOption.get(option)
    if (name === undefined) throw new Error(`--without: there is no '${option}'`)
    left.delete(name)
  }
  if (peer !== undefined) left.add('GlusterFS')
  if (left.size === 0) throw new Error('no system is left to measure')
  return left
}

function parseList(text: string): string[] {
  return text.split(',').map((part) => part.trim())
}

function chooseFrom<T extends string>(
  option: string,
  text: string | undefined,
  known: readonly T[]
): T[] {
  if (text === undefined) return [...known]
  return parseList(text).map((wanted) => {
    const found = known.find((name) => name === wanted)
    if (found === undefined) {
      throw new Error(`${option}: there is no '${wanted}', there are ${known.join(', ')}`)
    }
    return found
  })
}

function parseCount(option: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1 || value > 1000) {
    throw new Error(`${option}: not a count: ${text}`)
  }
  return value
}

function parseDelay(text: string): number {
  const value = Number(text)
  if (text === '' || !(value >= 0 && value <= DELAY_MAX_MS)) {
    throw new Error(`--delays: not a round trip of 0 to ${DELAY_MAX_MS} ms: '${text}'`)
  }
  return value
}
