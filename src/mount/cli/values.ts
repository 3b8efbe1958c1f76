/** Reads the values of command line options. Every function throws UserError 'usage'. */
import { UserError } from '../daemon/user-error.ts'

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000
}
const TTL_MIN_MS = 1000
const TTL_MAX_MS = 30 * 86_400_000
const SECONDS_MAX = 86_400
const BOOTSTRAP_MAX = 32
const ADVERTISE_MAX = 16

export function usageError(what: string, why: string, remedy: string): UserError {
  return new UserError('usage', { what, why, remedy })
}

/** How long an invitation is good: `90s`, `30m`, `1h`, `2d`; 1 second to 30 days. */
export function parseTtl(text: string): number {
  const match = /^(\d{1,8})([smhd])$/.exec(text)
  const ttlMs = match === null ? Number.NaN : Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0)
  if (ttlMs >= TTL_MIN_MS && ttlMs <= TTL_MAX_MS) return ttlMs
  throw usageError('--ttl', `'${text}' is not a time from 1s to 30d`, 'write it like 90s, 30m, 1h')
}

/** Whole seconds of `--timeout`, as milliseconds. */
export function parseTimeout(text: string): number {
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN
  if (seconds >= 1 && seconds <= SECONDS_MAX) return seconds * 1000
  const why = `'${text}' is not whole seconds from 1 to ${SECONDS_MAX}`
  throw usageError('--timeout', why, 'write it like --timeout 30')
}

/** `HOST:PORT`, `[IPV6]:PORT`; also without the port when `defaultPort` is given. */
export function parseHostPort(
  option: string,
  text: string,
  defaultPort?: number
): { host: string; port: number } {
  const bracketed = /^\[([0-9A-Fa-f:.%A-Za-z]+)\](?::(\d{1,5}))?$/.exec(text)
  const plain = /^([A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text)
  const match = bracketed ?? plain
  const port = match?.[2] === undefined ? defaultPort : Number(match[2])
  const host = match?.[1]
  if (host !== undefined && port !== undefined && port <= 65_535 && text.length <= 262) {
    return { host, port }
  }
  throw usageError(option, `'${text}' is not HOST:PORT`, 'write it like 192.0.2.7:4907')
}

/** Comma separated HOST:PORT of DHT nodes. */
export function parseBootstrap(text: string): string[] {
  return parseAddressList('--bootstrap', text, BOOTSTRAP_MAX)
}

/** Comma separated HOST:PORT under which a member can be reached. */
export function parseAdvertise(text: string): string[] {
  return parseAddressList('--advertise', text, ADVERTISE_MAX)
}

function parseAddressList(option: string, text: string, countMax: number): string[] {
  const addresses = text.split(',')
  if (addresses.length > countMax) {
    throw usageError(option, `more than ${countMax} addresses`, 'give fewer')
  }
  return addresses.map((address) => {
    const { host, port } = parseHostPort(option, address)
    if (port === 0) throw usageError(option, `'${address}' has port 0`, 'give the port itself')
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  })
}
