/**
 * Notes of one client: what is exclusive elsewhere. Keeps RULES 17: a note is acknowledged when the
 * guards on what it names have ended and the caches are dropped; from its coming on no new guard is
 * given there. A note that comes behind a grant still being installed waits for that, so that every
 * grant is of use once.
 */
import type { ClientContext } from './token-client-context.ts'
import type { NoteMessage } from './token-message.ts'
import type { Ownership } from './token-ownership.ts'
import { addRange, endOf, startOf } from './token-range.ts'
import type { PendingNote, TokenState } from './token-state.ts'

export class ClientNotes {
  readonly #context: ClientContext
  readonly #ownership: Ownership

  constructor(components: { context: ClientContext; ownership: Ownership }) {
    this.#context = components.context
    this.#ownership = components.ownership
  }

  receive(message: NoteMessage): void {
    const { number, items } = message
    const inos = [...new Set(items.map((item) => item.ino))]
    const note: PendingNote = { number, inos, left: items.length }
    for (const item of items) {
      const state = this.#context.stateOf(item.ino)
      const start = startOf(item)
      const end = endOf(item)
      const held = state.holdings.some((holding) => holding.start < end && holding.end > start)
      if (held && !state.isInstalling(start, end)) {
        const reason = `note on inode ${item.ino}, which is exclusive here`
        this.#context.effects.push({ type: 'violation', reason })
        return
      }
      state.notes.push({ note, start, end })
      this.take(state)
    }
  }

  /** No new guard from here on; acknowledged when those that run have ended. */
  take(state: TokenState): void {
    if (state.notes.length === 0) return
    const left = []
    for (const item of state.notes) {
      const { note, start, end } = item
      if (state.isInstalling(start, end)) {
        left.push(item)
        continue
      }
      if (state.owned) this.#ownership.delete(state)
      state.noted = addRange(state.noted, start, end)
      if (state.isGuarded('shared', start, end)) left.push(item)
      else if (--note.left === 0) {
        const task = this.#context.task({ type: 'note', note })
        this.#context.effects.push({ type: 'drop-caches', task, inos: note.inos })
      }
    }
    state.notes = left
  }

  /** The caches are dropped. */
  dropped(note: PendingNote): void {
    const message = { type: 'note-ack', number: note.number } as const
    this.#context.effects.push({ type: 'send', message })
  }
}
