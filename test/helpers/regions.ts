/** What the region writers write, so that writer and checker agree. */
import { SeededRandom } from './random.ts'

export const RECORD_BYTES = 4096
export const REGION_BYTES = 1024 * 1024
const RECORDS = REGION_BYTES / RECORD_BYTES

export function fillRecord(record: Buffer, region: number, number: number): void {
  record.fill(`region ${region} write ${number} `)
}

/** Which record each write goes to, and the last write of each record (-1 = none). */
export function lastWrites(
  region: number,
  count: number
): { readonly order: readonly number[]; readonly last: readonly number[] } {
  const random = new SeededRandom(region + 1)
  const order = Array.from({ length: count }, () => random.below(RECORDS))
  const last = new Array<number>(RECORDS).fill(-1)
  order.forEach((record, number) => {
    last[record] = number
  })
  return { order, last }
}
