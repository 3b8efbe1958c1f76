/**
 * Where inodes lie: by the names the lost entries themselves give, and by a state's tables. Paths
 * are bytes; nothing about them is certain, because the volume went on without these entries.
 */
import type { Database } from 'better-sqlite3'
import type { Op } from '../../../fs/op.ts'
import { type Ino, ROOT_INO } from '../../../fs/primitives.ts'

const DEPTH_MAX = 2048

interface Place {
  readonly parent: Ino
  readonly name: Uint8Array
}

/** Finds one name of an inode in a state's tables. */
export class StateNames {
  readonly #database: Database
  readonly #found = new Map<Ino, Place | undefined>()

  constructor(database: Database) {
    this.#database = database
  }

  placeOf(ino: Ino): Place | undefined {
    if (!this.#found.has(ino)) this.#found.set(ino, this.#lookUp(ino))
    return this.#found.get(ino)
  }

  /** All of them in one pass, because a file's directory is not known. */
  prefetch(inos: ReadonlySet<Ino>): void {
    const rows = this.#database.prepare('SELECT ino, parent, name FROM dentry').raw(true).iterate()
    for (const row of rows as Iterable<[Ino, Ino, Uint8Array]>) {
      const [ino, parent, name] = row
      if (inos.has(ino) && !this.#found.has(ino)) this.#found.set(ino, { parent, name })
    }
    for (const ino of inos) if (!this.#found.has(ino)) this.#found.set(ino, undefined)
  }

  /** A directory knows where it lies. */
  #lookUp(ino: Ino): Place | undefined {
    const parent = this.#database.prepare('SELECT parent FROM inode WHERE ino = ?').pluck().get(ino)
    if (typeof parent !== 'number' || parent === 0) return undefined
    const name = this.#database
      .prepare('SELECT name FROM dentry WHERE parent = ? AND ino = ?')
      .pluck()
      .get(parent, ino)
    return name instanceof Uint8Array ? { parent: parent as Ino, name } : undefined
  }
}

export class Names {
  readonly #own = new Map<Ino, Place>()
  readonly #state: StateNames | undefined

  constructor(state: StateNames | undefined) {
    this.#state = state
  }

  /** The later op counts. */
  learn(op: Op): void {
    switch (op.type) {
      case 'create':
      case 'link':
      case 'unlink':
      case 'rmdir':
        this.#own.set(op.ino, { parent: op.parent, name: op.name })
        break
      case 'rename':
        this.#own.set(op.ino, { parent: op.newParent, name: op.newName })
        break
      default:
    }
  }

  /** Path from the root of the volume, without a slash at its beginning; undefined = not known. */
  pathOf(ino: Ino): Buffer | undefined {
    const parts: Uint8Array[] = []
    for (let at = ino; at !== ROOT_INO; ) {
      const place = this.#own.get(at) ?? this.#state?.placeOf(at)
      if (place === undefined || parts.length > DEPTH_MAX) return undefined
      parts.unshift(place.name)
      at = place.parent
    }
    return joinPath(parts)
  }

  /** Path of a name in a directory. */
  pathIn(parent: Ino, name: Uint8Array): Buffer | undefined {
    const folder = this.pathOf(parent)
    if (folder === undefined) return undefined
    return folder.length === 0 ? Buffer.from(name) : joinPath([folder, name])
  }
}

function joinPath(parts: readonly Uint8Array[]): Buffer {
  const slash = Buffer.from('/')
  return Buffer.concat(parts.flatMap((part, index) => (index === 0 ? [part] : [slash, part])))
}
