/**
 * From a path to an inode: one lookup for each name, at each call. Nothing is kept, because nobody
 * would say when another member has changed it.
 */
import type { Attr } from '../../../fs/attr.ts'
import { FsError } from '../../../fs/errno.ts'
import type { FilesystemApi, RequestContext } from '../../../fs/filesystem-api.ts'
import { type Ino, ROOT_INO } from '../../../fs/primitives.ts'
import { namesOf } from './path-names.ts'

export class PathLookup {
  readonly #fs: FilesystemApi

  constructor(fs: FilesystemApi) {
    this.#fs = fs
  }

  async attrOf(ctx: RequestContext, path: string): Promise<Attr> {
    let attr: Attr | undefined
    for (const name of namesOf(path)) {
      attr = await this.#find(ctx, attr?.ino ?? ROOT_INO, name)
    }
    return attr ?? (await this.#fs.getattr(ctx, ROOT_INO))
  }

  async inoOf(ctx: RequestContext, path: string): Promise<Ino> {
    return await this.#walk(ctx, namesOf(path))
  }

  /** The directory a path is in, and its last name. EBUSY for the root itself. */
  async placeOf(
    ctx: RequestContext,
    path: string
  ): Promise<{ readonly parent: Ino; readonly name: Uint8Array }> {
    const names = namesOf(path)
    const name = names.pop()
    if (name === undefined) throw new FsError('EBUSY')
    return { parent: await this.#walk(ctx, names), name }
  }

  async #walk(ctx: RequestContext, names: readonly Uint8Array[]): Promise<Ino> {
    let ino: Ino = ROOT_INO
    for (const name of names) ino = (await this.#find(ctx, ino, name)).ino
    return ino
  }

  async #find(ctx: RequestContext, parent: Ino, name: Uint8Array): Promise<Attr> {
    const attr = await this.#fs.lookup(ctx, parent, name)
    if (attr === undefined) throw new FsError('ENOENT')
    return attr
  }
}
