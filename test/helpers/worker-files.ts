/** Worker operations on single files. Contents travel as base64 unless the name says otherwise. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { createServer, type Server } from 'node:net'
import { identifyContent, makeContent, sha256Hex } from './content.ts'
import type { ExecAnswer, LineBurst, StatAnswer } from './protocol.ts'

const EXEC_OUTPUT_BYTES_MAX = 64 * 1024 * 1024
const sockets: Server[] = []

interface PathArgs {
  readonly path: string
}

interface WriteArgs extends PathArgs {
  /** One byte for each character. */
  readonly text?: string
  /** Content made by makeContent(label, version, sizeBytes). */
  readonly label?: string
  readonly version?: number
  readonly sizeBytes?: number
  readonly flags?: string
  readonly offset?: number
  readonly fsync?: boolean
}

function dataOf(args: WriteArgs): Buffer {
  if (args.text !== undefined) return Buffer.from(args.text, 'latin1')
  return makeContent(args.label ?? '', args.version ?? 0, args.sizeBytes ?? 0)
}

function writeAll(fd: number, data: Buffer, offset: number | null): void {
  let done = 0
  while (done < data.length) {
    done += fs.writeSync(fd, data, done, data.length - done, offset === null ? null : offset + done)
  }
}

function withFile<T>(path: string, flags: string | number, body: (fd: number) => T): T {
  const fd = fs.openSync(path, flags, 0o644)
  try {
    return body(fd)
  } finally {
    fs.closeSync(fd)
  }
}

function typeOf(stat: fs.BigIntStats): string {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isFIFO()) return 'fifo'
  if (stat.isSocket()) return 'socket'
  return 'device'
}

function statAnswer(stat: fs.BigIntStats): StatAnswer {
  return {
    ino: Number(stat.ino),
    type: typeOf(stat),
    mode: Number(stat.mode & 0o7777n),
    nlink: Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: Number(stat.size),
    mtimeNs: String(stat.mtimeNs),
    ctimeNs: String(stat.ctimeNs)
  }
}

/** Spins to a common wall-clock instant, so that two workers hit the same object together. */
function waitUntil(atMs: number | undefined): void {
  if (atMs === undefined) return
  while (performance.timeOrigin + performance.now() < atMs) {
    // Spinning is the point: a timer would scatter the two by more than an operation takes.
  }
}

function wallClockMs(): number {
  return performance.timeOrigin + performance.now()
}

interface RaceArgs {
  readonly atMs?: number
}

export const fileOps = {
  write(args: WriteArgs): void {
    withFile(args.path, args.flags ?? 'w', (fd) => {
      writeAll(fd, dataOf(args), args.offset ?? null)
      if (args.fsync) fs.fsyncSync(fd)
    })
  },
  readBase64(args: PathArgs): string {
    return fs.readFileSync(args.path).toString('base64')
  },
  readText(args: PathArgs): string {
    return fs.readFileSync(args.path, 'utf8')
  },
  /** What version of `label` the file holds, or what is wrong with it. */
  identify(args: PathArgs & { readonly label: string }): ReturnType<typeof identifyContent> {
    return identifyContent(args.label, fs.readFileSync(args.path))
  },
  digest(args: PathArgs): string {
    return sha256Hex(fs.readFileSync(args.path))
  },
  stat(args: PathArgs): StatAnswer {
    return statAnswer(fs.statSync(args.path, { bigint: true }))
  },
  lstat(args: PathArgs): StatAnswer {
    return statAnswer(fs.lstatSync(args.path, { bigint: true }))
  },
  statfs(args: PathArgs): { readonly freeBytes: number; readonly totalBytes: number } {
    const s = fs.statfsSync(args.path)
    return { freeBytes: s.bavail * s.bsize, totalBytes: s.blocks * s.bsize }
  },
  readdir(args: PathArgs): string[] {
    return fs.readdirSync(args.path).sort()
  },
  rename(args: PathArgs & RaceArgs & { readonly to: string }): void {
    waitUntil(args.atMs)
    fs.renameSync(args.path, args.to)
  },
  unlink(args: PathArgs & RaceArgs): void {
    waitUntil(args.atMs)
    fs.unlinkSync(args.path)
  },
  mkdir(args: PathArgs & RaceArgs): void {
    waitUntil(args.atMs)
    fs.mkdirSync(args.path)
  },
  makeFolders(args: PathArgs): void {
    fs.mkdirSync(args.path, { recursive: true })
  },
  rmdir(args: PathArgs): void {
    fs.rmdirSync(args.path)
  },
  removeTree(args: PathArgs): void {
    fs.rmSync(args.path, { recursive: true, force: true })
  },
  symlink(args: PathArgs & { readonly target: string }): void {
    fs.symlinkSync(args.target, args.path)
  },
  readlink(args: PathArgs): string {
    return fs.readlinkSync(args.path)
  },
  link(args: PathArgs & RaceArgs & { readonly to: string }): void {
    waitUntil(args.atMs)
    fs.linkSync(args.path, args.to)
  },
  chmod(args: PathArgs & { readonly mode: number }): void {
    fs.chmodSync(args.path, args.mode)
  },
  chown(args: PathArgs & { readonly uid: number; readonly gid: number }): void {
    fs.chownSync(args.path, args.uid, args.gid)
  },
  utimes(args: PathArgs & { readonly atime: number; readonly mtime: number }): void {
    fs.utimesSync(args.path, args.atime, args.mtime)
  },
  truncate(args: PathArgs & { readonly size: number }): void {
    fs.truncateSync(args.path, args.size)
  },
  /** open(O_CREAT | O_EXCL) at a common instant. */
  createExclusive(args: PathArgs & RaceArgs & { readonly text: string }): void {
    waitUntil(args.atMs)
    withFile(args.path, 'wx', (fd) => writeAll(fd, Buffer.from(args.text), null))
  },
  /** Creates `count` files named prefix + number, starting at a common instant. */
  createMany(
    args: PathArgs & RaceArgs & { readonly prefix: string; readonly count: number }
  ): void {
    waitUntil(args.atMs)
    for (let i = 0; i < args.count; i++) fs.writeFileSync(`${args.path}/${args.prefix}${i}`, '')
  },
  open(args: PathArgs & { readonly flags: string }): number {
    return fs.openSync(args.path, args.flags, 0o644)
  },
  close(args: { readonly fd: number }): void {
    fs.closeSync(args.fd)
  },
  fsync(args: { readonly fd: number }): void {
    fs.fsyncSync(args.fd)
  },
  fstat(args: { readonly fd: number }): StatAnswer {
    return statAnswer(fs.fstatSync(args.fd, { bigint: true }))
  },
  writeHandle(args: WriteArgs & { readonly fd: number }): void {
    writeAll(args.fd, dataOf(args), args.offset ?? null)
  },
  readHandleText(args: { readonly fd: number; readonly offset: number; readonly length: number }) {
    const buffer = Buffer.alloc(args.length)
    return buffer.toString('utf8', 0, fs.readSync(args.fd, buffer, 0, args.length, args.offset))
  },
  /** Appends `count` numbered lines through one O_APPEND handle, one write(2) a line. */
  appendLines(args: PathArgs & RaceArgs & { readonly tag: string; readonly count: number }) {
    return withFile(args.path, 'a', (fd): LineBurst => {
      waitUntil(args.atMs)
      const firstMs = wallClockMs()
      for (let i = 0; i < args.count; i++)
        fs.writeSync(fd, `${args.tag} ${i} ${'x'.repeat(i % 60)}\n`)
      return { firstMs, lastMs: wallClockMs() }
    })
  },
  /** Overwrites the first `sizeBytes` in place `count` times, each time with one byte value. */
  overwriteUniform(args: PathArgs & { readonly sizeBytes: number; readonly count: number }): void {
    withFile(args.path, 'r+', (fd) => {
      for (let i = 0; i < args.count; i++) writeAll(fd, Buffer.alloc(args.sizeBytes, i % 251), 0)
    })
  },
  /** Reads the first `sizeBytes` until all are `last`; counts reads that mix two values. */
  watchUniform(args: PathArgs & { readonly sizeBytes: number; readonly last: number }) {
    return withFile(args.path, 'r', (fd) => {
      const buffer = Buffer.alloc(args.sizeBytes)
      let reads = 0
      let torn = 0
      let changes = 0
      let previous = -1
      for (;;) {
        const length = fs.readSync(fd, buffer, 0, buffer.length, 0)
        const value = buffer[0] ?? -1
        if (length !== buffer.length || !buffer.every((byte) => byte === value)) torn++
        if (value !== previous) changes++
        previous = value
        reads++
        if (value === args.last && changes > 1) return { reads, torn, changes }
      }
    })
  },
  /** One file as fast as possible in writes of `chunkBytes`; true bytes per second with fsync. */
  writeStream(args: PathArgs & { readonly sizeBytes: number; readonly chunkBytes: number }): {
    readonly seconds: number
  } {
    const start = performance.now()
    withFile(args.path, 'w', (fd) => {
      for (let at = 0; at < args.sizeBytes; at += args.chunkBytes) {
        const length = Math.min(args.chunkBytes, args.sizeBytes - at)
        writeAll(fd, makeContent('stream', at, length).subarray(0, length), at)
      }
      fs.fsyncSync(fd)
    })
    return { seconds: (performance.now() - start) / 1000 }
  },
  /** Writes files of `sizeBytes` until an error; which error, and how many files were whole. */
  fillUp(args: PathArgs & { readonly sizeBytes: number; readonly countMax: number }) {
    const block = Buffer.alloc(args.sizeBytes, 0x61)
    for (let count = 0; count < args.countMax; count++) {
      try {
        withFile(`${args.path}/fill-${count}`, 'w', (fd) => {
          writeAll(fd, block, null)
          fs.fsyncSync(fd)
        })
      } catch (error) {
        return { count, code: (error as NodeJS.ErrnoException).code ?? String(error) }
      }
    }
    return { count: args.countMax, code: '' }
  },
  listenSocket(args: PathArgs): void {
    const server = createServer()
    server.on('error', () => {})
    server.listen(args.path)
    sockets.push(server)
  },
  chdir(args: PathArgs): void {
    process.chdir(args.path)
  },
  exec(args: {
    readonly argv: readonly string[]
    readonly cwd?: string
    readonly timeoutMs?: number
    readonly env?: Readonly<Record<string, string>>
  }): ExecAnswer {
    const [program = '', ...rest] = args.argv
    const result = spawnSync(program, rest, {
      cwd: args.cwd,
      env: { ...process.env, ...args.env },
      timeout: args.timeoutMs,
      maxBuffer: EXEC_OUTPUT_BYTES_MAX,
      encoding: 'utf8'
    })
    if (result.error !== undefined) throw result.error
    return { code: result.status ?? -1, stdout: result.stdout, stderr: result.stderr }
  }
}
