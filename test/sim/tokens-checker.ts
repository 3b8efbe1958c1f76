/** Looks at all members in true time: who holds what, and whether each read saw the newest write. */
import type { TokenWant } from '../../src/fs/ports/token-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import type { Ledger, Register, Value } from './tokens-register.ts'

export class SafetyError extends Error {
  override name = 'SafetyError'
}

interface Holder {
  readonly member: number
  readonly want: TokenWant
}

export class Checker {
  readonly #ledger: Ledger
  readonly #holders = new Map<Ino, Holder[]>()
  reads = 0

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  guardTaken(member: number, wants: readonly TokenWant[]): void {
    for (const want of wants) {
      const holders = this.#holders.get(want.ino) ?? []
      this.#holders.set(want.ino, holders)
      const other = holders.find((each) => each.member !== member && conflicts(each.want, want))
      if (other !== undefined) {
        const what = `${want.mode} guard on ${want.ino}`
        throw new SafetyError(
          `m${member} has a ${what} beside m${other.member} (${other.want.mode})`
        )
      }
      holders.push({ member, want })
    }
  }

  guardEnded(member: number, wants: readonly TokenWant[]): void {
    for (const want of wants) {
      const holders = this.#holders.get(want.ino) ?? []
      const index = holders.findIndex((each) => each.member === member && each.want === want)
      if (index >= 0) holders.splice(index, 1)
    }
  }

  /** All guards of the member are gone with it. */
  memberGone(member: number): void {
    for (const [ino, holders] of this.#holders) {
      this.#holders.set(
        ino,
        holders.filter((each) => each.member !== member)
      )
    }
  }

  read(member: number, register: Register, value: Value, how: string): void {
    this.reads++
    const { ino, page } = register
    const newest = this.#ledger.newest(ino, page)
    if (value.id === newest.id) return
    const where = `${ino} page ${page}`
    throw new SafetyError(`m${member} ${how} ${where}: ${value.id}, the newest is ${newest.id}`)
  }

  /** What was the newest of each page when it was asked is there now, or something newer. */
  notOlder(
    member: { readonly id: number; readonly replica: { read(ino: Ino, page: number): Value } },
    ino: Ino,
    before: readonly number[]
  ): void {
    for (const [page, id] of before.entries()) {
      const found = member.replica.read(ino, page).id
      if (found >= id) continue
      throw new SafetyError(`m${member.id} is told of ${found} in ${ino}.${page}, not ${id}`)
    }
  }

  /** How much of the pages [first, last) the file fills, in the eyes of a member. */
  filled(member: number, ino: Ino, first: number, last: number, pages: number): void {
    const clip = (count: number) => Math.max(first, Math.min(last, count))
    const truth = this.#ledger.pages(ino)
    if (clip(pages) === clip(truth)) return
    throw new SafetyError(`m${member} sees ${pages} pages of ${ino} at ${first}, not ${truth}`)
  }
}

/** Written anew here: the checker must not trust the code it checks. */
function conflicts(a: TokenWant, b: TokenWant): boolean {
  if (a.mode === 'shared' && b.mode === 'shared') return false
  if (a.range === undefined || b.range === undefined) return true
  return a.range.start < b.range.end && b.range.start < a.range.end
}
