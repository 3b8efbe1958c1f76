/**
 * What the shell of a protocol core does with its effects: one after the other, in the order the
 * core gave them, even when carrying one out steps the core again.
 */
export class EffectQueue<Effect> {
  readonly #execute: (effect: Effect) => void
  #effects: Effect[] = []
  #running = false

  constructor(execute: (effect: Effect) => void) {
    this.#execute = execute
  }

  /**
   * On return they are carried out, unless this was called from within one: then they follow it.
   * Throws what one of them throws; those behind it are carried out by the next call.
   */
  run(effects: readonly Effect[]): void {
    for (const effect of effects) this.#effects.push(effect)
    if (this.#running || this.#effects.length === 0) return
    this.#running = true
    try {
      for (
        let effect = this.#effects.shift();
        effect !== undefined;
        effect = this.#effects.shift()
      ) {
        this.#execute(effect)
      }
    } finally {
      this.#running = false
    }
  }

  /** Those that were not carried out yet never will be. */
  clear(): void {
    this.#effects = []
  }
}
