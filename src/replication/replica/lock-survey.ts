/**
 * Asks every member which file locks its own processes hold or wait for: only the union of these
 * is complete, because a member that is alone with an inode decides its locks without telling.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { LockRow } from '../../fs/ports/lock-service.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { LockQueryMessage, LockRowsMessage } from '../messages.ts'
import type { PeerLinks } from './peer-links.ts'

/** Rows a member tells at most; an administrator reads them. */
export const LOCK_ROWS_MAX = 5000
const PATIENCE_MS = 2000

export interface LockSurveyComponents {
  readonly links: PeerLinks
  readonly clock: Clock
  readonly self: MemberId
  readonly list: () => readonly LockRow[]
  /** Name of a local process. */
  readonly commandOf: (pid: number) => string | undefined
}

export interface LockSurveyResult {
  readonly rows: readonly LockRow[]
  /** Connected members that did not answer in time. */
  readonly silent: readonly MemberId[]
}

interface Round {
  readonly waiting: Set<MemberId>
  readonly answered: Set<MemberId>
  readonly rows: LockRow[]
  readonly finish: () => void
}

export class LockSurvey {
  readonly #components: LockSurveyComponents
  readonly #rounds = new Map<number, Round>()
  #last = 0

  constructor(components: LockSurveyComponents) {
    this.#components = components
  }

  /** Resolves with what was answered, after PATIENCE_MS at the latest. */
  ask(): Promise<LockSurveyResult> {
    const { links, clock, list, self } = this.#components
    const query = ++this.#last
    return new Promise((resolve) => {
      const rows = [...this.#own()]
      const waiting = new Set(links.connected())
      const answered = new Set<MemberId>()
      const finish = (): void => {
        timer.cancel()
        this.#rounds.delete(query)
        // Of who cannot be asked, this member may know something: the authority has their locks.
        const known = list().filter((row) => row.member !== self && !answered.has(row.member))
        resolve({ rows: [...rows, ...known], silent: [...waiting] })
      }
      const timer = clock.setTimer(PATIENCE_MS, finish)
      this.#rounds.set(query, { waiting, answered, rows, finish })
      for (const member of waiting) links.sendControl(member, { type: 'lock-query', query })
      if (waiting.size === 0) finish()
    })
  }

  onQuery(from: MemberId, { query }: LockQueryMessage): void {
    const rows = this.#own()
    this.#components.links.sendControl(from, { type: 'lock-rows', query, rows })
  }

  onRows(from: MemberId, { query, rows }: LockRowsMessage): void {
    const round = this.#rounds.get(query)
    if (!round?.waiting.delete(from)) return
    round.answered.add(from)
    for (const row of rows) round.rows.push({ ...row, member: from })
    if (round.waiting.size === 0) round.finish()
  }

  #own(): LockRow[] {
    const { list, self, commandOf } = this.#components
    const own = list().filter((row) => row.member === self)
    return own.slice(0, LOCK_ROWS_MAX).map((row) => {
      const command = commandOf(row.pid)
      return command === undefined ? row : { ...row, command }
    })
  }
}
