export type LogFields = Readonly<Record<string, unknown>>

/** Structured log. The message is a fixed sentence; what varies goes into the fields. */
export interface Logger {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
  child(fields: LogFields): Logger
}
