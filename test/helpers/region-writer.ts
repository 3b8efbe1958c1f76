/**
 * A child that writes its own region of a file: `node region-writer.js FILE REGION COUNT AT_MS`. It
 * begins at that time, writes COUNT records of 4 KiB in random order over and over, reads each fourth
 * back, and prints as JSON how long that took and what it found wrong. Each record holds its region
 * and the number of the write, so the whole file can be checked afterwards.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { fillRecord, lastWrites, RECORD_BYTES, REGION_BYTES } from './regions.ts'

const [path = '', regionText = '0', countText = '0', atText = '0'] = process.argv.slice(2)
const region = Number(regionText)
const count = Number(countText)

const fd = openSync(path, 'r+')
const record = Buffer.alloc(RECORD_BYTES)
const found = Buffer.alloc(RECORD_BYTES)
const { order } = lastWrites(region, count)
const errors: string[] = []
const waitMs = Number(atText) - Date.now()
if (waitMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, waitMs)
const startMs = Date.now()
for (let number = 0; number < order.length; number++) {
  const position = region * REGION_BYTES + (order[number] ?? 0) * RECORD_BYTES
  fillRecord(record, region, number)
  writeSync(fd, record, 0, RECORD_BYTES, position)
  if (number % 4 !== 0) continue
  readSync(fd, found, 0, RECORD_BYTES, position)
  if (!found.equals(record)) errors.push(`write ${number} reads back otherwise`)
}
const endMs = Date.now()
closeSync(fd)
process.stdout.write(JSON.stringify({ startMs, endMs, errors: errors.slice(0, 3) }))
