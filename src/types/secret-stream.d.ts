declare module '@hyperswarm/secret-stream' {
  import type { EventEmitter } from 'node:events'
  import type { Duplex } from 'node:stream'

  export interface KeyPair {
    readonly publicKey: Buffer
    readonly secretKey: Buffer
  }

  export interface NoiseStreamOptions {
    keyPair?: KeyPair
    remotePublicKey?: Buffer
    keepAlive?: number
    autoStart?: boolean
  }

  /** One direction, in the state of libsodium's secretstream: `next(plain, sealed)` or `next(sealed, plain)`. */
  export interface StreamHalf {
    readonly state: Buffer
    next(from: Uint8Array, to?: Uint8Array): Uint8Array
  }

  /** A message-framed, encrypted duplex stream (a streamx Duplex, not a node:stream one). */
  class NoiseSecretStream extends EventEmitter {
    constructor(isInitiator: boolean, rawStream: Duplex | null, options?: NoiseStreamOptions)
    static keyPair(seed?: Uint8Array): KeyPair

    readonly isInitiator: boolean
    /** Set by the handshake. */
    readonly _encrypt: StreamHalf | null
    readonly _decrypt: StreamHalf | null
    /** streamx's: `buffered` bytes wait for their `_write`. */
    readonly _writableState?: { readonly buffered: number }
    /** What `alloc` gave last, and the room around it. */
    _outgoingPlain: Buffer | null
    _outgoingWrapped: Buffer | null
    /** Seals one message and hands it to the raw stream. */
    _write(message: Uint8Array, done: (error: Error | null) => void): void
    readonly publicKey: Buffer | null
    readonly remotePublicKey: Buffer | null
    readonly handshakeHash: Buffer | null
    readonly opened: Promise<boolean>
    readonly connected: boolean
    readonly destroying: boolean
    readonly destroyed: boolean
    readonly rawStream: (EventEmitter & { readonly writableLength?: number }) | null

    /** A buffer of `length` that `write` can encrypt in place; only the last one given out. */
    alloc(length: number): Buffer
    /** False when more than the high-water mark is buffered; 'drain' follows. */
    write(data: Uint8Array): boolean
    end(): void
    pause(): void
    resume(): void
    destroy(error?: Error | null): void
    flush(): Promise<boolean>
    setKeepAlive(ms: number): void
    setTimeout(ms: number): void
  }

  export default NoiseSecretStream
}
