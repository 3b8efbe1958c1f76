declare module 'hypercore' {
  import type { EventEmitter } from 'node:events'
  import type { CorePointer } from 'hypercore-storage'

  export interface HypercorePeer {
    /** Nothing is asked of it any more. */
    paused: boolean
    readonly remoteLength: number
    readonly remoteContiguousLength: number
    /** Tells the peer how long the log is here. */
    sendSync(): void
  }

  export interface DownloadRange {
    destroy(): void
    done(): Promise<boolean>
  }

  /** The shared part of all sessions of one core. */
  export interface HypercoreInternals {
    readonly storage: { readonly core: CorePointer }
    readonly replicator: {
      /** True: nothing is asked of the peers. */
      setPushOnly(pushOnly: boolean): void
      /** Asks for what is wanted now. */
      updateAll(): void
    }
    /** Held while something is stored. */
    readonly state: {
      readonly mutex: { lock(): Promise<void>; unlock(): void }
    }
  }

  /** How a log of `start` blocks becomes one of `start` + `length`. */
  export interface HypercoreUpgrade {
    readonly start: number
    readonly length: number
  }

  /**
   * Events: 'append', 'download', 'conflict' (length, fork), 'close', 'verification-error' (error,
   * request or null, answer, peer; the latter two as far as an `upgrade` is in them).
   */
  class Hypercore extends EventEmitter {
    readonly key: Buffer
    readonly discoveryKey: Buffer
    readonly length: number
    readonly contiguousLength: number
    readonly fork: number
    readonly writable: boolean
    readonly closing: Promise<void> | null
    readonly closed: boolean
    /** Not 0 after the store lost the end of its own log: append then waits for peers. */
    readonly recovering: number
    readonly peers: readonly HypercorePeer[]
    readonly core: HypercoreInternals
    /** Who signs, and what: null until it is known. */
    readonly manifest: object | null
    /** What the log is right now; `signature` is that of all its `length` blocks. */
    readonly state: { readonly length: number; readonly signature: Buffer | null }

    ready(): Promise<void>
    /** With `signature`: refused unless it is the writer's, of the log with these blocks. */
    append(
      blocks: readonly Buffer[],
      options?: { readonly signature: Buffer }
    ): Promise<{ readonly length: number }>
    get(
      index: number,
      options?: { readonly wait?: boolean; readonly timeout?: number }
    ): Promise<Buffer | null>
    has(index: number): Promise<boolean>
    download(range: {
      readonly start: number
      readonly end: number
      readonly linear: boolean
    }): DownloadRange
    close(): Promise<void>
  }

  export default Hypercore
}
