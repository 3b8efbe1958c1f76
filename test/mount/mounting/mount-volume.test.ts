import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type Test } from 'brittle'
import { MountError } from '../../../src/mount/mounting/mount-error.ts'
import { mountVolume } from '../../../src/mount/mounting/mount-volume.ts'
import { findMount } from '../../../src/mount/mounting/mountinfo.ts'
import { unmountPath } from '../../../src/mount/mounting/unmount.ts'
import { freshMountPoint, mountTiny, run } from '../channel/mounts.ts'

const KINDS = ['native', 'threadpool'] as const
const DAEMON = fileURLToPath(new URL('daemon-process.js', import.meta.url))

interface Daemon {
  readonly child: ChildProcess
  readonly ready: Promise<void>
  readonly exited: Promise<string>
}

function startDaemon(t: Test, program: string, args: readonly string[]): Daemon {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  const exited = new Promise<string>((resolve) => child.on('close', () => resolve(said)))
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('ready')) resolve()
    })
    child.on('close', () => reject(new Error(`ended before it was ready: ${said}`)))
  })
  return { child, ready, exited }
}

async function refusal(attempt: Promise<unknown>): Promise<MountError | undefined> {
  try {
    await attempt
  } catch (error) {
    if (error instanceof MountError) return error
    throw error
  }
  return undefined
}

function openDevices(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/fuse'
    } catch {
      return false // the descriptor of this very listing
    }
  }).length
}

for (const kind of KINDS) {
  test(`mounting ${kind} - options show in mountinfo`, async (t) => {
    const { path } = await mountTiny(t, {
      channel: kind,
      readOnly: true,
      nosuid: true,
      nodev: true,
      noexec: true,
      noatime: true,
      allowOther: true
    })
    const entry = findMount(path)
    t.is(entry?.type, 'fuse.tandemfs')
    t.is(entry?.source, 'test')
    t.is(entry?.options, 'ro,nosuid,nodev,noexec,noatime')
    const { said } = await run('grep', ['-F', 'fuse.tandemfs', '/proc/mounts'])
    for (const word of ['allow_other', 'default_permissions', 'max_read=1048576']) {
      t.ok(said.includes(word), word)
    }
  })

  test(`mounting ${kind} - a mount in use is busy, lazily it goes`, async (t) => {
    const { path, volume, responder } = await mountTiny(t, { channel: kind })
    // Not by the option cwd: this process would wait in spawn for a child that waits for us.
    const sleeper = startDaemon(t, 'sh', [
      '-c',
      'cd "$1" && echo ready && exec sleep 600',
      'sh',
      path
    ])
    await sleeper.ready
    const error = await refusal(volume.unmount())
    t.is(error?.code, 'busy')
    t.ok(error?.message.startsWith(`${path}: in use: `), error?.message)
    t.is((await run('stat', ['-c', '%i', path])).said, '1\n', 'it still works')
    await volume.unmount({ lazy: true })
    t.is(findMount(path), undefined)
    sleeper.child.kill('SIGKILL')
    t.is(await responder.closed, undefined, 'ends with its last user')
  })

  test(`mounting ${kind} - twice at one place is refused`, async (t) => {
    const { path } = await mountTiny(t, { channel: kind })
    const error = await refusal(mountVolume({ mountPoint: path, source: 'two', channel: kind }))
    t.is(error?.code, 'already-mounted')
    t.ok(error?.message.includes('fuse.tandemfs of test'), error?.message)
    t.is(openDevices(), 1)
  })

  test(`mounting ${kind} - a failure leaves nothing open or mounted`, async (t) => {
    const path = join(await t.tmp(), 'missing')
    const error = await refusal(mountVolume({ mountPoint: path, source: 's', channel: kind }))
    t.is(error?.code, 'not-found')
    const long = await freshMountPoint(t)
    const source = 'x'.repeat(70_000)
    t.is((await refusal(mountVolume({ mountPoint: long, source, channel: kind })))?.code, 'failed')
    t.is(findMount(long), undefined)
    t.is(openDevices(), 0)
  })

  test(`mounting ${kind} - after SIGKILL of the daemon mounting again just works`, async (t) => {
    const path = await freshMountPoint(t)
    const first = startDaemon(t, process.execPath, [DAEMON, path, kind])
    await first.ready
    t.is(findMount(path)?.source, 'vol,a b')
    first.child.kill('SIGKILL')
    await first.exited
    t.ok((await run('stat', [path])).said.includes('not connected'), 'a dead mount is left')
    const second = startDaemon(t, process.execPath, [DAEMON, path, kind])
    await second.ready
    t.is((await run('stat', ['-c', '%i', path])).said, '1\n')
    second.child.kill('SIGTERM')
    t.is(await second.exited, 'ready\nended\n')
    t.is(findMount(path), undefined, 'the dead mount did not stay below')
  })
}

test('mounting - unmounting what is not mounted is said', async (t) => {
  const error = await refusal(unmountPath(await freshMountPoint(t)))
  t.is(error?.code, 'not-mounted')
})

test('mounting - an unknown channel is refused', async (t) => {
  const mountPoint = await freshMountPoint(t)
  process.env['TANDEMFS_CHANNEL'] = 'carrier pigeon'
  t.teardown(() => delete process.env['TANDEMFS_CHANNEL'])
  const error = await refusal(mountVolume({ mountPoint, source: 's' }))
  t.ok(error?.message.includes('no such channel'), error?.message)
  process.env['TANDEMFS_CHANNEL'] = 'threadpool'
  const volume = await mountVolume({ mountPoint, source: 's' })
  t.is(volume.channel.kind, 'threadpool')
  await volume.unmount()
  await volume.channel.close()
})

/**
 * As the user nobody, in a mount namespace whose /dev/fuse every user may open, as udev makes it
 * on an installed system; the machine's own device stays as it is.
 */
test('mounting - an ordinary user mounts through fusermount3', async (t) => {
  if (!existsSync('/usr/bin/fusermount3')) {
    t.comment('NOT TESTED: fusermount3 is not installed (package fuse3)')
    return
  }
  const path = await freshMountPoint(t)
  const scratch = await t.tmp()
  for (const directory of [scratch, join(path, '..')]) chmodSync(directory, 0o755)
  mkdirSync(join(scratch, 'home'))
  chownSync(path, 65534, 65534)
  const script = `set -e
    mknod "$1/fuse" c 10 229; chmod 666 "$1/fuse"; mount --bind "$1/fuse" /dev/fuse
    shift; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`
  const asUser = ['-m', 'sh', '-c', script, 'sh', scratch, process.execPath, DAEMON, path, 'native']
  const daemon = startDaemon(t, 'unshare', asUser)
  await daemon.ready
  const inside = (await run('cat', [`/proc/${daemon.child.pid}/mountinfo`])).said
  const line = inside.split('\n').find((one) => one.includes(path.replaceAll(' ', '\\040'))) ?? ''
  t.ok(line.includes('nosuid,nodev'), line)
  t.ok(line.includes('vol,a\\040b'), 'the comma and the space of the source arrived')
  t.ok(line.includes('user_id=65534'))
  daemon.child.kill('SIGTERM')
  t.is(await daemon.exited, 'ready\nended\n')
})
