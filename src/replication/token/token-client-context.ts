/** What the parts of the client core share: the states, the effects of the step, what is under way. */
import type { Ino } from '../../fs/primitives.ts'
import type { ClientEffect } from './token-client-events.ts'
import type { GrantMessage } from './token-message.ts'
import type { Releasing } from './token-ownership.ts'
import { type PendingNote, TokenState } from './token-state.ts'

/** Something asked of the shell, until its answer comes. */
export type Task =
  | { readonly type: 'grant'; readonly message: GrantMessage }
  | { readonly type: 'clear'; readonly inos: readonly Ino[] }
  | { readonly type: 'note'; readonly note: PendingNote }
  | { readonly type: 'probe'; readonly number: number; readonly idle: boolean }
  | { readonly type: 'told'; readonly request: number }
  | { readonly type: 'release'; readonly batch: readonly Releasing[] }

export class ClientContext {
  readonly states = new Map<Ino, TokenState>()
  readonly tasks = new Map<number, Task>()
  effects: ClientEffect[] = []
  #lastTask = 0

  stateOf(ino: Ino): TokenState {
    let state = this.states.get(ino)
    if (state === undefined) {
      state = new TokenState(ino)
      this.states.set(ino, state)
    }
    return state
  }

  clean(state: TokenState): void {
    if (state.isBlank) this.states.delete(state.ino)
  }

  task(task: Task): number {
    this.tasks.set(++this.#lastTask, task)
    return this.#lastTask
  }

  /** The task, if it is of that type and of this epoch; it is over. */
  end<T extends Task['type']>(id: number, type: T): Extract<Task, { type: T }> | undefined {
    const task = this.tasks.get(id)
    if (task === undefined || task.type !== type) return undefined
    this.tasks.delete(id)
    return task as Extract<Task, { type: T }>
  }
}
