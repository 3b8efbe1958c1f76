/**
 * Large messages of an encrypted stream are sealed and opened by faster code than libsodium's. The construction
 * and the bytes are the same (crypto_secretstream_xchacha20poly1305), so each end may do as it
 * can, and both kinds of messages follow each other under one state.
 *
 * Invariant: messages are sealed in the order in which they leave.
 */
import type NoiseSecretStream from '@hyperswarm/secret-stream'
import type { StreamHalf } from '@hyperswarm/secret-stream'

/** For a smaller one the way into OpenSSL costs what is saved. */
const LARGE_BYTES = 16 * 1024
/** The key, the nonce and what libsodium leaves free: its struct crypto_secretstream_xchacha20poly1305_state. */
const STATE_BYTES = 52
/** In front of a sealed message: its length. */
const LENGTH_BYTES = 3
/** The type and as many others as a cipher takes. */
const PARTS_MAX = 8

/** 'left': nothing was done, the message is libsodium's. 'forged': these are not bytes that the other end sealed. */
export type CipherOutcome = 'done' | 'forged' | 'left'

export interface MessageCipher {
  /**
   * Fills `sealed`, 17 bytes longer than the parts, one to eight, are together; a single one may lie in it behind
   * its first byte. Throws when OpenSSL fails.
   */
  seal(state: Uint8Array, sealed: Uint8Array, ...parts: readonly Uint8Array[]): CipherOutcome
  /** Fills `plain`; unless 'done' is returned neither it nor the state has changed. */
  open(state: Uint8Array, sealed: Uint8Array, plain: Uint8Array): CipherOutcome
}

export interface LargeMessages {
  /**
   * The message of the type and the parts, `sizeBytes` together, sealed: what `write` must be given next. The parts
   * are the caller's again. Undefined where that cannot be: make it in what `alloc` gives.
   */
  seal(type: number, parts: readonly Uint8Array[], sizeBytes: number): Buffer | undefined
}

/** Takes effect at once; the handshake of the stream is over. */
export function sealLargeMessagesBy(
  cipher: MessageCipher,
  stream: NoiseSecretStream
): LargeMessages | undefined {
  const { _encrypt: push, _decrypt: pull } = stream
  if (push?.state.length !== STATE_BYTES || pull?.state.length !== STATE_BYTES) return undefined
  openBy(cipher, pull)
  return new SealedWrites(cipher, stream, push)
}

function openBy(cipher: MessageCipher, pull: StreamHalf): void {
  const openNext = pull.next.bind(pull)
  pull.next = (sealed, plain) => {
    if (plain === undefined || plain.length < LARGE_BYTES) return openNext(sealed, plain)
    const outcome = cipher.open(pull.state, sealed, plain)
    if (outcome === 'forged') throw new Error('a message was not sealed by the other end')
    return outcome === 'done' ? plain : openNext(sealed, plain)
  }
}

interface SealedWrite {
  /** What leaves, its length in front. */
  readonly frame: Buffer
  /** The place of the message in it, by which the stream knows it. */
  readonly message: Buffer
}

/**
 * A message is sealed where it stands when its turn comes, or out of its parts while no other waits in front of it. The
 * stream believes that it seals the latter when it writes it.
 */
class SealedWrites implements LargeMessages {
  readonly #cipher: MessageCipher
  readonly #stream: NoiseSecretStream
  readonly #push: StreamHalf
  #sealed: SealedWrite | undefined
  #leaving: SealedWrite | undefined

  constructor(cipher: MessageCipher, stream: NoiseSecretStream, push: StreamHalf) {
    this.#cipher = cipher
    this.#stream = stream
    this.#push = push
    const sealNext = push.next.bind(push)
    push.next = (plain, sealed) => {
      if (sealed !== undefined && this.#takeLeaving(sealed)) return sealed
      const isLarge = sealed !== undefined && plain.length >= LARGE_BYTES
      if (isLarge && cipher.seal(push.state, sealed, plain) === 'done') return sealed
      return sealNext(plain, sealed)
    }
    const write = stream._write.bind(stream)
    stream._write = (message, done) => {
      if (message === this.#sealed?.message) this.#restore(this.#sealed)
      write(message, done)
    }
  }

  seal(type: number, parts: readonly Uint8Array[], sizeBytes: number): Buffer | undefined {
    const stream = this.#stream
    if (sizeBytes < LARGE_BYTES || parts.length >= PARTS_MAX || !this.#isNext()) return undefined
    const message = stream.alloc(sizeBytes)
    const frame = stream._outgoingWrapped
    if (frame === null || stream._outgoingPlain !== message) return undefined
    const sealed = frame.subarray(LENGTH_BYTES)
    const first = Uint8Array.of(type)
    const outcome = this.#cipher.seal(this.#push.state, sealed, first, ...parts)
    if (outcome !== 'done') return undefined
    this.#sealed = { frame, message }
    return message
  }

  /** Nothing that was written waits to be sealed. */
  #isNext(): boolean {
    return this.#sealed === undefined && this.#stream._writableState?.buffered === 0
  }

  /** The stream sends the last place that it gave out as it is, and copies all others. */
  #restore(sealed: SealedWrite): void {
    this.#sealed = undefined
    this.#leaving = sealed
    this.#stream._outgoingWrapped = sealed.frame
    this.#stream._outgoingPlain = sealed.message
  }

  #takeLeaving(sealed: Uint8Array): boolean {
    const leaving = this.#leaving
    this.#leaving = undefined
    return (
      leaving !== undefined &&
      sealed.buffer === leaving.frame.buffer &&
      sealed.byteOffset === leaving.frame.byteOffset + LENGTH_BYTES
    )
  }
}
