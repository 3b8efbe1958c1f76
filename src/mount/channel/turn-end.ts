/**
 * Work put off until the requests at hand were all handed over: ops of several processes then share
 * an entry and a system call, and nobody waits for the event loop to come round. Outside a batch of
 * requests it is the end of the event-loop turn, as elsewhere.
 */
import type { Timer } from '../../fs/ports/clock.ts'
import { deferToTurnEnd } from '../../replication/defer.ts'

const RUNS = 0
const WANTED = 1

interface Work {
  readonly run: () => void
  cancelled: boolean
}

export class TurnEnd {
  /**
   * Shared with the addon's reader, which sets the first byte while it hands requests over, and looks
   * at the second behind the last of them.
   */
  readonly bytes = new Uint8Array(new ArrayBuffer(2))
  #works: Work[] = []

  /** Runs `run` once, in the order of the calls, unless cancelled before. */
  defer(run: () => void): Timer {
    if (this.bytes[RUNS] === 0) return deferToTurnEnd(run)
    const work: Work = { run, cancelled: false }
    this.#works.push(work)
    this.bytes[WANTED] = 1
    return {
      cancel: () => {
        work.cancelled = true
      }
    }
  }

  /** For the reader: the batch is over. What is put off meanwhile comes with the next call. */
  end(): void {
    const works = this.#works
    this.#works = []
    for (const work of works) if (!work.cancelled) work.run()
  }
}
