/**
 * (I/O) The files of the system that an installation makes: the line in fstab, the helpers mount(8)
 * looks for, the units. Each function says whether it changed anything. Nothing that somebody else
 * made is overwritten or removed.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync
} from 'node:fs'
import path from 'node:path'
import { UserError } from '../../daemon/user-error.ts'
import { UNIT_MARK } from './units.ts'

const FSTAB_MAX_BYTES = 1024 * 1024
const WANTS = 'multi-user.target.wants'

/** Name in /sbin, and the program of ours it leads to. */
export const HELPERS = [
  ['mount.tandemfs', 'mount.tandemfs.js'],
  ['mount.fuse.tandemfs', 'mount.tandemfs.js'],
  ['umount.fuse.tandemfs', 'umount.tandemfs.js']
] as const

export class SystemFiles {
  readonly fstab: string
  readonly helperDir: string
  readonly unitDir: string

  /** `root` stands for / in every path. */
  constructor(root: string) {
    this.fstab = path.join(root, 'etc/fstab')
    this.helperDir = path.join(root, 'sbin')
    this.unitDir = path.join(root, 'etc/systemd/system')
  }

  readFstab(): string {
    if (!existsSync(this.fstab)) return ''
    if (statSync(this.fstab).size > FSTAB_MAX_BYTES) {
      throw inTheWay(this.fstab, `longer than ${FSTAB_MAX_BYTES} bytes`)
    }
    return readFileSync(this.fstab, 'utf8')
  }

  writeFstab(text: string): boolean {
    if (text === this.readFstab()) return false
    replaceFile(this.fstab, text)
    return true
  }

  addHelpers(binDir: string): boolean {
    mkdirSync(this.helperDir, { recursive: true })
    let changed = false
    for (const [name, program] of HELPERS) {
      const link = path.join(this.helperDir, name)
      const target = path.join(binDir, program)
      const old = this.#helperTarget(link)
      if (old === target) continue
      if (old !== undefined) rmSync(link)
      symlinkSync(target, link)
      changed = true
    }
    return changed
  }

  removeHelpers(): boolean {
    let changed = false
    for (const [name] of HELPERS) {
      const link = path.join(this.helperDir, name)
      if (this.#helperTarget(link) === undefined) continue
      rmSync(link)
      changed = true
    }
    return changed
  }

  writeUnit(name: string, text: string): boolean {
    const file = path.join(this.unitDir, name)
    if (this.#unit(file) === text) return false
    mkdirSync(this.unitDir, { recursive: true })
    replaceFile(file, text)
    return true
  }

  removeUnit(name: string): boolean {
    const file = path.join(this.unitDir, name)
    if (this.#unit(file) === undefined) return false
    rmSync(file)
    return true
  }

  /** The unit is started at boot (systemctl enable), or not any more. */
  enable(name: string, enabled: boolean): boolean {
    const link = path.join(this.unitDir, WANTS, name)
    const isThere = lstatSync(link, { throwIfNoEntry: false }) !== undefined
    if (isThere === enabled) return false
    if (enabled) {
      mkdirSync(path.dirname(link), { recursive: true })
      symlinkSync(path.join('..', name), link)
    } else rmSync(link)
    return true
  }

  /** Where the helper leads; undefined when there is none. Throws when it is not one of ours. */
  #helperTarget(link: string): string | undefined {
    const stat = lstatSync(link, { throwIfNoEntry: false })
    if (stat === undefined) return undefined
    const target = stat.isSymbolicLink() ? readlinkSync(link) : ''
    if (HELPERS.some(([, program]) => path.basename(target) === program)) return target
    throw inTheWay(link, 'it is there and was not made by tandemfs')
  }

  /** Text of a unit made here; undefined when there is none. Throws when it is another's. */
  #unit(file: string): string | undefined {
    if (!existsSync(file)) return undefined
    const text = readFileSync(file, 'utf8')
    if (text.startsWith(UNIT_MARK)) return text
    throw inTheWay(file, 'it is there and was not made by tandemfs')
  }
}

function inTheWay(file: string, why: string): UserError {
  return new UserError('alreadyRunning', { what: file, why, remedy: 'look at it and move it away' })
}

/** Whoever reads it sees the old or the new text; mode and owner stay. */
function replaceFile(file: string, text: string): void {
  const target = existsSync(file) ? realpathSync(file) : file
  const draft = `${target}.tandemfs-new`
  const old = statSync(target, { throwIfNoEntry: false })
  const fd = openSync(draft, 'w', 0o644)
  try {
    writeSync(fd, text)
    chmodSync(draft, (old?.mode ?? 0o644) & 0o7777)
    if (old) chownSync(draft, old.uid, old.gid)
    fsyncSync(fd)
    renameSync(draft, target)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}
