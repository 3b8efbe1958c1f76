/**
 * The control socket's language: one JSON object a line in each direction. A request names the
 * protocol version, an id that the response repeats, a method and its parameters. Responses may
 * come in another order than their requests. Only the methods below exist; anything else is
 * answered with an error, and a line that is no request ends the connection.
 */
import { ExitCode } from './exit-codes.ts'
import type { LockReport } from './lock-report.ts'
import type { InviteRequest, NodeStatus } from './node-api.ts'
import { UserError } from './user-error.ts'

export const CONTROL_VERSION = 1
export const REQUEST_MAX_BYTES = 64 * 1024
export const RESPONSE_MAX_BYTES = 4 * 1024 * 1024
const TTL_MAX_MS = 366 * 24 * 3600 * 1000
const NAME_MAX_LENGTH = 255
const PATH_MAX_LENGTH = 4096
const OPTIONS_MAX_LENGTH = 4096

/** Why a daemon does not serve a request; commands tell the two apart by it. */
export const BEING_MOUNTED = 'still being mounted'
export const BEING_UNMOUNTED = 'being unmounted'

export interface ControlMethods {
  status: { readonly params: Record<string, never>; readonly result: NodeStatus }
  locks: {
    /** A path relative to the mount; null = all. */
    readonly params: { readonly below: string | null }
    readonly result: LockReport
  }
  invite: { readonly params: InviteRequest; readonly result: { readonly code: string } }
  /** null = nobody's vote counts twice. */
  setTieBreaker: { readonly params: { readonly name: string | null }; readonly result: null }
  removeMember: { readonly params: { readonly name: string }; readonly result: null }
  /** A list of mount options to change the running mount into; null = only tells the present one. */
  configure: {
    readonly params: { readonly options: string | null }
    readonly result: { readonly options: string }
  }
  /** Answered when the volume is unmounted; the daemon ends after the answer. */
  stop: { readonly params: { readonly lazy: boolean }; readonly result: { readonly pid: number } }
}

export type ControlMethod = keyof ControlMethods

export type ControlRequest = {
  [M in ControlMethod]: {
    readonly id: number
    readonly method: M
    readonly params: ControlMethods[M]['params']
  }
}[ControlMethod]

export interface ControlError {
  readonly exitCode: number
  readonly what: string
  readonly why: string
  readonly remedy: string
}

export type ControlResponse =
  | { readonly version: number; readonly id: number; readonly result: unknown }
  | { readonly version: number; readonly id: number; readonly error: ControlError }

/** The line is not a request at all; there is nobody to answer by id. */
export class MalformedRequestError extends Error {
  override name = 'MalformedRequestError'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= NAME_MAX_LENGTH
}

function refuse(why: string): UserError {
  return new UserError('usage', {
    what: 'control request',
    why,
    remedy: 'use the tandemfs command of the same release as the daemon'
  })
}

/** Id of a request line; throws MalformedRequestError when the line is none. */
export function parseEnvelope(line: string): { id: number; fields: Record<string, unknown> } {
  let fields: unknown
  try {
    fields = JSON.parse(line)
  } catch {
    throw new MalformedRequestError('not JSON')
  }
  if (!isObject(fields)) throw new MalformedRequestError('not an object')
  const id = fields['id']
  if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) {
    throw new MalformedRequestError('no id')
  }
  return { id, fields }
}

/** Checks version, method and parameters. Throws UserError 'usage'. */
export function parseRequest(id: number, fields: Record<string, unknown>): ControlRequest {
  const params = fields['params']
  if (fields['version'] !== CONTROL_VERSION) throw refuse('another protocol version')
  if (!isObject(params)) throw refuse('no parameters')
  switch (fields['method']) {
    case 'status':
      return { id, method: 'status', params: {} }
    case 'locks': {
      const { below } = params
      if (below !== null && (typeof below !== 'string' || below.length > PATH_MAX_LENGTH)) {
        throw refuse('locks: no path')
      }
      return { id, method: 'locks', params: { below } }
    }
    case 'invite': {
      const { role, ttlMs } = params
      if (role !== 'data' && role !== 'witness') throw refuse('invite: unknown role')
      if (typeof ttlMs !== 'number' || !(ttlMs >= 1000 && ttlMs <= TTL_MAX_MS)) {
        throw refuse('invite: ttlMs out of range')
      }
      return { id, method: 'invite', params: { role, ttlMs } }
    }
    case 'removeMember': {
      const { name } = params
      if (!isName(name)) throw refuse('removeMember: no name')
      return { id, method: 'removeMember', params: { name } }
    }
    case 'setTieBreaker': {
      const { name } = params
      if (name !== null && !isName(name)) throw refuse('setTieBreaker: no name')
      return { id, method: 'setTieBreaker', params: { name } }
    }
    case 'configure': {
      const { options } = params
      if (
        options !== null &&
        (typeof options !== 'string' || options.length > OPTIONS_MAX_LENGTH)
      ) {
        throw refuse('configure: no mount options')
      }
      return { id, method: 'configure', params: { options } }
    }
    case 'stop': {
      const { lazy } = params
      if (typeof lazy !== 'boolean') throw refuse('stop: lazy is not true or false')
      return { id, method: 'stop', params: { lazy } }
    }
    default:
      throw refuse('unknown method')
  }
}

/** A response line as received. Undefined when it is none. */
export function parseResponse(line: string): ControlResponse | undefined {
  let fields: unknown
  try {
    fields = JSON.parse(line)
  } catch {
    return undefined
  }
  if (!isObject(fields) || typeof fields['id'] !== 'number') return undefined
  const version = typeof fields['version'] === 'number' ? fields['version'] : 0
  const error = fields['error']
  if (!isObject(error)) return { version, id: fields['id'], result: fields['result'] }
  return {
    version,
    id: fields['id'],
    error: {
      exitCode: typeof error['exitCode'] === 'number' ? error['exitCode'] : ExitCode.internal,
      what: String(error['what']),
      why: String(error['why']),
      remedy: String(error['remedy'])
    }
  }
}
