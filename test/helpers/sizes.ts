/**
 * How large the integration tests run. `TANDEMFS_TEST_SIZE=soak` is the size of the promises in the
 * documentation; the default is the same tests small enough for every `npm test`.
 */
import { canOpenFuse, hasProgram } from './system.ts'

export const isSoak = process.env['TANDEMFS_TEST_SIZE'] === 'soak'

/** Runs the tests with one plain local directory in place of both mounts: checks the tests. */
export const isReference = process.env['TANDEMFS_TEST_REFERENCE'] === '1'

/** Printed by each test that draws from it; `TANDEMFS_TEST_SEED=N` repeats a run. */
export const seed = Number(process.env['TANDEMFS_TEST_SEED'] ?? Date.now() % 1_000_000)

export function size(usual: number, soak: number): number {
  return isSoak ? soak : usual
}

/** Why the tests that need root, /dev/fuse or `programs` cannot run here, or undefined. */
export function missingHere(
  programs: readonly string[],
  needsDaemons: boolean
): string | undefined {
  const absent = programs.filter((program) => !hasProgram(program))
  if (absent.length > 0) return `not installed: ${absent.join(', ')}`
  if (isReference) return needsDaemons ? 'needs daemons, this is a reference run' : undefined
  if (!canOpenFuse()) return '/dev/fuse cannot be opened here'
  return undefined
}
