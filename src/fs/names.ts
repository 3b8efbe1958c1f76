/** What may stand in a directory: checked where names enter (façade) and where ops are decoded. */
import { NAME_MAX_BYTES } from './op.ts'

const DOT = 0x2e
const SLASH = 0x2f

/** '.' or '..', which are never dentries. */
export function isDotName(name: Uint8Array): boolean {
  if (name.length === 1) return name[0] === DOT
  return name.length === 2 && name[0] === DOT && name[1] === DOT
}

/** True for 1..255 bytes without NUL or '/', and neither '.' nor '..'. */
export function isDentryName(name: Uint8Array): boolean {
  const length = name.length
  if (length === 0 || length > NAME_MAX_BYTES || isDotName(name)) return false
  for (let i = 0; i < length; i++) {
    const byte = name[i]
    if (byte === 0 || byte === SLASH) return false
  }
  return true
}
