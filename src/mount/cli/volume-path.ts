/** From what the user calls a volume to its state directory, and back from a mount. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { openVolume } from '../../replication/volume/open-volume.ts'
import { UserError } from '../daemon/user-error.ts'
import { usageError } from './values.ts'

export const DEFAULT_DIR = '/var/lib/tandemfs'
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

export interface VolumePath {
  readonly stateDir: string
  /** Source of the mount: the name where that is enough to find the volume again. */
  readonly source: string
}

/** `volume` = a name below `dir`, or the path of a state directory (with a slash in it). */
export function volumePath(volume: string, options: { readonly dir: string }): VolumePath {
  if (volume.includes('/')) {
    const stateDir = path.resolve(volume)
    return { stateDir, source: stateDir }
  }
  if (!NAME.test(volume)) {
    const why = 'not the name of a volume (letters, digits, dot, dash, underscore; at most 63)'
    throw usageError(`'${volume}'`, why, 'give a name, or a state directory with a slash in it')
  }
  const stateDir = path.resolve(options.dir, volume)
  return { stateDir, source: path.dirname(stateDir) === DEFAULT_DIR ? volume : stateDir }
}

/** Like volumePath, for a volume that has to be there. Throws UserError 'volumeUnknown'. */
export function existingVolume(volume: string, options: { readonly dir: string }): VolumePath {
  const found = volumePath(volume, options)
  if (existsSync(path.join(found.stateDir, 'record'))) return found
  throw new UserError('volumeUnknown', {
    what: volume,
    why: `no such volume on this machine (nothing in ${found.stateDir})`,
    remedy: "make one with 'tandemfs create' or 'tandemfs join'"
  })
}

/** Throws UserError 'usage' when the member of that state directory has the other role. */
export function requireRole(stateDir: string, volume: string, role: 'data' | 'witness'): void {
  const { self } = openVolume(stateDir)
  if (self.role === role) return
  const isWitness = self.role === 'witness'
  throw usageError(
    volume,
    isWitness ? 'this member is a witness, it holds no data' : 'this member holds data',
    isWitness
      ? `run 'tandemfs witness ${volume}'`
      : `mount it with 'tandemfs mount ${volume} MOUNTPOINT'`
  )
}
