/** Looks at all members in true time: who holds what, and whether each read saw the newest write. */
import type { TokenWant } from '../../src/fs/ports/token-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import type { Ledger, Value } from './tokens-register.ts'

export class SafetyError extends Error {
  override name = 'SafetyError'
}

interface Holders {
  readonly shared: number[]
  readonly exclusive: number[]
}

export class Checker {
  readonly #ledger: Ledger
  readonly #holders = new Map<Ino, Holders>()
  reads = 0

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  guardTaken(member: number, wants: readonly TokenWant[]): void {
    for (const { ino, mode } of wants) {
      const holders = this.#holders.get(ino) ?? { shared: [], exclusive: [] }
      this.#holders.set(ino, holders)
      const other = (id: number) => id !== member
      if (holders.exclusive.some(other)) {
        throw new SafetyError(`m${member} has a ${mode} guard on ${ino} beside an exclusive one`)
      }
      if (mode === 'exclusive' && holders.shared.some(other)) {
        throw new SafetyError(`m${member} has an exclusive guard on ${ino} beside a shared one`)
      }
      holders[mode].push(member)
    }
  }

  guardEnded(member: number, wants: readonly TokenWant[]): void {
    for (const { ino, mode } of wants) {
      const list = this.#holders.get(ino)?.[mode]
      list?.splice(list.indexOf(member), 1)
    }
  }

  /** All guards of the member are gone with it. */
  memberGone(member: number): void {
    for (const holders of this.#holders.values()) {
      for (const list of [holders.shared, holders.exclusive]) {
        for (let i = list.length - 1; i >= 0; i--) if (list[i] === member) list.splice(i, 1)
      }
    }
  }

  read(member: number, ino: Ino, value: Value, how: string): void {
    this.reads++
    const newest = this.#ledger.newest(ino)
    if (value.id === newest.id) return
    throw new SafetyError(`m${member} ${how} ${ino}: ${value.id}, the newest is ${newest.id}`)
  }
}
