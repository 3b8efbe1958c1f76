/** Open files by numbers that fit what the package passes on: 1 to 2^31 - 1. */
import { FsError } from '../../../fs/errno.ts'
import type { HandleId } from '../../../fs/filesystem-api.ts'
import type { Ino } from '../../../fs/primitives.ts'

const NUMBER_MAX = 2 ** 31 - 1

export interface OpenFile {
  readonly ino: Ino
  readonly handle: HandleId
  /** Of open(2). */
  readonly flags: number
}

export class OpenNumbers {
  readonly #files = new Map<number, OpenFile>()
  #last = 0

  add(file: OpenFile): number {
    do {
      this.#last = this.#last === NUMBER_MAX ? 1 : this.#last + 1
    } while (this.#files.has(this.#last))
    this.#files.set(this.#last, file)
    return this.#last
  }

  /** Throws EBADF. */
  get(number: number): OpenFile {
    const file = this.#files.get(number)
    if (file === undefined) throw new FsError('EBADF')
    return file
  }

  take(number: number): OpenFile {
    const file = this.get(number)
    this.#files.delete(number)
    return file
  }
}
