/** The floor: a C program of one thread that passes FUSE requests on to a folder of the disk. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { RunningChild, run } from '../children.ts'
import { program } from '../compile.ts'
import type { System } from './system.ts'

export async function openPassthrough(folder: string): Promise<System> {
  const files = join(folder, 'files')
  const mountPath = join(folder, 'mount')
  mkdirSync(files, { recursive: true })
  mkdirSync(mountPath)
  const server = new RunningChild([program('passthrough'), files, mountPath])
  await server.line(10_000)
  return {
    name: 'passthrough',
    description: 'C, one thread, FUSE to a local folder, names and attributes valid for 1 s',
    folders: [mountPath, mountPath],
    groups: [{ name: 'server', pids: () => [server.pid] }],
    async close() {
      await run(['umount', mountPath])
      await server.end(10_000)
    }
  }
}
