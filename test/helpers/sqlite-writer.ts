/**
 * A child that commits one row after another to a database in rollback journal mode:
 * `node sqlite-writer.js PATH TAG COUNT`. Prints `ok` or the error.
 */
import Database from 'better-sqlite3'

const [path = '', tag = '', count = '0'] = process.argv.slice(2)
const BUSY_LIMIT_MS = 60_000

const database = new Database(path, { timeout: BUSY_LIMIT_MS })
try {
  database.pragma('journal_mode = DELETE')
  database.exec('CREATE TABLE IF NOT EXISTS entry (tag TEXT, number INTEGER, total INTEGER)')
  const last = database.prepare('SELECT max(total) FROM entry').pluck()
  const insert = database.prepare('INSERT INTO entry VALUES (?, ?, ?)')
  const add = database.transaction((number: number) => {
    // Reads what the other side has written: a lost row would be counted twice.
    insert.run(tag, number, Number(last.get() ?? 0) + 1)
  })
  for (let number = 0; number < Number(count); number++) add.immediate(number)
  process.stdout.write('ok\n')
} finally {
  database.close()
}
