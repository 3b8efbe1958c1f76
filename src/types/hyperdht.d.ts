declare module 'hyperdht' {
  import type { EventEmitter } from 'node:events'
  import type NoiseSecretStream from '@hyperswarm/secret-stream'
  import type { KeyPair } from '@hyperswarm/secret-stream'

  export interface DhtAddress {
    readonly host: string
    readonly port: number
  }

  export interface DhtOptions {
    bootstrap?: readonly (string | DhtAddress)[]
    keyPair?: KeyPair
    host?: string
    port?: number
    anyPort?: boolean
    ephemeral?: boolean
    firewalled?: boolean
    connectionKeepAlive?: number | false
  }

  export interface DhtServerOptions {
    /** True rejects the key before any stream exists. */
    firewall?: (remotePublicKey: Buffer, payload: unknown, address: DhtAddress) => boolean
    shareLocalAddress?: boolean
  }

  export interface DhtServer extends EventEmitter {
    readonly relayAddresses: readonly DhtAddress[]
    listen(keyPair?: KeyPair): Promise<unknown>
    close(): Promise<void>
  }

  export interface DhtPeer {
    readonly publicKey: Buffer
    readonly relayAddresses: readonly DhtAddress[]
  }

  export interface DhtQuery extends AsyncIterable<{ readonly peers: readonly DhtPeer[] }> {
    finished(): Promise<void>
    destroy(): void
  }

  class HyperDHT {
    constructor(options?: DhtOptions)
    static keyPair(seed?: Uint8Array): KeyPair
    static bootstrapper(port: number, host: string, options?: DhtOptions): HyperDHT

    readonly destroyed: boolean
    fullyBootstrapped(): Promise<void>
    address(): DhtAddress
    createServer(
      options: DhtServerOptions,
      onconnection: (stream: NoiseSecretStream) => void
    ): DhtServer
    connect(
      publicKey: Buffer,
      options?: { keyPair?: KeyPair; relayAddresses?: readonly DhtAddress[] }
    ): NoiseSecretStream
    lookup(target: Buffer): DhtQuery
    announce(target: Buffer, keyPair: KeyPair, relayAddresses?: readonly DhtAddress[]): DhtQuery
    unannounce(target: Buffer, keyPair: KeyPair): Promise<void>
    destroy(options?: { force?: boolean }): Promise<void>
  }

  export default HyperDHT
}

declare module 'hyperdht/testnet.js' {
  import type HyperDHT from 'hyperdht'
  import type { DhtAddress } from 'hyperdht'

  export interface Testnet {
    readonly nodes: HyperDHT[]
    readonly bootstrap: DhtAddress[]
    destroy(): Promise<void>
  }

  export default function createTestnet(
    size?: number,
    options?: { host?: string }
  ): Promise<Testnet>
}
