/** The scratch folder of a run. Whatever happens, what is below it is ended, detached and removed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { detachMountsBelow, mountsBelow, processesNaming } from '../test/helpers/system.ts'
import { killChildren } from './children.ts'

export class Scratch {
  readonly folder: string
  #gone = false

  constructor(parent = tmpdir()) {
    this.folder = mkdtempSync(join(parent, 'tandemfs-bench-'))
    process.on('exit', () => this.destroyNow())
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => process.exit(130))
    }
  }

  /** What should not be there any more once everything was closed; empty when all is well. */
  leftovers(): string[] {
    return [
      ...processesNaming(this.folder).map((pid) => `process ${pid} left behind`),
      ...mountsBelow(this.folder).map(({ mountPath }) => `mount ${mountPath} left behind`)
    ]
  }

  destroyNow(): void {
    if (this.#gone) return
    this.#gone = true
    killChildren()
    for (const pid of processesNaming(this.folder)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended meanwhile.
      }
    }
    detachMountsBelow(this.folder)
    // Never walk into a mount that could not be detached.
    if (mountsBelow(this.folder).length === 0) {
      rmSync(this.folder, { recursive: true, force: true })
    }
  }
}
