import { existsSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import test from 'brittle'
import { createLogger, LogFile } from '../../../src/mount/daemon/log-file.ts'
import { StateLock } from '../../../src/mount/daemon/state-lock.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'

test('log file - JSON lines, mode 0600, begun anew at its limit', async (t) => {
  const file = path.join(await t.tmp(), 'daemon.log')
  const log = new LogFile(file, { maxBytes: 500 })
  const logger = createLogger(log, { level: 'info' })
  logger.debug({ hidden: true }, 'below the level')
  logger.info({ member: 2 }, 'a message')
  logger.child({ part: 'x' }).warn({ count: 1 }, 'of a part')
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  t.is(lines.length, 2)
  logger.warn({ error: new RangeError('of what') }, 'an error among the fields')
  const told = readFileSync(file, 'utf8').trim().split('\n').at(-1) ?? ''
  t.ok(told.includes('of what') && told.includes('RangeError'), told.slice(0, 200))
  const [first, second] = lines.map((line) => JSON.parse(line))
  t.ok(first.msg === 'a message' && first.member === 2 && first.pid === process.pid)
  t.ok(second.part === 'x' && second.count === 1 && second.level === 40)
  t.is(statSync(file).mode & 0o777, 0o600)
  for (let index = 0; index < 20; index += 1) logger.info({ index }, 'fill')
  t.ok(statSync(file).size < 700 && statSync(`${file}.1`).size < 700, 'both are bounded')
  t.ok(readFileSync(file, 'utf8').includes('"index":19'), 'the newest line is in daemon.log')
  log.close()
})

test('state lock - one holder, free again after release', async (t) => {
  const dir = await t.tmp()
  const lock = StateLock.acquire(dir)
  try {
    StateLock.acquire(dir)
    t.fail('must throw')
  } catch (error) {
    t.ok(error instanceof UserError && error.exitCode === 5)
  }
  lock.release()
  StateLock.acquire(dir).release()
  t.ok(existsSync(path.join(dir, 'daemon.lock')))
})
