/**
 * What a process may expect of the mount, whichever driver serves it: Python, because Node has no
 * fallocate, xattr or SEEK_HOLE. Called with the mount point and how many files a directory is
 * filled with; dies at the first surprise.
 */

const preamble = `
import ctypes, errno, fcntl, json, mmap, os, stat, sys
root, count = sys.argv[1], int(sys.argv[2])
def at(name): return os.path.join(root, name)
def fails(code, fn, *args):
    try: fn(*args)
    except OSError as error:
        assert error.errno == code, (error, code)
        return
    raise AssertionError('no error, %d wanted' % code)
`

/** Every driver. Leaves 'g', 'h' and others behind. */
const basic = `
os.mkdir(at('d'), 0o750)
assert stat.S_IMODE(os.stat(at('d')).st_mode) == 0o750
assert os.stat(at('d')).st_uid == os.geteuid()
fails(errno.EEXIST, os.mkdir, at('d'))
fails(errno.ENOENT, os.stat, at('nobody'))
fails(errno.ENAMETOOLONG, os.mkdir, at('x' * 256))
os.mkdir(at('y' * 255))
os.rmdir(at('y' * 255))

data = bytes(range(256)) * 12288 + b'tail'
with open(at('d/f'), 'wb', buffering=0) as f:
    assert f.write(data) == len(data)
    os.fsync(f.fileno())
fails(errno.ENOTDIR, os.stat, at('d/f/below'))
with open(at('d/f'), 'rb', buffering=0) as f:
    assert f.read() == data
    os.lseek(f.fileno(), 2 ** 53, os.SEEK_SET)
    assert os.read(f.fileno(), 10) == b''
with open(at('d/f'), 'r+b') as f:
    fails(errno.EFBIG, os.pwrite, f.fileno(), b'x', 2 ** 60)
    fails(errno.EFBIG, os.ftruncate, f.fileno(), 2 ** 60)
    os.ftruncate(f.fileno(), 1000)
    assert os.fstat(f.fileno()).st_size == 1000
    assert os.pwrite(f.fileno(), b'far', 4997) == 3
    assert os.pread(f.fileno(), 4000, 1000) == bytes(3997) + b'far'
fd = os.open(at('log'), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o400)
for i in range(100): assert os.write(fd, b'line %02d\\n' % i) == 8
os.close(fd)
assert os.stat(at('log')).st_size == 800
fails(errno.EEXIST, os.open, at('log'), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
fd = os.open(at('log'), os.O_WRONLY | os.O_TRUNC | os.O_SYNC)
assert os.fstat(fd).st_size == 0
os.write(fd, b'synced')
os.close(fd)
os.truncate(at('log'), 3)
assert open(at('log'), 'rb').read() == b'syn'

os.rename(at('d/f'), at('g'))
assert sorted(os.listdir(root)) == ['d', 'g', 'log']
fails(errno.ENOTDIR, os.rename, at('d'), at('g'))
fails(errno.EISDIR, os.rename, at('g'), at('d'))
os.link(at('g'), at('h'))
assert os.stat(at('g')).st_nlink == 2
os.symlink('d/some target', at('s'))
assert os.readlink(at('s')) == 'd/some target'
os.mkfifo(at('fifo'), 0o640)
assert stat.S_ISFIFO(os.stat(at('fifo')).st_mode)
assert {e.name: e.is_dir(follow_symlinks=False) for e in os.scandir(root)} == {
    'd': True, 'g': False, 'h': False, 'log': False, 's': False, 'fifo': False}
os.setxattr(at('g'), b'user.a', b'v' * 1000)
assert os.getxattr(at('g'), b'user.a') == b'v' * 1000
assert os.listxattr(at('g')) == ['user.a']
libc, small = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(4)
assert libc.getxattr(os.fsencode(at('g')), b'user.a', small, 4) == -1
assert ctypes.get_errno() == errno.ERANGE
assert libc.listxattr(os.fsencode(at('g')), small, 4) == -1
assert ctypes.get_errno() == errno.ERANGE
os.setxattr(at('g'), b'user.empty', b'')
assert os.getxattr(at('g'), b'user.empty') == b''
fails(errno.EEXIST, os.setxattr, at('g'), b'user.a', b'', os.XATTR_CREATE)
os.removexattr(at('g'), b'user.a')
fails(errno.ENODATA, os.getxattr, at('g'), b'user.a')
os.utime(at('g'), ns=(1_000_000_000_000, 1_600_000_000_005_000_000))
assert os.stat(at('g')).st_mtime_ns == 1_600_000_000_005_000_000
os.chmod(at('g'), 0o4711)
assert stat.S_IMODE(os.stat(at('g')).st_mode) == 0o4711
if os.geteuid() == 0:
    os.chown(at('log'), 1234, -1)
    assert (os.stat(at('log')).st_uid, os.stat(at('log')).st_gid) == (1234, 0)

with open(at('gone'), 'w+b', buffering=0) as f:
    f.write(b'still here')
    os.unlink(at('gone'))
    fails(errno.ENOENT, os.stat, at('gone'))
    assert os.pread(f.fileno(), 100, 0) == b'still here'
    f.write(b', and longer')
    assert os.fstat(f.fileno()).st_size == 22

for i in range(count): os.close(os.open(at('d/file-%d' % i), os.O_CREAT | os.O_WRONLY))
names = os.listdir(at('d'))
assert len(names) == count and len(set(names)) == count
assert sum(entry.stat().st_size for entry in os.scandir(at('d'))) == 0
fails(errno.ENOTEMPTY, os.rmdir, at('d'))
for name in names: os.unlink(at('d/' + name))
fd = os.open(at('d'), os.O_RDONLY)
os.fsync(fd)
os.close(fd)
os.rmdir(at('d'))
fails(errno.ENOTTY, lambda: fcntl.ioctl(os.open(root, os.O_RDONLY), 0x1234))
assert os.statvfs(root).f_namemax == 255
assert 0 < os.statvfs(root).f_bavail <= os.statvfs(root).f_blocks
with open(at('g'), 'rb') as a, open(at('copy'), 'wb') as b:
    try: copied = os.copy_file_range(a.fileno(), b.fileno(), 100)
    except OSError as error: copied = error.errno
`

/** The default driver besides: what paths and milliseconds cannot tell. */
const exact = `
with open(at('g'), 'r+b') as f:
    os.ftruncate(f.fileno(), 1000)
    assert os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 1000
    os.posix_fallocate(f.fileno(), 0, 5000)
    assert os.fstat(f.fileno()).st_size == 5000
    shared = 'yes'
    try:
        with mmap.mmap(f.fileno(), 4096) as m:
            m[0:4] = b'MMAP'
            m.flush()
        assert os.pread(f.fileno(), 4, 0) == b'MMAP'
    except OSError as error:
        assert error.errno == errno.ENODEV
        shared = 'no'
os.utime(at('g'), ns=(1_000_000_007, -1_500_000_001))
assert os.stat(at('g')).st_mtime_ns == -1_500_000_001
assert os.stat(at('g')).st_ino == os.stat(at('h')).st_ino
raw = os.fsencode(root) + b'/\\xff\\xfe'
os.mkdir(raw)
assert b'\\xff\\xfe' in os.listdir(os.fsencode(root))
os.rmdir(raw)
print(json.dumps({'shared': shared, 'copied': copied}))
`

/** What the driver fuse-native cannot do is refused, not done differently. */
const refusals = `
RENAME_NOREPLACE, FALLOC_FL_KEEP_SIZE = 1, 1
def call(fn, *args):
    if fn(*args) == 0: return
    raise OSError(ctypes.get_errno(), 'refused')
fails(errno.EINVAL, call, libc.renameat2, -100, os.fsencode(at('g')), -100, os.fsencode(at('new')), RENAME_NOREPLACE)
raw = os.fsencode(root) + b'/\\xff\\xfe'
fails(errno.EILSEQ, os.mkdir, raw)
fails(errno.EILSEQ, os.stat, raw)
fails(errno.EILSEQ, os.symlink, b'\\xff\\xfe', os.fsencode(at('link')))
with open(at('g'), 'r+b') as f:
    off = ctypes.c_int64
    fails(errno.EOPNOTSUPP, call, libc.fallocate, f.fileno(), FALLOC_FL_KEEP_SIZE, off(0), off(9))
    fails(errno.ENODEV, mmap.mmap, f.fileno(), 1000)
`

export const wholeConformance = preamble + basic + exact
export const basicConformance = preamble + basic + refusals
