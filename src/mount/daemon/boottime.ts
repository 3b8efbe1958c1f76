/** CLOCK_BOOTTIME by the addon, else by /proc. */
import { loadAddon } from '../channel/load-addon.ts'
import { nativeSystemCalls, programSystemCalls } from '../channel/system-calls.ts'

/** A function that tells its milliseconds. */
export function boottimeMs(): () => number {
  const { addon } = loadAddon()
  const system = addon ? nativeSystemCalls(addon) : programSystemCalls()
  return () => system.boottimeMs()
}
