/**
 * Handles whose FLUSH has nothing to do, for the addon's reader: it answers that itself.
 *
 * Invariant: see `PlainHandles` of fs/open-files.ts, which alone adds and removes them.
 */
import type { HandleId } from '../../fs/filesystem-api.ts'
import type { PlainHandles } from '../../fs/open-files.ts'
import { TimedSet } from './timed-set.ts'

const SLOTS = 4096

export class PlainHandleTable extends TimedSet<HandleId> implements PlainHandles {
  constructor() {
    super(SLOTS)
  }
}
