declare module 'hypercore' {
  import type { EventEmitter } from 'node:events'

  export interface HypercorePeer {
    readonly paused: boolean
    readonly remoteLength: number
    readonly remoteContiguousLength: number
  }

  export interface DownloadRange {
    destroy(): void
    done(): Promise<boolean>
  }

  /** The shared part of all sessions of one core. */
  export interface HypercoreInternals {
    /** Where the core lies in its store. */
    readonly storage: { readonly core: unknown }
  }

  /** Events: 'append', 'conflict' (length, fork), 'verification-error' (error), 'close'. */
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

    ready(): Promise<void>
    append(blocks: readonly Buffer[]): Promise<{ readonly length: number }>
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
