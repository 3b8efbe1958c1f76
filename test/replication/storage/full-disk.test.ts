import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'brittle'

const CHILD = fileURLToPath(new URL('./fill-disk.js', import.meta.url))
const SCRIPT = 'mount -t tmpfs -o size=32m none "$1" && exec "$2" "$3" "$1/state"'

test('full disk - the stores say so, keep what they had and go on later', async (t) => {
  const dir = await t.tmp()
  // A user namespace lets an ordinary user mount a tmpfs; the mount ends with the child.
  const who = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const { stdout } = await promisify(execFile)(
    'unshare',
    [...who, '--mount', 'sh', '-c', SCRIPT, 'sh', join(dir), process.execPath, CHILD],
    { timeout: 60_000 }
  )
  const saw: unknown = JSON.parse(stdout)
  t.comment(stdout)
  if (typeof saw !== 'object' || saw === null) throw new Error('no result')
  const { journalCode, segmentCode, free, accepted, kept, last, sound, ...log } = {
    journalCode: '',
    segmentCode: '',
    free: -1,
    accepted: 0,
    kept: -1,
    last: 0,
    sound: false,
    logError: '',
    logFailures: [],
    logAppended: 0,
    ...saw
  }
  t.is(journalCode, 'ENOSPC')
  t.is(segmentCode, 'ENOSPC')
  t.ok(free < 2 * 1024 * 1024)
  t.ok(accepted > 0)
  t.is(kept, 2 * accepted + 1, 'all that was accepted and nothing else')
  t.is(last, 5000)
  t.ok(sound)
  t.not(log.logError, '')
  t.alike(log.logFailures, ['write'], 'reported once')
  t.is(log.logAppended, 5, 'an opening later, the log goes on')
})
