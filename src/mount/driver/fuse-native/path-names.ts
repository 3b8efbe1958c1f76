/** Paths as the package gives them, and names as the filesystem has them: bytes. */
import { FsError } from '../../../fs/errno.ts'
import { NAME_MAX_BYTES } from '../../../fs/op.ts'

/** What the package makes of bytes that are no UTF-8: the name they belonged to is lost. */
const REPLACEMENT = '\ufffd'

/** Throws EILSEQ for text that was, or may have been, bytes that are no UTF-8. */
export function bytesOf(text: string): Uint8Array {
  if (text.includes(REPLACEMENT)) throw new FsError('EILSEQ')
  return Buffer.from(text, 'utf8')
}

/** The names on the way from the root; none for '/'. Throws ENAMETOOLONG, EILSEQ. */
export function namesOf(path: string): Uint8Array[] {
  const names = path.split('/').filter((name) => name !== '')
  return names.map((name) => {
    const bytes = bytesOf(name)
    if (bytes.length > NAME_MAX_BYTES) throw new FsError('ENAMETOOLONG')
    return bytes
  })
}

/** For listings: a name that is no UTF-8 is shown, though it cannot be used. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

/** Throws EILSEQ for bytes that cannot be given as text. */
export function exactTextOf(bytes: Uint8Array): string {
  const text = textOf(bytes)
  if (text.includes(REPLACEMENT)) throw new FsError('EILSEQ')
  return text
}
