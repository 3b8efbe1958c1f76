/** `tandemfs invite`: a join code, from the running daemon or straight from the state directory. */

import { Invitations } from '../../../replication/volume/invitations.ts'
import { openVolume } from '../../../replication/volume/open-volume.ts'
import { saveInvites } from '../../../replication/volume/volume-files.ts'
import { ControlClient } from '../../daemon/control-client.ts'
import type { InviteRequest } from '../../daemon/node-api.ts'
import { StateLock } from '../../daemon/state-lock.ts'
import { commandClock } from '../command-clock.ts'
import type { CommandContext, InviteOptions } from '../command-options.ts'
import { silentLogger } from '../silent-logger.ts'
import { existingVolume } from '../volume-path.ts'

const ANSWER_LIMIT_MS = 30_000

export async function runInvite(options: InviteOptions, context: CommandContext): Promise<number> {
  const { stateDir } = existingVolume(options.volume, { dir: options.dir })
  const { role, ttlMs } = options
  const request = { role, ttlMs }
  const client = await ControlClient.connect(stateDir)
  if (client === undefined) {
    context.print(inviteFromFiles(stateDir, request))
    return 0
  }
  try {
    const { code } = await client.request('invite', request, { timeoutMs: ANSWER_LIMIT_MS })
    context.print(code)
  } finally {
    client.close()
  }
  return 0
}

/** While no daemon runs the invitation is written under the state directory's lock. */
function inviteFromFiles(stateDir: string, request: InviteRequest): string {
  const lock = StateLock.acquire(stateDir)
  try {
    const { record, keyPair, invites, settings } = openVolume(stateDir)
    const invitations = new Invitations(
      {
        keyPair,
        record: () => record,
        book: invites,
        saveBook: (book) => saveInvites(stateDir, book),
        admit: () => Promise.reject(new Error('nobody can join while no daemon runs')),
        clock: commandClock,
        logger: silentLogger
      },
      settings.discovery === undefined ? {} : { discovery: settings.discovery }
    )
    return invitations.invite(request)
  } finally {
    lock.release()
  }
}
