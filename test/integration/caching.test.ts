/** What the kernels of both nodes cache, while both change it: nothing older than what was finished. */
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { seed, size } from '../helpers/sizes.ts'

const volume = new SharedVolume()

/**
 * One process uses both mounts in turn, through handles, a mapping and names it had before. Its
 * pauses let names and pages be cached again. Prints what was wrong.
 */
const script = `
import mmap, os, random, sys, time
here, there, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
draw = random.Random(int(sys.argv[4]))
sides = [here, there]
length = 20000
def body(n): return (b'%08d' % n) * (length // 8)
with open(here + '/f', 'wb') as f: f.write(body(0))
open(here + '/name-0', 'w').close()
time.sleep(2.2)
readers = [os.open(side + '/f', os.O_RDONLY) for side in sides]
writers = [os.open(side + '/f', os.O_RDWR) for side in sides]
pipe = os.pipe()
def splice(fd, at): return os.read(pipe[0], os.splice(fd, pipe[1], 8, at))
for n in range(1, count + 1):
    for side, fd in zip(sides, readers):
        os.pread(fd, length, 0), splice(fd, 0), os.stat(side + '/f')
        if os.path.exists(side + '/name-%d' % n): print(n, 'a name before its time')
    if n % 10 == 0: time.sleep(1.1)
    by = draw.randrange(2)
    os.pwrite(writers[by], body(n), 0)
    os.chmod(sides[by] + '/f', 0o600 + n % 64)
    os.rename(sides[by] + '/name-%d' % (n - 1), sides[by] + '/name-%d' % n)
    for side, fd, direct in zip(sides, readers, writers):
        where = '%d on %s by %s' % (n, side, sides[by])
        at = draw.randrange(length // 8) * 8
        for how, seen in ('read', os.pread(fd, 8, at)), ('splice', splice(fd, at)), ('splice direct', splice(direct, at)):
            if seen != b'%08d' % n: print(where, how, seen)
        if os.stat(side + '/f').st_mode & 0o777 != 0o600 + n % 64: print(where, 'mode')
        if os.path.exists(side + '/name-%d' % (n - 1)): print(where, 'the old name')
        if not os.path.exists(side + '/name-%d' % n): print(where, 'not the new name')
print('done')
`

scenario('caching - nothing old on either node', { programs: ['python3'] }, volume, async (t) => {
  const { a, pathA, pathB } = await volume.pair()
  const count = size(20, 2000)
  const argv = ['python3', '-c', script, pathA(''), pathB(''), String(count), String(seed)]
  const { stdout, stderr } = await a.call('exec', { argv }, 600_000)
  t.is(stderr, '')
  t.is(stdout, 'done\n', `${count} changes, seed ${seed}`)
})

/** Lists all folders over and over, and looks at what it finds. */
const listerScript = `
import os, sys
while True:
    for folder in range(int(sys.argv[2])):
        for entry in os.scandir(sys.argv[1] + '/l%d' % folder):
            try: entry.stat(follow_symlinks=False)
            except FileNotFoundError: pass
`

/**
 * While that runs on both nodes, one process changes one folder at a time, on either node, at any
 * moment of it, and then looks on both. Folders take turns, so that what is listed of the others may be
 * cached. Prints what was wrong.
 */
const changerScript = `
import os, random, subprocess, sys, time
here, there, count, lister = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[5]
draw = random.Random(int(sys.argv[4]))
sides = [here, there]
folders, files = 3, 300
for folder in range(folders):
    os.mkdir(here + '/l%d' % folder)
    for n in range(files): open(here + '/l%d/f%d-0' % (folder, n), 'w').close()
version = [[0] * files for folder in range(folders)]
listers = [subprocess.Popen([sys.executable, '-c', lister, side, str(folders)]) for side in sides]
def seen(path):
    try: return os.lstat(path)
    except FileNotFoundError: return None
try:
    for n in range(count):
        time.sleep(0.5 + draw.random() * 0.3)
        folder, by = n % folders, draw.randrange(2)
        chosen = {}
        for each in draw.sample(range(files), 30):
            base = '/l%d/f%d-' % (folder, each)
            version[folder][each] += 1
            old, new = base + str(version[folder][each] - 1), base + str(version[folder][each])
            chosen[old] = new, draw.randrange(0o400, 0o700)
        for new, mode in chosen.values():
            for side in sides: seen(side + new)
        for old, (new, mode) in chosen.items():
            if draw.randrange(2):
                os.rename(sides[by] + old, sides[by] + new)
            else:
                os.unlink(sides[by] + old)
                os.close(os.open(sides[by] + new, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.chmod(sides[by] + new, mode)
        for side in sides:
            for old, (new, mode) in chosen.items():
                if seen(side + old): print(n, side, by, old, 'is still there')
                found = seen(side + new)
                if not found: print(n, side, by, new, 'is not there')
                elif found.st_mode & 0o777 != mode: print(n, side, by, new, 'is another file')
    early = [each.poll() for each in listers]
    if early != [None, None]: print('a lister ended', early)
finally:
    for each in listers: each.kill(), each.wait()
for folder in range(folders):
    names = sorted('f%d-%d' % pair for pair in enumerate(version[folder]))
    for side in sides:
        if sorted(os.listdir(side + '/l%d' % folder)) != names: print(side, folder, 'listed wrongly')
print('done')
`

scenario('caching - listings while they change', { programs: ['python3'] }, volume, async (t) => {
  const { a, pathA, pathB } = await volume.pair()
  const count = size(4, 1000)
  const sides = [pathA(''), pathB('')]
  const argv = ['python3', '-c', changerScript, ...sides, String(count), String(seed), listerScript]
  const { stdout, stderr } = await a.call('exec', { argv }, 1_800_000)
  t.is(stderr, '')
  t.is(stdout, 'done\n', `${count} changes, seed ${seed}`)
})

finishVolume(volume)
