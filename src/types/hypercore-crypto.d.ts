declare module 'hypercore-crypto' {
  import type { KeyPair } from '@hyperswarm/secret-stream'

  const crypto: {
    keyPair(seed?: Uint8Array): KeyPair
    validateKeyPair(keyPair: KeyPair): boolean
    sign(message: Uint8Array, secretKey: Uint8Array): Buffer
    verify(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean
    /** blake2b-256. */
    hash(data: Uint8Array | readonly Uint8Array[]): Buffer
    /** Under which a core is known to those that do not have its key. */
    discoveryKey(publicKey: Uint8Array): Buffer
    randomBytes(length: number): Buffer
  }
  export default crypto
}
