/** Mount options that change what a filesystem answers: uid=, gid=, sync, dirsync. */
import type { Attr } from '../../fs/attr.ts'
import type { Awaitable, FilesystemApi } from '../../fs/filesystem-api.ts'
import type { MountSettings } from './mount-options.ts'
import { overlay } from './overlay.ts'

/** `fs` as these settings want it; `fs` itself when they want nothing. */
export function shownFilesystem(
  fs: FilesystemApi,
  settings: MountSettings,
  durable: () => Promise<void>
): FilesystemApi {
  const { shownUid, shownGid, sync, dirSync } = settings
  let shown = fs
  if (sync || dirSync) shown = withDurableNames(shown, durable)
  if (shownUid !== null || shownGid !== null) shown = withOwner(shown, settings)
  return shown
}

/** Writes are the kernel's part: it marks each of a mount with `sync` as O_SYNC. */
function withDurableNames(fs: FilesystemApi, durable: () => Promise<void>): FilesystemApi {
  const after = async <T>(change: Awaitable<T>): Promise<T> => {
    const result = await change
    await durable()
    return result
  }
  return overlay(fs, {
    setattr: (...args) => after(fs.setattr(...args)),
    mknod: (...args) => after(fs.mknod(...args)),
    mkdir: (...args) => after(fs.mkdir(...args)),
    symlink: (...args) => after(fs.symlink(...args)),
    unlink: (...args) => after(fs.unlink(...args)),
    rmdir: (...args) => after(fs.rmdir(...args)),
    rename: (...args) => after(fs.rename(...args)),
    link: (...args) => after(fs.link(...args)),
    setxattr: (...args) => after(fs.setxattr(...args)),
    removexattr: (...args) => after(fs.removexattr(...args)),
    create: async (...args) => {
      const created = await fs.create(...args)
      try {
        await durable()
      } catch (error) {
        await fs.release(created.attr.ino, created.handle)
        throw error
      }
      return created
    }
  })
}

type ShownOwner = Pick<MountSettings, 'shownUid' | 'shownGid'>

/** As these settings want them. */
export function shownAttr(attr: Attr, { shownUid, shownGid }: ShownOwner): Attr {
  if (shownUid === null && shownGid === null) return attr
  return { ...attr, uid: shownUid ?? attr.uid, gid: shownGid ?? attr.gid }
}

/** As FUSE filesystems do it: what is shown, and so what the kernel checks; nothing stored. */
function withOwner(fs: FilesystemApi, owner: ShownOwner): FilesystemApi {
  const show = (attr: Attr): Attr => shownAttr(attr, owner)
  const shown = async (attr: Awaitable<Attr>): Promise<Attr> => show(await attr)
  return overlay(fs, {
    lookup: async (...args) => {
      const attr = await fs.lookup(...args)
      return attr === undefined ? undefined : show(attr)
    },
    getattr: (...args) => shown(fs.getattr(...args)),
    setattr: (...args) => shown(fs.setattr(...args)),
    mknod: (...args) => shown(fs.mknod(...args)),
    mkdir: (...args) => shown(fs.mkdir(...args)),
    symlink: (...args) => shown(fs.symlink(...args)),
    link: (...args) => shown(fs.link(...args)),
    readdir: (ctx, ino, handle, cookie, accept) => {
      return fs.readdir(ctx, ino, handle, cookie, (entry, attributes) => {
        return accept(entry, (of) => {
          const attr = attributes(of)
          return attr === undefined ? undefined : show(attr)
        })
      })
    },
    create: async (...args) => {
      const { attr, handle } = await fs.create(...args)
      return { attr: show(attr), handle }
    },
    tmpfile: async (...args) => {
      const { attr, handle } = await fs.tmpfile(...args)
      return { attr: show(attr), handle }
    }
  })
}
