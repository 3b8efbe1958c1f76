/** Changes of membership that somebody waits for: proposed to the epochs, done with the record. */
import type { MemberChange } from '../epoch/member-change.ts'
import type { EpochRecord } from '../record.ts'

export interface MemberChangesComponents {
  readonly record: () => EpochRecord
  /** Hands the change to the epochs; a record that contains it follows. */
  readonly propose: (change: MemberChange) => void
}

interface Wait {
  readonly change: MemberChange
  readonly resolve: () => void
}

export class MemberChanges {
  readonly #components: MemberChangesComponents
  #waits: Wait[] = []

  constructor(components: MemberChangesComponents) {
    this.#components = components
  }

  /** Resolves when the record with that change is durable. */
  make(change: MemberChange): Promise<void> {
    if (isDone(this.#components.record(), change)) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waits.push({ change, resolve })
      this.#components.propose(change)
    })
  }

  /** Call when the record is another one. */
  settle(): void {
    const record = this.#components.record()
    const waits = this.#waits
    this.#waits = waits.filter(({ change }) => !isDone(record, change))
    for (const { change, resolve } of waits) if (isDone(record, change)) resolve()
  }
}

function isDone(record: EpochRecord, change: MemberChange): boolean {
  return change.kind === 'add'
    ? record.members.some((m) => m.id === change.member.id)
    : !record.members.some((m) => m.id === change.id)
}
