/** What a member is called when nobody says. */
import { hostname } from 'node:os'

/** The host name, as far as it can name a member. */
export function memberNameOfHost(): string {
  const name = hostname()
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 63)
  return name === '' ? 'member' : name
}
