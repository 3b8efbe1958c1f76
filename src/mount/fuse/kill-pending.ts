/** (I/O) Asks /proc whether a thread is being killed. */
import { readFileSync } from 'node:fs'

const SIGKILL_BIT = 1n << 8n

/** True when a signal set of /proc/PID/status (SigPnd: thread, ShdPnd: process) holds SIGKILL. */
export function hasSigkill(status: string): boolean {
  for (const match of status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-fA-F]{1,16})$/gm)) {
    if ((BigInt(`0x${match[1]}`) & SIGKILL_BIT) !== 0n) return true
  }
  return false
}

/**
 * True when SIGKILL is pending for thread `pid`. A thread that cannot be looked at (pid 0: it lives
 * in a foreign pid namespace; or /proc hides it) counts as not killed, because ending its wait for
 * any signal breaks programs.
 */
export function killPending(pid: number): boolean {
  if (pid === 0) return false
  try {
    return hasSigkill(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}
