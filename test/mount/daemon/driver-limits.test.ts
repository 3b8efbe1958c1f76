import test from 'brittle'
import { checkDriver, driverWarnings } from '../../../src/mount/daemon/driver-limits.ts'
import { ExitCode } from '../../../src/mount/daemon/exit-codes.ts'
import { parseMountOptions } from '../../../src/mount/daemon/mount-options.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'

test('driver limits - local locks have to be agreed to, users cannot be told apart', (t) => {
  const table = [
    ['ro', true],
    ['allow_other', true],
    ['driver=default', true],
    ['driver=fuse-native,local_locks', true],
    ['driver=fuse-native', false],
    ['local_locks', false],
    ['driver=fuse-native,local_locks,allow_other', false]
  ] as const
  for (const [list, isAllowed] of table) {
    let code: number = ExitCode.ok
    try {
      checkDriver(parseMountOptions([list]))
    } catch (error) {
      code = error instanceof UserError ? error.exitCode : -1
    }
    t.is(code, isAllowed ? ExitCode.ok : ExitCode.usage, list)
  }
})

test('driver limits - what is lost is said, by the optional driver only', (t) => {
  t.alike(driverWarnings(parseMountOptions(['ro'])), [])
  const lines = driverWarnings(parseMountOptions(['driver=fuse-native,local_locks']))
  t.ok(lines.length > 0 && lines[0]?.includes('fcntl'))
  t.absent(lines.some((line) => line.includes('\n')))
})
