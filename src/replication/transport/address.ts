/** host:port addresses as they stand in the record, in invitations and on the command line. */
import { networkInterfaces } from 'node:os'

export interface HostPort {
  readonly host: string
  /** 0 (a free one is chosen) .. 65535. */
  readonly port: number
}

export const ADDRESS_MAX_CHARS = 262
export const DEFAULT_PORT = 4907

const HOST = /^[A-Za-z0-9._-]+$/
const HOST6 = /^[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?$/

/** Reads `host:port` or `[v6]:port`; undefined when it is neither. */
export function parseAddress(text: string): HostPort | undefined {
  if (text.length > ADDRESS_MAX_CHARS) return undefined
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  if (!match) return undefined
  const [, host6, host4, portText] = match
  const port = Number(portText)
  if (port > 65535) return undefined
  if (host6 !== undefined) {
    return HOST6.test(host6) && host6.includes(':') ? { host: host6, port } : undefined
  }
  return host4 !== undefined && HOST.test(host4) ? { host: host4, port } : undefined
}

export function formatAddress(address: HostPort): string {
  const { host, port } = address
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** The addresses others can try for a listener: the host itself, or every interface's for 0.0.0.0. */
export function reachableAddresses(listen: HostPort): string[] {
  if (listen.host !== '0.0.0.0' && listen.host !== '::') return [formatAddress(listen)]
  const external: string[] = []
  const loopback: string[] = []
  for (const infos of Object.values(networkInterfaces())) {
    for (const info of infos ?? []) {
      if (info.family === 'IPv6' && (listen.host !== '::' || info.scopeid !== 0)) continue
      const text = formatAddress({ host: info.address, port: listen.port })
      if (info.internal) loopback.push(text)
      else external.push(text)
    }
  }
  return (external.length > 0 ? external : loopback).slice(0, 16)
}
