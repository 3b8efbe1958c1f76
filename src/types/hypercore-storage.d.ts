declare module 'hypercore-storage' {
  export interface HypercoreStorageOptions {
    readonly writeBufferSize?: number
    readonly maxBackgroundJobs?: number
    readonly blobGarbageCollectionAgeCutOff?: number
    readonly treeCache?: { readonly maxSize: number }
  }

  /** Where a core stands in the store. */
  export interface CorePointer {
    readonly corePointer: number
    readonly dataPointer: number
  }

  class HypercoreStorage {
    constructor(dir: string, options?: HypercoreStorageOptions)
    /** The column family that holds the cores; `flush` writes its memtables out, durably. */
    readonly db: {
      flush(): Promise<void>
      /** Gives back what was deleted; on RocksDB's own threads. */
      compactRange(): Promise<void>
    }

    /** All cores in the store. */
    createCoreStream(): AsyncIterable<{
      readonly discoveryKey: Buffer
      readonly core: CorePointer
    }>

    /** The core must not be open. */
    deleteCore(core: CorePointer): Promise<void>
  }

  export default HypercoreStorage
}
