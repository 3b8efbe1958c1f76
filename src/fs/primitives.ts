/**
 * The numbers of the system, branded so that two kinds never mix, and the few
 * conversions between them. Everything fits a safe integer (53 bits).
 */
import { assert } from './assert.ts'

declare const brand: unique symbol
type Brand<T, B extends string> = T & { readonly [brand]: B }

/** Inode number, never reused: member (8 bits) | range (24) | counter (21). The root is 1. */
export type Ino = Brand<number, 'Ino'>
/** A member of the volume, 1..255, never reused. */
export type MemberId = Brand<number, 'MemberId'>
/** Counts the boots of one member, from 1 (24 bits); made durable before its first use. */
export type Incarnation = Brand<number, 'Incarnation'>
/** A writer = (member, incarnation): member * 2^24 + incarnation. */
export type WriterId = Brand<number, 'WriterId'>
/** Position of an entry in its writer's log, from 1. 0 = nothing yet. */
export type Seq = Brand<number, 'Seq'>
/** Counter of the membership record, from 1. */
export type Epoch = Brand<number, 'Epoch'>
/** A segment file: writer * 2^20 + counter. */
export type SegmentId = Brand<number, 'SegmentId'>
/** A batch of freed slices at one member; another's as soon as that one is forgotten. */
export type FreedBatchId = Brand<number, 'FreedBatchId'>

export const ROOT_INO = 1 as Ino
const INCARNATION_BITS = 2 ** 24
const INO_COUNTER_BITS = 2 ** 21
const SEGMENT_COUNTER_BITS = 2 ** 20

export const INO_RANGE_SIZE = INO_COUNTER_BITS
export const INCARNATION_MAX = INCARNATION_BITS - 1
export const SEGMENT_COUNTER_MAX = SEGMENT_COUNTER_BITS - 1
export const MEMBER_MAX = 255

export function makeWriterId(member: MemberId, incarnation: Incarnation): WriterId {
  assert(member >= 1 && member <= MEMBER_MAX, 'member out of range')
  assert(incarnation >= 1 && incarnation <= INCARNATION_MAX, 'incarnation out of range')
  return (member * INCARNATION_BITS + incarnation) as WriterId
}

export function memberOf(writer: WriterId): MemberId {
  return Math.floor(writer / INCARNATION_BITS) as MemberId
}

export function incarnationOf(writer: WriterId): Incarnation {
  return (writer % INCARNATION_BITS) as Incarnation
}

export function makeSegmentId(writer: WriterId, counter: number): SegmentId {
  assert(counter >= 0 && counter <= SEGMENT_COUNTER_MAX, 'segment counter out of range')
  return (writer * SEGMENT_COUNTER_BITS + counter) as SegmentId
}

export function writerOfSegment(segment: SegmentId): WriterId {
  return Math.floor(segment / SEGMENT_COUNTER_BITS) as WriterId
}

/** First inode number of a member's range; counters 0..INO_RANGE_SIZE-1 follow. */
export function inoRangeStart(member: MemberId, range: number): Ino {
  assert(range >= 1 && range < 2 ** 24, 'inode range out of range')
  return ((member * 2 ** 24 + range) * INO_COUNTER_BITS) as Ino
}
