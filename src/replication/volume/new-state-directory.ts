/**
 * A state directory comes into being as a whole: it is filled under another name beside its place
 * and renamed there, so a crash or an error leaves no half-made one.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, resolve } from 'node:path'
import { fsyncDirectory } from '../storage/atomic-file.ts'
import { systemCode } from '../storage/storage-errors.ts'
import { formatAddress, type HostPort } from '../transport/address.ts'
import { VolumeError } from './volume-error.ts'

/** Where the directory is filled before it is renamed to `dir`. */
export function stagingPath(dir: string): string {
  return `${resolve(dir)}.new`
}

/** Throws VolumeError 'exists' unless `dir` is absent or an empty directory. */
export function requireVacant(dir: string): void {
  let names: string[]
  try {
    names = readdirSync(dir)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    if (systemCode(error) === 'ENOTDIR') {
      throw new VolumeError('exists', `${dir}: is not a directory`, { cause: error })
    }
    throw error
  }
  if (names.length > 0) {
    throw new VolumeError('exists', `${dir}: is not empty: choose another directory`)
  }
}

/** Makes the (mode 0700) staging directory; an older one is removed first unless `resume`. */
export function makeStaging(dir: string, options: { readonly resume: boolean }): string {
  const staging = stagingPath(dir)
  if (!options.resume) rmSync(staging, { recursive: true, force: true })
  mkdirSync(dirname(staging), { recursive: true })
  if (!existsSync(staging)) mkdirSync(staging, { mode: 0o700 })
  fsyncDirectory(dirname(staging))
  return staging
}

/** Gives the filled staging directory its name; durable on return. */
export function publishStaging(dir: string): void {
  const target = resolve(dir)
  fsyncDirectory(stagingPath(dir))
  renameSync(stagingPath(dir), target)
  fsyncDirectory(dirname(target))
}

export function dropStaging(dir: string): void {
  rmSync(stagingPath(dir), { recursive: true, force: true })
}

/**
 * Finds out whether `listen` can be listened on, and which port it is for port 0. Throws
 * VolumeError 'address-in-use' or 'bad-input'.
 */
export function probeListen(listen: HostPort): Promise<HostPort> {
  const server = createServer()
  return new Promise((resolveProbe, reject) => {
    server.once('error', (error) => {
      const where = formatAddress(listen)
      const code = systemCode(error)
      if (code === 'EADDRINUSE') {
        const message = `listen on ${where}: in use by another program: choose another port`
        reject(new VolumeError('address-in-use', message, { cause: error }))
      } else {
        reject(new VolumeError('bad-input', `listen on ${where}: ${error.message}`))
      }
    })
    server.listen(listen, () => {
      const bound = server.address()
      const port = typeof bound === 'object' && bound ? bound.port : listen.port
      server.close(() => resolveProbe({ host: listen.host, port }))
    })
  })
}
