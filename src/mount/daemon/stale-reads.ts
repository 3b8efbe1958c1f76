/**
 * `on_isolation=readonly`: the state of this member as it was left, readable without any right.
 *
 * DESIGN §5 has a member that cannot prove its lease stop answering, and that is what every other
 * mode does. Whoever chooses this one gives up, while isolated, what a read promises: others may
 * have changed or removed what is read, and own writes that were not fsynced are seen here though
 * they may never become part of the volume. Nothing is changed meanwhile (EROFS), and nothing is
 * said to be durable or locked (EIO), so no other member can come to see anything of it.
 */
import { FsError } from '../../fs/errno.ts'
import { Filesystem, type FilesystemComponents } from '../../fs/filesystem.ts'
import type { FilesystemApi } from '../../fs/filesystem-api.ts'
import type { OpenFiles } from '../../fs/open-files.ts'
import type { LockService } from '../../fs/ports/lock-service.ts'
import type { OpLog } from '../../fs/ports/op-log.ts'
import type { TokenService } from '../../fs/ports/token-service.ts'
import { overlay } from './overlay.ts'

const O_ACCMODE = 3

function readOnly(): FsError {
  return new FsError('EROFS', 'isolated: nothing can be changed')
}

function unproven(): FsError {
  return new FsError('EIO', 'isolated: nothing can be promised')
}

const sharedOnly: TokenService = {
  tryAcquire: (wants) => {
    return wants.every(({ mode }) => mode === 'shared') ? { release: () => {} } : undefined
  },
  acquire: () => Promise.reject(readOnly()),
  own: () => {},
  giveUp: () => {},
  query: () => undefined
}

function closedLog(live: OpLog): OpLog {
  return {
    submit: () => Promise.reject(readOnly()),
    submitTogether: () => Promise.reject(readOnly()),
    durable: () => Promise.reject(unproven()),
    allocateIno: () => {
      throw readOnly()
    },
    assertSpace: () => {
      throw readOnly()
    },
    space: () => live.space()
  }
}

/** A close still ends its locks; who else has to know is told when it can be. */
function closingLocks(live: LockService, components: FilesystemComponents): LockService {
  return {
    getlk: () => Promise.reject(unproven()),
    setlk: () => Promise.reject(unproven()),
    releaseOwner: (ino, owner, kind) => {
      Promise.resolve(live.releaseOwner(ino, owner, kind)).catch((error: unknown) => {
        components.logger.warn({ ino, error: String(error) }, 'locks of a closed file not released')
      })
    },
    isContended: () => false,
    list: () => live.list()
  }
}

/** `components` are those of the filesystem that is live when the member is not isolated. */
export function staleReads(components: FilesystemComponents, openFiles: OpenFiles): FilesystemApi {
  const { opLog, locks } = components
  const parts = {
    ...components,
    opLog: closedLog(opLog),
    tokens: sharedOnly,
    locks: closingLocks(locks, components)
  }
  const base = new Filesystem(parts, { openFiles })
  return overlay(base, {
    open: (ctx, ino, flags) => {
      if ((flags & O_ACCMODE) !== 0) return Promise.reject(readOnly())
      return base.open(ctx, ino, flags)
    },
    // Whoever may have written must not take the close for a success.
    flush: async (ctx, ino, handle, lockOwner) => {
      const { flags } = openFiles.get(ino, handle)
      await base.flush(ctx, ino, handle, lockOwner)
      if ((flags & O_ACCMODE) !== 0) throw unproven()
    }
  })
}
