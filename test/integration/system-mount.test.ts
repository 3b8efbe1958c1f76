/** The volume as a filesystem of the machine: fstab, mount(8), umount(8), and ordinary users. */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mustRun } from '../helpers/cli.ts'
import { runInNamespace } from '../helpers/namespace.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { freePort } from '../helpers/system.ts'

const volume = new SharedVolume({ nodeCount: 1 })
const PROGRAM = join(import.meta.dirname, '../../..', 'bin/tandemfs.js')
const NOBODY = 65_534

/** /sbin and /etc/fstab are those of the scratch root, for this script alone. */
const FSTAB_SCRIPT = `
root=$1 point=$2 state=$3
mount -t overlay overlay -o "lowerdir=$root/sbin:/usr/sbin" /usr/sbin || exit 77
mount --bind "$root/etc/fstab" /etc/fstab
options() { findmnt -rno OPTIONS "$point"; }
report mounted mount "$point"
echo "options=$(options)"
report written sh -c 'echo data > "$1/file"' sh "$point"
report all mount -a
report again mount -a
report remountRo mount -o remount,ro "$point"
report refusedRo sh -c 'echo more > "$1/file"' sh "$point"
report remountRw mount -o remount,rw "$point"
echo "kept=$(options)"
report busyRo sh -c 'exec 5>"$1/file"; exec mount -o remount,ro "$1"' sh "$point"
report withoutHelper umount -i "$point"
report atOnce mount "$point"
report unmounted umount "$point"
test -e "$state/daemon.pid"; echo "daemonGone=$?"
report direct mount -s -t fuse.tandemfs -o ro,frobnicate "$state" "$point"
echo "sloppy=$(options)"
report busy sh -c 'cd "$1" && umount "$1"' sh "$point"
report lazy umount -l "$point"
report unknown mount -t tandemfs -o frobnicate "$state" "$point"
report fake mount -f "$point"
report nothing findmnt "$point"
report absent mount -t tandemfs no-such-volume "$point"
`

scenario(
  'system mount - fstab, mount(8), remount and umount(8)',
  { daemons: true, programs: ['unshare', 'findmnt'] },
  volume,
  async (t) => {
    const cluster = await volume.cluster()
    const node = cluster.node(0)
    await node.unmount()
    const root = join(cluster.scratch, 'root')
    for (const folder of ['etc', 'sbin']) mkdirSync(join(root, folder), { recursive: true })
    writeFileSync(join(root, 'etc/fstab'), '# this machine\n')
    const target = [node.stateDir, node.mountPath, '--root', root]
    await mustRun(['fstab', ...target, '--install', '-o', 'noexec,isolation_timeout=7'])
    const { code, values, output } = await runInNamespace(FSTAB_SCRIPT, [
      root,
      node.mountPath,
      node.stateDir
    ])
    if (code === 77) {
      t.comment('NOT TESTED: no overlay filesystem here to show mount(8) another /sbin')
      return
    }
    const { options = '', kept = '', sloppy = '', ...codes } = values
    t.ok(options.includes('rw,noexec'), options)
    t.ok(kept.includes('rw,noexec'), `what remount does not name stays: ${kept}`)
    t.ok(sloppy.includes('ro,'), sloppy)
    const expected = {
      mounted: '0',
      written: '0',
      all: '0',
      again: '0',
      remountRo: '0',
      refusedRo: '2',
      remountRw: '0',
      busyRo: '32',
      withoutHelper: '0',
      atOnce: '0',
      unmounted: '0',
      daemonGone: '1',
      direct: '0',
      busy: '32',
      lazy: '0',
      unknown: '1',
      fake: '0',
      nothing: '1',
      absent: '32'
    }
    t.alike(codes, expected, output)
    await mustRun(['fstab', ...target, '--uninstall'])
    t.is(readFileSync(join(root, 'etc/fstab'), 'utf8'), '# this machine\n')
    t.absent(existsSync(join(root, 'sbin/mount.tandemfs')))
    await node.mount()
  }
)

/** /dev/fuse as udev makes it on an installed system; the machine's own stays as it is. */
const USER_SCRIPT = `
home=$1 node=$2 program=$3 port=$4
mknod "$home/fuse" c 10 229; chmod 666 "$home/fuse"; mount --bind "$home/fuse" /dev/fuse
tfs() { setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups "$node" "$program" "$@"; }
cd "$home"
report created tfs create mine --dir "$home/state" --listen "127.0.0.1:$port"
report foreignPoint tfs mount "$home/state/mine" "$home/foreign"
report mounted tfs mount "$home/state/mine" "$home/mount"
echo "options=$(findmnt -rno OPTIONS "$home/mount")"
report status tfs status "$home/mount"
report invited tfs invite "$home/state/mine"
report owner setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups sh -c 'echo x > "$1/f" && cat "$1/f"' sh "$home/mount"
report otherUser setpriv --reuid 12345 --regid 12345 --clear-groups ls "$home/mount"
report remount tfs mount "$home/state/mine" "$home/mount" -o remount
report unmounted tfs unmount "$home/mount"
report refusedOther tfs mount "$home/state/mine" "$home/mount" -o allow_other
report nothing findmnt "$home/mount"
report again tfs mount "$home/state/mine" "$home/mount" -o ro,sync
kill -9 "$(cat "$home/state/mine/daemon.pid")"
report dead tfs unmount "$home/mount"
report left findmnt "$home/mount"
`

scenario(
  'system mount - an ordinary user creates, mounts, uses and unmounts a volume',
  { daemons: true, programs: ['unshare', 'findmnt', 'setpriv', 'fusermount3'] },
  volume,
  async (t) => {
    const { scratch } = await volume.cluster()
    const home = join(scratch, 'home')
    chmodSync(scratch, 0o755)
    mkdirSync(join(home, 'foreign'), { recursive: true })
    for (const folder of ['state', 'mount']) {
      mkdirSync(join(home, folder), { recursive: true })
      chownSync(join(home, folder), NOBODY, NOBODY)
    }
    chownSync(home, NOBODY, NOBODY)
    const port = String(await freePort())
    const { values, output } = await runInNamespace(USER_SCRIPT, [
      home,
      process.execPath,
      PROGRAM,
      port
    ])
    const { options = '', ...codes } = values
    t.ok(options.includes('nosuid,nodev') && options.includes(`user_id=${NOBODY}`), options)
    const expected = {
      created: '0',
      foreignPoint: '15',
      mounted: '0',
      status: '0',
      invited: '0',
      owner: '0',
      otherUser: '2',
      remount: '2',
      unmounted: '0',
      refusedOther: '15',
      nothing: '1',
      again: '0',
      dead: '0',
      left: '1'
    }
    t.alike(codes, expected, output)
    const errors = output.split('\n').filter((line) => line.startsWith('tandemfs: '))
    t.ok(
      errors.some((line) => line.includes('user_allow_other')),
      'says what allow_other needs'
    )
    t.ok(
      errors.every((line) => line.split(': ').length >= 4),
      'what: why: what to do'
    )
  }
)

finishVolume(volume)
