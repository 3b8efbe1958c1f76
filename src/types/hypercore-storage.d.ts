declare module 'hypercore-storage' {
  export interface HypercoreStorageOptions {
    readonly writeBufferSize?: number
    readonly maxBackgroundJobs?: number
    readonly blobGarbageCollectionAgeCutOff?: number
    readonly treeCache?: { readonly maxSize: number }
  }

  class HypercoreStorage {
    constructor(dir: string, options?: HypercoreStorageOptions)
    /** The column family that holds the cores; `flush` writes its memtables out, durably. */
    readonly db: { flush(): Promise<void> }
  }

  export default HypercoreStorage
}
