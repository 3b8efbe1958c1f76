/** Mounts for tests: a fresh mount point, a responder, and a teardown that leaves nothing. */
import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'brittle'
import {
  type MountedVolume,
  type MountVolumeOptions,
  mountVolume
} from '../../../src/mount/mounting/mount-volume.ts'
import { findMount } from '../../../src/mount/mounting/mountinfo.ts'
import { serveTiny, type TinyOptions, type TinyResponder } from './tiny-responder.ts'

export interface RunResult {
  readonly status: number
  readonly said: string
}

/** Runs a program that may touch the mount; its output both ways and its exit code. */
export function run(program: string, args: readonly string[], cwd = '/'): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, LC_ALL: 'C' }
    execFile(program, args, { cwd, env, timeout: 30_000 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error)
      else resolve({ status: Number(error?.code ?? 0), said: `${stdout}${stderr}` })
    })
  })
}

export async function freshMountPoint(t: Test, name = 'mount point'): Promise<string> {
  const path = join(await t.tmp(), name)
  mkdirSync(path)
  t.teardown(
    async () => {
      for (let depth = 0; depth < 4 && findMount(path) !== undefined; depth++) {
        await run('umount', ['-i', '-l', path])
      }
    },
    { order: -1 }
  )
  return path
}

export interface TinyMount {
  readonly path: string
  readonly volume: MountedVolume
  readonly responder: TinyResponder
}

export async function mountTiny(
  t: Test,
  mountOptions: Omit<MountVolumeOptions, 'mountPoint' | 'source'>,
  options: TinyOptions = {}
): Promise<TinyMount> {
  const path = await freshMountPoint(t)
  const volume = await mountVolume({ ...mountOptions, mountPoint: path, source: 'test' })
  t.teardown(
    async () => {
      await volume.unmount({ lazy: true })
      await volume.channel.close()
    },
    { order: -2 }
  )
  const responder = serveTiny(volume.channel, options)
  await responder.initialised
  return { path, volume, responder }
}
