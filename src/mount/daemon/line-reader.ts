/** Cuts a byte stream into lines of bounded length. */
export class LineTooLongError extends Error {
  override name = 'LineTooLongError'
}

export class LineReader {
  readonly #maxBytes: number
  #rest: Buffer[] = []
  #restBytes = 0

  constructor(options: { readonly maxBytes: number }) {
    this.#maxBytes = options.maxBytes
  }

  /** The lines that `chunk` completes, without their newline. Throws LineTooLongError. */
  push(chunk: Buffer): string[] {
    const lines: string[] = []
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      this.#keep(chunk.subarray(from, end))
      lines.push(Buffer.concat(this.#rest).toString('utf8'))
      this.#rest = []
      this.#restBytes = 0
      from = end + 1
    }
    this.#keep(chunk.subarray(from))
    return lines
  }

  #keep(part: Buffer): void {
    this.#restBytes += part.length
    if (this.#restBytes > this.#maxBytes) {
      throw new LineTooLongError(`a line is longer than ${this.#maxBytes} bytes`)
    }
    if (part.length > 0) this.#rest.push(part)
  }
}
