/** What the harness reads from the machine: mounts, processes, memory, ports. Never a mounted path. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'

export interface MountEntry {
  readonly device: string
  readonly mountPath: string
  readonly type: string
  readonly source: string
}

export function listMounts(): MountEntry[] {
  const entries: MountEntry[] = []
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [left, right] = line.split(' - ')
    if (left === undefined || right === undefined) continue
    const fields = left.split(' ')
    const [type = '', source = ''] = right.split(' ')
    entries.push({
      device: fields[2] ?? '',
      mountPath: unescapeMount(fields[4] ?? ''),
      type,
      source: unescapeMount(source)
    })
  }
  return entries
}

export function mountsBelow(folder: string): MountEntry[] {
  return listMounts().filter((m) => m.mountPath === folder || m.mountPath.startsWith(`${folder}/`))
}

export function isMounted(mountPath: string): boolean {
  return listMounts().some((mount) => mount.mountPath === mountPath)
}

/** Detaches every mount below `folder` and breaks its FUSE connections, so that no process hangs. */
export function detachMountsBelow(folder: string): void {
  for (const mount of mountsBelow(folder).reverse()) {
    const minor = mount.device.split(':')[1] ?? ''
    if (mount.type.startsWith('fuse')) tryWrite(`/sys/fs/fuse/connections/${minor}/abort`, '1')
    tryRun('umount', ['-l', mount.mountPath])
  }
}

/** Ids of the processes whose command line names `text`. */
export function processesNaming(text: string): number[] {
  const found: number[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue
    if (tryRead(`/proc/${name}/cmdline`).includes(text)) found.push(Number(name))
  }
  return found
}

export function isAlive(pid: number): boolean {
  const stat = tryRead(`/proc/${pid}/stat`)
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
  return stat !== '' && state !== 'Z' && state !== 'X'
}

/** Resident memory in bytes, 0 when the process is gone. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(tryRead(`/proc/${pid}/status`))
  return match === null ? 0 : Number(match[1]) * 1024
}

/** A TCP port of the loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise<void>((resolve) => server.close(() => resolve()))
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return address.port
}

/** Waits until `condition` holds; throws with `what` when it does not within `limitMs`. */
export async function waitFor(
  what: string,
  limitMs: number,
  condition: () => boolean | Promise<boolean>
): Promise<void> {
  const end = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export function canOpenFuse(): boolean {
  try {
    closeSync(openSync('/dev/fuse', 'r+'))
    return true
  } catch {
    return false
  }
}

export function hasProgram(name: string): boolean {
  return tryRun('sh', ['-c', `command -v ${name}`])
}

function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8))
  )
}

/** Empty when the process or file went away meanwhile: that is an answer here, not a failure. */
function tryRead(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function tryWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch {
    // The connection is already gone.
  }
}

function tryRun(program: string, args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore', timeout: 10_000 })
    return true
  } catch {
    return false
  }
}
