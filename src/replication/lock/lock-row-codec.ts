/** Binary form of lock rows, for the report of who holds and who waits. */
import { type ByteReader, type ByteWriter, DecodeError } from '../../fs/byte-codec.ts'
import { LOCK_END, type LockRow } from '../../fs/ports/lock-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'

const ROWS_MAX = 5000
const DECIMAL = /^\d{1,20}$/
const COMMAND_MAX_BYTES = 64

/** The member is not written: it is known from the connection. */
export function writeLockRows(writer: ByteWriter, rows: readonly LockRow[]): void {
  writer.uint(rows.length)
  for (const row of rows) {
    writer.uint(row.ino)
    writer.u8(row.kind === 'record' ? 0 : 1)
    writer.u8(row.type === 'read' ? 0 : 1)
    writer.u8(row.state === 'held' ? 0 : 1)
    for (const value of [row.start, row.end, row.owner]) writer.text(String(value))
    writer.uint(Math.max(0, row.pid))
    writer.uint(Math.max(0, Math.round(row.ageMs)))
    writer.uint(row.waiters)
    writer.text((row.command ?? '').slice(0, COMMAND_MAX_BYTES / 4))
  }
}

/** Throws DecodeError. `member` of the rows is 0 until the receiver sets it. */
export function readLockRows(reader: ByteReader): LockRow[] {
  const count = reader.uint(ROWS_MAX)
  const rows: LockRow[] = []
  for (let i = 0; i < count; i++) rows.push(readRow(reader))
  return rows
}

function readRow(reader: ByteReader): LockRow {
  const ino = reader.uint() as Ino
  const kind = reader.u8() === 0 ? 'record' : 'flock'
  const type = reader.u8() === 0 ? 'read' : 'write'
  const state = reader.u8() === 0 ? 'held' : 'waiting'
  const [start, end, owner] = [readDecimal(reader), readDecimal(reader), readDecimal(reader)]
  if (start > end || end > LOCK_END) throw new DecodeError('lock row with a bad range')
  const [pid, ageMs, waiters] = [reader.uint(), reader.uint(), reader.uint()]
  const command = reader.text(COMMAND_MAX_BYTES)
  const row = { ino, kind, type, state, start, end, owner, pid, ageMs, waiters } as const
  const member = 0 as MemberId
  return command === '' ? { ...row, member } : { ...row, member, command }
}

function readDecimal(reader: ByteReader): bigint {
  const text = reader.text(20)
  if (!DECIMAL.test(text)) throw new DecodeError('lock row with a bad number')
  return BigInt(text)
}
