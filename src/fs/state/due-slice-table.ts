/**
 * Slices that the state names but whose bytes did not come with it: a state that was copied from
 * another member. A local table, committed together with the state; empty on a member that holds
 * everything.
 */
import type { Database, Statement } from 'better-sqlite3'
import type { Slice } from '../op.ts'
import type { SegmentId } from '../primitives.ts'
import { LIMIT_PARAMETER } from './limit-parameter.ts'

export interface DueAmount {
  readonly slices: number
  readonly bytes: number
}

type DueColumns = readonly [SegmentId, number, number, number, Uint8Array]

const TABLE = `CREATE TABLE IF NOT EXISTS local_due_slice (
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  crc32 INTEGER NOT NULL, sha256 BLOB NOT NULL,
  PRIMARY KEY (segment, offset)) STRICT, WITHOUT ROWID`

/** Notes every slice the extents name as due. */
export function noteAllSlicesDue(database: Database): void {
  database.exec(`${TABLE};
    INSERT OR IGNORE INTO local_due_slice
      SELECT segment, slice_offset, slice_length, crc32, sha256 FROM extent`)
}

export class DueSliceTable {
  readonly #database: Database
  readonly #after: Statement
  readonly #delete: Statement
  #slices: number
  #bytes: number

  constructor(database: Database) {
    database.exec(TABLE)
    this.#database = database
    this.#after = database
      .prepare(
        `SELECT segment, offset, length, crc32, sha256 FROM local_due_slice
         WHERE (segment, offset) > (?, ?) ORDER BY segment, offset ${LIMIT_PARAMETER}`
      )
      .raw(true)
    this.#delete = database.prepare('DELETE FROM local_due_slice WHERE segment = ? AND offset = ?')
    const [slices, bytes] = database
      .prepare('SELECT count(*), coalesce(sum(length), 0) FROM local_due_slice')
      .raw(true)
      .get() as [number, number]
    this.#slices = slices
    this.#bytes = bytes
  }

  /** What is still to come. */
  get left(): DueAmount {
    return { slices: this.#slices, bytes: this.#bytes }
  }

  /** At most `limit` behind that place, by segment and offset; undefined: from the first one. */
  after(place: Pick<Slice, 'segment' | 'offset'> | undefined, limit: number): Slice[] {
    const rows = this.#after.all(place?.segment ?? -1, place?.offset ?? -1, limit) as DueColumns[]
    return rows.map(([segment, offset, length, crc32, sha256]) => ({
      segment,
      offset,
      length,
      crc32,
      sha256
    }))
  }

  /** The bytes are in their segment, or nothing refers to them any more. */
  settle({ segment, offset, length }: Slice): void {
    if (this.#delete.run(segment, offset).changes === 0) return
    this.#slices--
    this.#bytes -= length
  }

  /** Nobody has what is still to come. */
  giveUp(): void {
    this.#database.exec('DELETE FROM local_due_slice')
    this.#slices = 0
    this.#bytes = 0
  }
}
