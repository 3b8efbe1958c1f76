/**
 * A child that checks what the region writers left: `node region-checker.js FILE REGIONS COUNT`.
 * Prints `ok` or the first differences.
 */
import { readFileSync } from 'node:fs'
import { fillRecord, lastWrites, RECORD_BYTES, REGION_BYTES } from './regions.ts'

const [path = '', regions = '0', count = '0'] = process.argv.slice(2)

const content = readFileSync(path)
const wrong: string[] = []
if (content.length !== Number(regions) * REGION_BYTES) wrong.push(`${content.length} bytes`)
const expected = Buffer.alloc(RECORD_BYTES)
for (let region = 0; region < Number(regions); region++) {
  const { last } = lastWrites(region, Number(count))
  last.forEach((number, index) => {
    const start = region * REGION_BYTES + index * RECORD_BYTES
    if (number < 0) expected.fill(0)
    else fillRecord(expected, region, number)
    const found = content.subarray(start, start + RECORD_BYTES)
    if (!found.equals(expected)) wrong.push(`region ${region} record ${index}, write ${number}`)
  })
}
process.stdout.write(wrong.length === 0 ? 'ok' : wrong.slice(0, 5).join('; '))
