/**
 * The join protocol on the wire: one request, one answer, end. The listener admits an invitation's
 * key to nothing else. Both messages are opaque here (see volume/join-message.ts).
 */
import type { KeyPair } from '@hyperswarm/secret-stream'
import type { Clock } from '../../fs/ports/clock.ts'
import type { HostPort } from './address.ts'
import { announce, dialTcp, endWithin, type Link, nextMessage, tcpLink } from './link.ts'

export const JOINS_AT_ONCE = 4
export const JOIN_REQUEST_MAX_BYTES = 16 * 1024
export const JOIN_ANSWER_MAX_BYTES = 8 * 1024 * 1024

/** Decides about joiners; kept by who has invited them. */
export interface JoinGate {
  /** True when `key` (hex) is the key of an invitation, valid or not. */
  knows(key: string): boolean
  /** Answers a request; what it grants is durable when it resolves. */
  answer(inviteKey: string, request: Uint8Array): Promise<Uint8Array>
}

/** Listener's half, after the preamble. */
export async function answerJoin(
  link: Link,
  inviteKey: string,
  gate: JoinGate,
  clock: Clock,
  timeoutMs: number
): Promise<void> {
  link.setMessageLimit(JOIN_REQUEST_MAX_BYTES)
  const request = await nextMessage(link, clock, timeoutMs)
  const answer = await gate.answer(inviteKey, request)
  link.stream.write(answer)
  endWithin(link, clock, timeoutMs)
}

export interface JoinCall {
  readonly volumeId: string
  /** The invitation's key pair. */
  readonly keyPair: KeyPair
  /** Key the answering member must prove, hex. */
  readonly inviterKey: string
  readonly request: Uint8Array
  readonly timeoutMs: number
}

/** Joiner's half over TCP. Rejects with TransportError. */
export async function requestJoinTcp(
  to: HostPort,
  call: JoinCall,
  clock: Clock
): Promise<Uint8Array> {
  const socket = await dialTcp(to, clock, call.timeoutMs)
  const link = tcpLink(socket, {
    isInitiator: true,
    keyPair: call.keyPair,
    firewall: (key) => key === call.inviterKey
  })
  return requestJoin(link, call, clock)
}

/** Joiner's half over an open link. Rejects with TransportError. */
export async function requestJoin(link: Link, call: JoinCall, clock: Clock): Promise<Uint8Array> {
  link.setMessageLimit(JOIN_ANSWER_MAX_BYTES)
  try {
    await announce(link, 'join', call.volumeId, clock, call.timeoutMs)
    link.stream.write(call.request)
    return await nextMessage(link, clock, call.timeoutMs)
  } finally {
    link.stream.destroy()
  }
}
