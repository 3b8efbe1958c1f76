import type { RequestContext } from '../filesystem-api.ts'
import type { Ino } from '../primitives.ts'
import type { Core } from './core.ts'
import { exclusive, underTokens } from './core.ts'

export function reap(core: Core, ino: Ino, signal: AbortSignal | undefined): Promise<boolean> {
  const ctx: RequestContext = {
    uid: 0,
    gid: 0,
    pid: 0,
    ...(signal === undefined ? {} : { signal })
  }
  const resolution = { wants: [exclusive(ino)] }
  return underTokens(
    core,
    ctx,
    () => resolution,
    async () => {
      const inode = core.state.inode(ino)
      if (inode === undefined || inode.nlink > 0 || core.openFiles.isOpen(ino)) return false
      await core.opLog.submit({ type: 'reap', ino })
      core.openFiles.forget(ino)
      return true
    }
  )
}
