/** The inodes and handles that a run has met, on both sides; commands name them by number. */
import type { HandleId } from '../../src/fs/filesystem-api.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import type { NaiveNode } from './naive-filesystem.ts'

const BUSY_DIRECTORIES = 8

export interface Known {
  readonly ino: Ino
  readonly node: NaiveNode
}

export interface KnownHandle extends Known {
  readonly handle: HandleId
}

export class ModelSlots {
  readonly nodes: Known[] = []
  readonly handles: KnownHandle[] = []
  /** What the real filesystem has made in this step. */
  pending: { ino: Ino; handle?: HandleId } | undefined

  /** Mostly an inode that exists; one time in ten any that ever did. */
  node(slot: number): Known {
    return this.#pick(slot, (node) => !node.gone)
  }

  /** Mostly one of a few directories in the tree; one time in ten anything. */
  parent(slot: number): Known {
    let directories = 0
    return this.#pick(slot, (node) => {
      return node.type === 'dir' && node.nlink > 0 && directories++ < BUSY_DIRECTORIES
    })
  }

  #pick(slot: number, wanted: (node: NaiveNode) => boolean): Known {
    const some = slot % 10 === 0 ? this.nodes : this.nodes.filter(({ node }) => wanted(node))
    return some[Math.floor(slot / 10) % some.length] as Known
  }

  handle(slot: number): KnownHandle | undefined {
    return this.handles[slot % this.handles.length]
  }

  /** What the real filesystem has just made is this one of the naive. */
  remember(node: NaiveNode): void {
    const pending = this.pending
    this.pending = undefined
    if (pending === undefined) return
    const known = this.nodes.find((one) => one.node === node)
    if (known === undefined) this.nodes.push({ ino: pending.ino, node })
    if (pending.handle !== undefined) {
      this.handles.push({ ino: pending.ino, node, handle: pending.handle })
    }
  }
}
