/** The files the daemon keeps in a member's state directory, beside those of the volume. */
import path from 'node:path'

export interface StateFiles {
  readonly pid: string
  readonly control: string
  readonly log: string
  readonly lock: string
}

export function stateFiles(stateDir: string): StateFiles {
  return {
    pid: path.join(stateDir, 'daemon.pid'),
    control: path.join(stateDir, 'control.sock'),
    log: path.join(stateDir, 'daemon.log'),
    lock: path.join(stateDir, 'daemon.lock')
  }
}
