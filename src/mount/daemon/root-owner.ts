/** The root directory of a volume that an ordinary user made is that user's; else it is root's. */
import type { FilesystemApi, RequestContext } from '../../fs/filesystem-api.ts'
import { ROOT_INO } from '../../fs/primitives.ts'

/** Does nothing for a root directory that was ever changed. One member at a time may call it. */
export async function giveRootTo(
  filesystem: FilesystemApi,
  user: { readonly uid: number; readonly gid: number }
): Promise<void> {
  if (user.uid === 0) return
  const ctx: RequestContext = { uid: 0, gid: 0, pid: 0 }
  const { uid, ctime } = await filesystem.getattr(ctx, ROOT_INO)
  // A new one has no times at all.
  if (uid !== 0 || ctime.sec !== 0 || ctime.nsec !== 0) return
  await filesystem.setattr(ctx, ROOT_INO, user)
}
