/** What a member says, and ends with, that hears that the volume goes on without it for good. */
import { UserError } from './user-error.ts'

/** `what` names the command that runs it, such as "mount /srv/mail". */
export function removedFromVolume(what: string): UserError {
  return new UserError('refused', {
    what,
    why: 'this member was removed from the volume, its key is refused for good',
    remedy: 'join again with a new invitation and a new state directory'
  })
}
