declare module 'corestore' {
  import type NoiseSecretStream from '@hyperswarm/secret-stream'
  import type Hypercore from 'hypercore'
  import type HypercoreStorage from 'hypercore-storage'

  export interface GetOptions {
    readonly name?: string
    readonly key?: Buffer
    readonly createIfMissing?: boolean
    readonly allowFork?: boolean
    readonly inflightRange?: readonly [number, number]
  }

  class Corestore {
    constructor(storage: HypercoreStorage)
    readonly storage: HypercoreStorage
    ready(): Promise<void>
    get(options: GetOptions): Hypercore
    replicate(stream: NoiseSecretStream, options?: { readonly keepAlive?: boolean }): unknown
    close(): Promise<void>
  }

  export default Corestore
}
