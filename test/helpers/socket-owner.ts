/** Which process is at the other end of a loopback connection, from /proc. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** The file of `pidFiles` whose process has the local TCP port `port` connected, if any. */
export function ownerOfPort(port: number, pidFiles: readonly string[]): string | undefined {
  const inode = inodeOfPort(port)
  if (inode === undefined) return undefined
  return pidFiles.find((file) => hasSocket(file, inode))
}

function inodeOfPort(port: number): string | undefined {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const fields = line.trim().split(/\s+/)
    if (fields[1]?.endsWith(local) && fields[9] !== '0') return fields[9]
  }
  return undefined
}

function hasSocket(pidFile: string, inode: string): boolean {
  try {
    const folder = `/proc/${readFileSync(pidFile, 'utf8').trim()}/fd`
    return readdirSync(folder).some((fd) => linkOf(`${folder}/${fd}`) === `socket:[${inode}]`)
  } catch {
    // No such process, or it has just ended: the connection is not its.
    return false
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
