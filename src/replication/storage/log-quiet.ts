/** When a hypercore may be closed. */
import type Hypercore from 'hypercore'

/**
 * Resolves when the core stores nothing any more: what has been stored is read again for whoever
 * asked for it, and a store that is closed in between throws where nobody can catch it. The streams
 * on which more could come are closed.
 */
export async function quiet(core: Hypercore): Promise<void> {
  const { mutex } = core.core.state
  try {
    await mutex.lock()
  } catch {
    // It was closed already.
    return
  }
  mutex.unlock()
}
