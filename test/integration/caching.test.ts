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

finishVolume(volume)
