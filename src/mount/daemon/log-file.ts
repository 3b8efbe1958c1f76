/**
 * daemon.log: one JSON object a line, written at once, so that the last line before a crash is
 * there. Beyond its size limit it becomes daemon.log.1 and a new one begins. A log that cannot be
 * written (full disk) must not stop the daemon: lines are counted and reported when it works again.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import pino from 'pino'
import type { Logger } from '../../fs/ports/logger.ts'

const SIZE_MAX_BYTES = 16 * 1024 * 1024

export class LogFile {
  readonly #path: string
  readonly #maxBytes: number
  #fd: number
  #sizeBytes: number
  #lostLines = 0

  constructor(path: string, options: { readonly maxBytes?: number } = {}) {
    this.#path = path
    this.#maxBytes = options.maxBytes ?? SIZE_MAX_BYTES
    this.#fd = openSync(path, 'a', 0o600)
    this.#sizeBytes = fstatSync(this.#fd).size
  }

  write(line: string): void {
    try {
      if (this.#sizeBytes >= this.#maxBytes) this.#rotate()
      this.#sizeBytes += writeSync(this.#fd, line)
      if (this.#lostLines > 0) {
        const lost = { level: 40, time: Date.now(), lostLines: this.#lostLines }
        this.#lostLines = 0
        this.#sizeBytes += writeSync(
          this.#fd,
          `${JSON.stringify({ ...lost, msg: 'log lines could not be written' })}\n`
        )
      }
    } catch {
      this.#lostLines += 1
    }
  }

  close(): void {
    closeSync(this.#fd)
  }

  #rotate(): void {
    renameSync(this.#path, `${this.#path}.1`)
    const next = openSync(this.#path, 'a', 0o600)
    closeSync(this.#fd)
    this.#fd = next
    this.#sizeBytes = 0
  }
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** The daemon's logger: pino JSON lines to anything with `write`. */
export function createLogger(
  destination: { write(line: string): unknown },
  options: { readonly level: LogLevel }
): Logger {
  return pino(
    {
      level: options.level,
      base: { pid: process.pid },
      // An Error has no fields of its own that JSON would show.
      serializers: { error: pino.stdSerializers.err }
    },
    {
      write: (line: string) => {
        destination.write(line)
      }
    }
  )
}
