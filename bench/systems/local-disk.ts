/** The disk itself: what one machine without any replication does. */
import { mkdirSync } from 'node:fs'
import { listMounts } from '../../test/helpers/system.ts'
import type { System } from './system.ts'

export function openLocalDisk(folder: string): System {
  mkdirSync(folder)
  return {
    name: 'local disk',
    description: `${filesystemOf(folder)}, one machine, no replication`,
    folders: [folder, folder],
    groups: [],
    close: async () => {}
  }
}

function filesystemOf(folder: string): string {
  const above = listMounts().filter(({ mountPath }) => folder.startsWith(mountPath))
  return above.sort((a, b) => b.mountPath.length - a.mountPath.length)[0]?.type ?? 'unknown'
}
