/** The lock service of a member that is alone: the real lock tables, no protocol. */
import { FsError } from '../../src/fs/errno.ts'
import { InodeLocks, type LockWaiter } from '../../src/fs/lock/inode-locks.ts'
import { type LockOwner, LockSerials } from '../../src/fs/lock/lock-table.ts'
import { checkLockRequest, WHOLE_FILE } from '../../src/fs/lock/range.ts'
import { WaitGraph } from '../../src/fs/lock/wait-graph.ts'
import type {
  LockConflict,
  LockKind,
  LockRequest,
  LockRow,
  LockService,
  LockWait
} from '../../src/fs/ports/lock-service.ts'
import type { Ino, MemberId } from '../../src/fs/primitives.ts'

interface Wait {
  readonly resolve: () => void
  readonly stop: () => void
}

export class LocalLocks implements LockService {
  readonly #member: MemberId
  readonly #serials = new LockSerials()
  readonly #inodes = new Map<Ino, InodeLocks>()
  readonly #graph = new WaitGraph()
  readonly #waits = new Map<LockWaiter, Wait>()
  #requests = 0
  /** What `isContended` says of every inode. */
  contended = false
  /** Fails every call when set. */
  broken: FsError | undefined

  constructor(options: { readonly member: MemberId }) {
    this.#member = options.member
  }

  getlk(ino: Ino, request: LockRequest): LockConflict | undefined {
    this.#check(request)
    const owner = this.#owner(request)
    if (request.type === 'unlock') throw new FsError('EINVAL')
    const lock = this.#inodes.get(ino)?.table.conflict(owner, request.type, request)
    if (lock === undefined) return undefined
    const { type, start, end, pid } = lock
    return { kind: owner.kind, type, start, end, member: lock.owner.member, pid }
  }

  setlk(ino: Ino, request: LockRequest, options: LockWait): void | Promise<void> {
    this.#check(request)
    const owner = this.#owner(request)
    const { type, start, end, pid } = request
    const locks = this.#locks(ino)
    if (type === 'unlock') {
      locks.table.set({ owner, type, start, end, pid, sinceMs: 0 })
      this.#settle(ino, locks)
      return
    }
    const waiter = { owner, type, start, end, pid, request: ++this.#requests, sinceMs: nowMs() }
    if (locks.attempt(waiter) === undefined) {
      this.#settle(ino, locks)
      return
    }
    if (!options.wait) throw new FsError('EAGAIN')
    if (this.#graph.closesCircle(waiter, locks)) throw new FsError('EDEADLK')
    return this.#wait(ino, locks, waiter, options.signal)
  }

  isContended(): boolean {
    return this.contended
  }

  releaseOwner(ino: Ino, owner: bigint, kind: LockKind): void {
    if (this.broken !== undefined) throw this.broken
    const locks = this.#inodes.get(ino)
    if (locks === undefined) return
    const change = { owner: this.#owner({ owner, kind }), pid: 0, sinceMs: 0, ...WHOLE_FILE }
    locks.table.set({ ...change, type: 'unlock' })
    this.#settle(ino, locks)
  }

  list(): LockRow[] {
    const rows: LockRow[] = []
    for (const [ino, locks] of this.#inodes) {
      for (const lock of locks.table.locks()) {
        rows.push({ ...this.#row(ino, lock), state: 'held', waiters: locks.waitersFor(lock) })
      }
      for (const waiter of locks.queue) {
        rows.push({ ...this.#row(ino, waiter), state: 'waiting', waiters: 0 })
      }
    }
    return rows
  }

  #row(ino: Ino, lock: Omit<LockWaiter, 'request'>) {
    const { type, start, end, pid, owner } = lock
    const { member, kind, id } = owner
    return { ino, kind, type, start, end, member, pid, owner: id, ageMs: nowMs() - lock.sinceMs }
  }

  #check(request: LockRequest): void {
    if (this.broken !== undefined) throw this.broken
    checkLockRequest(request)
  }

  #owner({ owner, kind }: { readonly owner: bigint; readonly kind: LockKind }): LockOwner {
    return { member: this.#member, kind, id: owner }
  }

  #locks(ino: Ino): InodeLocks {
    const known = this.#inodes.get(ino)
    if (known !== undefined) return known
    const locks = new InodeLocks(this.#serials)
    this.#inodes.set(ino, locks)
    return locks
  }

  #wait(ino: Ino, locks: InodeLocks, waiter: LockWaiter, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#end(locks, waiter)
        this.#settle(ino, locks)
        reject(signal?.reason)
      }
      locks.enqueue(waiter)
      this.#graph.add(waiter, locks)
      const stop = (): void => signal?.removeEventListener('abort', onAbort)
      this.#waits.set(waiter, { resolve, stop })
      if (signal?.aborted) onAbort()
      else signal?.addEventListener('abort', onAbort)
    })
  }

  #end(locks: InodeLocks, waiter: LockWaiter): Wait | undefined {
    locks.dequeue(waiter.owner, waiter.request)
    this.#graph.remove(waiter)
    const wait = this.#waits.get(waiter)
    this.#waits.delete(waiter)
    wait?.stop()
    return wait
  }

  #settle(ino: Ino, locks: InodeLocks): void {
    // Nobody is held back here, as if every waiter had waited long.
    for (const waiter of locks.settle(Number.MAX_SAFE_INTEGER)) {
      this.#end(locks, waiter)?.resolve()
    }
    if (locks.isBlank) this.#inodes.delete(ino)
  }
}

function nowMs(): number {
  return performance.now()
}
