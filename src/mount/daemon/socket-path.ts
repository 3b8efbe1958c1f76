/** Names of Unix sockets are at most 107 bytes long; state directories may be deeper than that. */
import { closeSync, constants, openSync } from 'node:fs'
import path from 'node:path'

const SOCKET_PATH_MAX_BYTES = 107

/** Calls `use` with a name for the socket that is short enough, valid during the call only. */
export function withSocketPath<T>(socketPath: string, use: (shortPath: string) => T): T {
  if (Buffer.byteLength(socketPath) <= SOCKET_PATH_MAX_BYTES) return use(socketPath)
  const folder = openSync(path.dirname(socketPath), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return use(`/proc/self/fd/${folder}/${path.basename(socketPath)}`)
  } finally {
    closeSync(folder)
  }
}
