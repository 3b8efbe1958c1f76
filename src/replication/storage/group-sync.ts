/**
 * Runs an expensive action (fdatasync) for groups of callers: one run at a time; whoever asks
 * while it runs shares the next run, because the current one may have started before their writes.
 */
interface Group {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

export class GroupSync {
  readonly #run: () => Promise<void>
  #running = false
  #waiting: Group | undefined
  #idle: (() => void)[] = []

  constructor(run: () => Promise<void>) {
    this.#run = run
  }

  get running(): boolean {
    return this.#running
  }

  /** Resolves when a run that started after this call has succeeded. */
  request(): Promise<void> {
    this.#waiting ??= makeGroup()
    const { promise } = this.#waiting
    if (!this.#running) void this.#loop()
    return promise
  }

  /** Resolves when nothing runs and nothing waits, however the runs ended. */
  idle(): Promise<void> {
    if (!this.#running) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  async #loop(): Promise<void> {
    this.#running = true
    while (this.#waiting) {
      const group = this.#waiting
      this.#waiting = undefined
      try {
        await this.#run()
        group.resolve()
      } catch (error) {
        group.reject(error)
      }
    }
    this.#running = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}

function makeGroup(): Group {
  let resolve = (): void => undefined
  let reject = (_reason: unknown): void => undefined
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}
