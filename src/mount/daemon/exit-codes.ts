/** Every exit code of every command, in one place. docs/cli.md explains them; tests compare both. */
export const ExitCode = {
  ok: 0,
  usage: 2,
  volumeUnknown: 3,
  mountPoint: 4,
  alreadyRunning: 5,
  noAuthority: 6,
  refused: 7,
  addressInUse: 8,
  noSpace: 9,
  damaged: 10,
  internal: 11,
  notMounted: 12,
  busy: 13,
  timeout: 14,
  system: 15
} as const

export type ExitCodeName = keyof typeof ExitCode
export type ExitCodeValue = (typeof ExitCode)[ExitCodeName]

/** One sentence for each code, shown by `tandemfs --help`. */
export const EXIT_CODE_MEANINGS: Readonly<Record<ExitCodeName, string>> = {
  ok: 'done',
  usage: 'wrong command, option or value',
  volumeUnknown: 'there is no such volume on this machine',
  mountPoint: 'the mount point cannot be used',
  alreadyRunning: 'the volume exists, is mounted or is being changed already',
  noAuthority: 'the authority cannot be reached, so nothing may be changed',
  refused: 'an invitation or a key was not accepted',
  addressInUse: 'the address to listen on is in use or is not of this machine',
  noSpace: 'no space left for the state directory',
  damaged: 'stored state is damaged; nothing was served from it',
  internal: 'an error of tandemfs itself; the log has the details',
  notMounted: 'the volume is not mounted here',
  busy: 'files of the mount are in use',
  timeout: 'not done within the time given',
  system: 'the system lacks a permission or a part that is needed'
}
