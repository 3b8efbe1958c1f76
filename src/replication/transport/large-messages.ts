/**
 * Large messages of an encrypted stream are sealed and opened by faster code than libsodium's. The construction
 * and the bytes are the same (crypto_secretstream_xchacha20poly1305), so each end may do as it
 * can, and both kinds of messages follow each other under one state.
 */
import type NoiseSecretStream from '@hyperswarm/secret-stream'

/** For a smaller one the way into OpenSSL costs what is saved. */
const LARGE_BYTES = 16 * 1024
/** The key, the nonce and what libsodium leaves free: its struct crypto_secretstream_xchacha20poly1305_state. */
const STATE_BYTES = 52

/** 'left': nothing was done, the message is libsodium's. 'forged': these are not bytes that the other end sealed. */
export type CipherOutcome = 'done' | 'forged' | 'left'

export interface MessageCipher {
  /** Fills `sealed`, 17 bytes longer than `plain`, which may lie in it behind its first byte. Throws when OpenSSL fails. */
  seal(state: Uint8Array, sealed: Uint8Array, plain: Uint8Array): CipherOutcome
  /** Fills `plain`; unless 'done' is returned neither it nor the state has changed. */
  open(state: Uint8Array, sealed: Uint8Array, plain: Uint8Array): CipherOutcome
}

/** Takes effect at once; the handshake of the stream is over. */
export function sealLargeMessagesBy(cipher: MessageCipher, stream: NoiseSecretStream): void {
  const { _encrypt: push, _decrypt: pull } = stream
  if (push?.state.length !== STATE_BYTES || pull?.state.length !== STATE_BYTES) return
  const sealNext = push.next.bind(push)
  push.next = (plain, sealed) => {
    const isLarge = sealed !== undefined && plain.length >= LARGE_BYTES
    if (isLarge && cipher.seal(push.state, sealed, plain) === 'done') return sealed
    return sealNext(plain, sealed)
  }
  const openNext = pull.next.bind(pull)
  pull.next = (sealed, plain) => {
    if (plain === undefined || plain.length < LARGE_BYTES) return openNext(sealed, plain)
    const outcome = cipher.open(pull.state, sealed, plain)
    if (outcome === 'forged') throw new Error('a message was not sealed by the other end')
    return outcome === 'done' ? plain : openNext(sealed, plain)
  }
}
