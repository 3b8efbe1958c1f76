/** An error the user can act on: one line `tandemfs: what: why: what to do` and an exit code. */
import { ExitCode, type ExitCodeName, type ExitCodeValue } from './exit-codes.ts'

const PART_MAX_LENGTH = 1000

export class UserError extends Error {
  override name = 'UserError'
  readonly exitCode: ExitCodeValue
  readonly what: string
  readonly why: string
  readonly remedy: string

  constructor(
    code: ExitCodeName,
    parts: { readonly what: string; readonly why: string; readonly remedy: string },
    options?: ErrorOptions
  ) {
    super(`${parts.what}: ${parts.why}: ${parts.remedy}`, options)
    this.exitCode = ExitCode[code]
    this.what = parts.what
    this.why = parts.why
    this.remedy = parts.remedy
  }
}

/** Makes any text fit one line: control characters become spaces, long text is cut. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be printed
  const flat = text.replace(/[\u0000-\u001f\u007f]+/g, ' ').trim()
  return flat.length > PART_MAX_LENGTH ? `${flat.slice(0, PART_MAX_LENGTH)}...` : flat
}

export function errorLine(error: UserError): string {
  return `tandemfs: ${oneLine(error.what)}: ${oneLine(error.why)}: ${oneLine(error.remedy)}`
}
