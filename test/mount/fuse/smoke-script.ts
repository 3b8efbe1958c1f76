/**
 * What a process does on the mount in the smoke test: Python, because Node has no fallocate, xattr
 * or SEEK_HOLE. Called with the mount point; prints one JSON object, or dies at the first surprise.
 */
export const smokeScript = `
import errno, json, mmap, os, stat, sys
root = sys.argv[1]
def at(name): return os.path.join(root, name)
def fails(code, fn, *args):
    try: fn(*args)
    except OSError as error:
        assert error.errno == code, (error, code)
        return
    raise AssertionError('no error, %d wanted' % code)

os.mkdir(at('d'), 0o750)
assert stat.S_IMODE(os.stat(at('d')).st_mode) == 0o750
fails(errno.EEXIST, os.mkdir, at('d'))
fails(errno.ENOENT, os.stat, at('nobody'))
fails(errno.ENAMETOOLONG, os.mkdir, at('x' * 256))

data = bytes(range(256)) * 12288 + b'tail'
with open(at('d/f'), 'wb', buffering=0) as f:
    assert f.write(data) == len(data)
    os.fsync(f.fileno())
with open(at('d/f'), 'rb', buffering=0) as f:
    assert f.read() == data
    os.lseek(f.fileno(), 2 ** 53, os.SEEK_SET)
    assert os.read(f.fileno(), 10) == b''
    assert os.lseek(f.fileno(), 0, os.SEEK_HOLE) == len(data)
with open(at('d/f'), 'r+b') as f:
    fails(errno.EFBIG, os.pwrite, f.fileno(), b'x', 2 ** 60)
    fails(errno.EFBIG, os.ftruncate, f.fileno(), 2 ** 60)
    os.ftruncate(f.fileno(), 1000)
    assert os.fstat(f.fileno()).st_size == 1000
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
fd = os.open(at('log'), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
for i in range(100): os.write(fd, b'line %02d\\n' % i)
os.close(fd)
assert os.stat(at('log')).st_size == 800
fd = os.open(at('log'), os.O_WRONLY | os.O_TRUNC)
assert os.fstat(fd).st_size == 0
os.close(fd)

os.rename(at('d/f'), at('g'))
assert sorted(os.listdir(root)) == ['d', 'g', 'log']
os.link(at('g'), at('h'))
assert os.stat(at('g')).st_nlink == 2
os.symlink('d/some target', at('s'))
assert os.readlink(at('s')) == 'd/some target'
os.mkfifo(at('fifo'), 0o640)
assert stat.S_ISFIFO(os.stat(at('fifo')).st_mode)
os.setxattr(at('g'), b'user.a', b'v' * 1000)
assert os.getxattr(at('g'), b'user.a') == b'v' * 1000
assert os.listxattr(at('g')) == ['user.a']
fails(errno.EEXIST, os.setxattr, at('g'), b'user.a', b'', os.XATTR_CREATE)
os.removexattr(at('g'), b'user.a')
fails(errno.ENODATA, os.getxattr, at('g'), b'user.a')
os.utime(at('g'), ns=(1_000_000_007, -1_500_000_001))
assert os.stat(at('g')).st_mtime_ns == -1_500_000_001
os.chmod(at('g'), 0o4711)
assert stat.S_IMODE(os.stat(at('g')).st_mode) == 0o4711

count = 5000
for i in range(count): os.close(os.open(at('d/file-%d' % i), os.O_CREAT | os.O_WRONLY))
names = os.listdir(at('d'))
assert len(names) == count and len(set(names)) == count
assert sum(entry.stat().st_size for entry in os.scandir(at('d'))) == 0
for name in names: os.unlink(at('d/' + name))
os.rmdir(at('d'))
fails(errno.ENOTTY, lambda: __import__('fcntl').ioctl(os.open(root, os.O_RDONLY), 0x1234))
assert os.statvfs(root).f_namemax == 255
with open(at('g'), 'rb') as a, open(at('copy'), 'wb') as b:
    try: copied = os.copy_file_range(a.fileno(), b.fileno(), 100)
    except OSError as error: copied = error.errno
print(json.dumps({'shared': shared, 'copied': copied}))
`
