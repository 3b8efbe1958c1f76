/** A child that looks a database of sqlite-writer.ts through: `node sqlite-check.js PATH`. */
import Database from 'better-sqlite3'

const database = new Database(process.argv[2] ?? '', { readonly: true })
const report = {
  integrity: database.pragma('integrity_check', { simple: true }),
  rows: database.prepare('SELECT count(DISTINCT tag || number) FROM entry').pluck().get(),
  totals: database.prepare('SELECT count(DISTINCT total) FROM entry').pluck().get()
}
database.close()
process.stdout.write(`${JSON.stringify(report)}\n`)
