/** What the benchmark measures: each workload runs in a folder of its own and gives one rate. */
import * as fs from 'node:fs'
import { performance } from 'node:perf_hooks'

export interface WorkloadScale {
  /** Small files of one round. */
  readonly fileCount: number
  /** Deliveries with fsync of one round. */
  readonly deliveryCount: number
  readonly streamBytes: number
}

export interface Workload {
  readonly name: string
  readonly unit: 'op/s' | 'MiB/s'
  /** Not measured: brings the folder into the state the measurement starts from. */
  prepare?(folder: string, scale: WorkloadScale): void
  /** Runs it; how many units of work were done. */
  run(folder: string, scale: WorkloadScale): number
}

const SMALL_BYTES = 4096
const CHUNK_BYTES = 2 ** 20
const MIB = 2 ** 20
const small = Buffer.alloc(SMALL_BYTES, 0x61)

function fileName(folder: string, index: number): string {
  return `${folder}/f${index}`
}

function forEachFile(folder: string, scale: WorkloadScale, body: (path: string) => void): number {
  for (let i = 0; i < scale.fileCount; i++) body(fileName(folder, i))
  return scale.fileCount
}

function createAll(folder: string, scale: WorkloadScale): number {
  return forEachFile(folder, scale, (path) => fs.writeFileSync(path, small))
}

function withFile(path: string, flags: string, body: (fd: number) => void): void {
  const fd = fs.openSync(path, flags)
  try {
    body(fd)
  } finally {
    fs.closeSync(fd)
  }
}

function writeStream(folder: string, scale: WorkloadScale): number {
  const chunk = Buffer.alloc(CHUNK_BYTES)
  withFile(`${folder}/stream`, 'w', (fd) => {
    for (let at = 0; at < scale.streamBytes; at += CHUNK_BYTES) {
      chunk.writeDoubleLE(at, 0)
      for (let done = 0; done < chunk.length; ) done += fs.writeSync(fd, chunk, done)
    }
    fs.fsyncSync(fd)
  })
  return scale.streamBytes / MIB
}

function readStream(folder: string, scale: WorkloadScale): number {
  const chunk = Buffer.alloc(CHUNK_BYTES)
  withFile(`${folder}/stream`, 'r', (fd) => {
    let total = 0
    for (;;) {
      const length = fs.readSync(fd, chunk, 0, chunk.length, null)
      if (length === 0) break
      total += length
    }
    if (total !== scale.streamBytes) throw new Error(`read ${total} of ${scale.streamBytes} bytes`)
  })
  return scale.streamBytes / MIB
}

/** In the order they run. A workload finds the folder as its own prepare() left it. */
export const workloads: readonly Workload[] = [
  { name: 'create 4 KiB', unit: 'op/s', run: createAll },
  {
    name: 'stat',
    unit: 'op/s',
    prepare: createAll,
    run: (folder, scale) => forEachFile(folder, scale, (path) => fs.statSync(path))
  },
  {
    name: 'read 4 KiB',
    unit: 'op/s',
    prepare: createAll,
    run: (folder, scale) => forEachFile(folder, scale, (path) => fs.readFileSync(path))
  },
  {
    name: 'rename',
    unit: 'op/s',
    prepare: createAll,
    run: (folder, scale) =>
      forEachFile(folder, scale, (path) => fs.renameSync(path, `${path}-renamed`))
  },
  {
    name: 'unlink',
    unit: 'op/s',
    prepare: createAll,
    run: (folder, scale) => forEachFile(folder, scale, (path) => fs.unlinkSync(path))
  },
  {
    name: 'fsync delivery',
    unit: 'op/s',
    run(folder, scale) {
      for (let i = 0; i < scale.deliveryCount; i++) {
        const path = fileName(folder, i)
        withFile(`${path}.tmp`, 'w', (fd) => {
          fs.writeSync(fd, small)
          fs.fsyncSync(fd)
        })
        fs.renameSync(`${path}.tmp`, path)
      }
      return scale.deliveryCount
    }
  },
  { name: 'sequential write', unit: 'MiB/s', run: writeStream },
  { name: 'sequential read', unit: 'MiB/s', prepare: writeStream, run: readStream }
]

/** Units of work per second, in a new folder that is removed afterwards. */
export function measure(workload: Workload, parent: string, scale: WorkloadScale): number {
  const folder = fs.mkdtempSync(`${parent}/bench-`)
  try {
    workload.prepare?.(folder, scale)
    const start = performance.now()
    const done = workload.run(folder, scale)
    return done / ((performance.now() - start) / 1000)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
