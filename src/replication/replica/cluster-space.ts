/**
 * Disk space of the cluster: every member keeps a full copy, so the fullest disk decides. A
 * reserve is kept for what must go on when the disk is full: the journal of removals, commits,
 * compaction of the logs. Data is refused first, new names a little later, removals never.
 */
import { FsError } from '../../fs/errno.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { DiskSpace } from '../messages.ts'

const RESERVE_SHARE = 10
const RESERVE_MIN_BYTES = 48 * 1024 * 1024
const RESERVE_MAX_BYTES = 1024 * 1024 * 1024
/** Up to this it is a change of names or attributes, which may use half of the reserve. */
const METADATA_BYTES = 8192
/** Small data stands in the journal for a while, beside its segment. */
const JOURNALED_TWICE_BYTES = 64 * 1024
const RECHECK_MS = 50
const RECHECK_BYTES = 4 * 1024 * 1024

export interface ClusterSpaceComponents {
  readonly local: () => DiskSpace
  readonly nowMs: () => number
}

interface Known {
  readonly space: DiskSpace
  /** `written` when it was told. */
  readonly atBytes: number
}

export class ClusterSpace {
  readonly #components: ClusterSpaceComponents
  readonly #others = new Map<MemberId, Known>()
  #local: Known
  #checkedMs: number
  #written = 0

  constructor(components: ClusterSpaceComponents) {
    this.#components = components
    this.#local = { space: components.local(), atBytes: 0 }
    this.#checkedMs = components.nowMs()
  }

  heard(member: MemberId, space: DiskSpace): void {
    this.#others.set(member, { space, atBytes: this.#written })
  }

  /** Only members of the record's live set count. */
  keepOnly(members: readonly MemberId[]): void {
    for (const member of this.#others.keys()) {
      if (!members.includes(member)) this.#others.delete(member)
    }
  }

  get local(): DiskSpace {
    this.#refresh(0)
    return this.#local.space
  }

  /** The fullest disk, without the reserve. */
  space(): DiskSpace {
    this.#refresh(0)
    let least: DiskSpace | undefined
    for (const known of [this.#local, ...this.#others.values()]) {
      const { totalBytes } = known.space
      const availableBytes = Math.max(0, this.#left(known) - reserveOf(known.space))
      if (!least || availableBytes < least.availableBytes) least = { totalBytes, availableBytes }
    }
    return least ?? this.#local.space
  }

  /** True when what can be given back should be, soon. */
  get isShort(): boolean {
    this.#refresh(0)
    return this.#local.space.availableBytes < reserveOf(this.#local.space) * 3
  }

  /** The own disk has room for `bytes` beside the reserve. */
  hasLocalRoom(bytes: number): boolean {
    this.#refresh(bytes)
    const { space } = this.#local
    return this.#left(this.#local) - bytes >= reserveOf(space)
  }

  /** Throws ENOSPC unless every live member has room for `bytes` more. */
  assertRoom(bytes: number): void {
    this.#refresh(bytes)
    const cost = bytes <= JOURNALED_TWICE_BYTES ? bytes * 2 : bytes
    const share = bytes <= METADATA_BYTES ? 2 : 1
    for (const known of [this.#local, ...this.#others.values()]) {
      if (this.#left(known) - cost >= reserveOf(known.space) / share) continue
      throw new FsError('ENOSPC', 'the disk of a member is full')
    }
    this.#written += cost
  }

  #left({ space, atBytes }: Known): number {
    return space.availableBytes - (this.#written - atBytes)
  }

  #refresh(bytes: number): void {
    const now = this.#components.nowMs()
    const fresh = now - this.#checkedMs < RECHECK_MS
    if (fresh && this.#written + bytes - this.#local.atBytes < RECHECK_BYTES) return
    this.#local = { space: this.#components.local(), atBytes: this.#written }
    this.#checkedMs = now
  }
}

function reserveOf({ totalBytes }: DiskSpace): number {
  const share = Math.floor(totalBytes / RESERVE_SHARE)
  return Math.min(RESERVE_MAX_BYTES, Math.max(RESERVE_MIN_BYTES, share))
}
