/** What each command is called with, after parsing. */
import type { LogLevel } from '../daemon/log-file.ts'
import type { MountSettings } from '../daemon/mount-options.ts'

export interface HostPort {
  readonly host: string
  readonly port: number
}

export interface CreateOptions {
  readonly volume: string
  readonly dir: string
  readonly listen: HostPort
  /** HOST:PORT where the others reach it; undefined = derived from `listen`. */
  readonly advertise: readonly string[] | undefined
  /** DHT nodes; empty = the public ones; undefined = no discovery. */
  readonly bootstrap: readonly string[] | undefined
}

export interface InviteOptions {
  readonly volume: string
  readonly dir: string
  readonly role: 'data' | 'witness'
  readonly ttlMs: number
}

export interface JoinOptions {
  readonly code: string
  readonly dir: string
  readonly listen: HostPort
  /** HOST:PORT where the others reach it; undefined = derived from `listen`. */
  readonly advertise: readonly string[] | undefined
  readonly name: string
}

export interface MountOptions {
  readonly volume: string
  readonly mountPoint: string
  readonly dir: string
  readonly foreground: boolean
  readonly settings: MountSettings
  /** The options are those of the mount point's line in /etc/fstab, not `settings`. */
  readonly fstab: boolean
  readonly logLevel: LogLevel
}

export interface UnmountOptions {
  readonly mountPoint: string
  readonly lazy: boolean
  readonly timeoutMs: number
}

export interface StatusOptions {
  /** A volume or a mount point; undefined = everything that is mounted. */
  readonly target: string | undefined
  readonly dir: string
  readonly json: boolean
  readonly watch: boolean
}

export interface LocksOptions {
  /** A path in a mounted volume, or a volume; undefined = everything that is mounted. */
  readonly target: string | undefined
  readonly dir: string
  readonly json: boolean
}

export interface MembersOptions {
  readonly volume: string
  readonly dir: string
  readonly change:
    | { readonly kind: 'remove'; readonly name: string }
    /** null = nobody's vote counts twice. */
    | { readonly kind: 'tie-breaker'; readonly name: string | null }
    | undefined
}

export interface WitnessOptions {
  readonly volume: string
  readonly dir: string
  readonly foreground: boolean
  /** Ends the one that runs instead. */
  readonly stop: boolean
  readonly logLevel: LogLevel
}

export interface RecoverOptions {
  readonly volume: string
  readonly dir: string
  readonly acceptLoss: boolean
}

export interface FstabOptions {
  readonly volume: string
  /** Undefined for a witness, which mounts nothing. */
  readonly mountPoint: string | undefined
  readonly dir: string
  readonly action: 'show' | 'install' | 'uninstall'
  /** List of mount options for the line; undefined = none, and a line that is there stays. */
  readonly mountOptions: string | undefined
  /** Stands for / in the paths of the system's files. */
  readonly root: string
}

export interface SalvageOptions {
  readonly volume: string
  readonly dir: string
  /** Undefined: list what there is. */
  readonly extract: { readonly name: string; readonly to: string } | undefined
}

/** Where commands print; errors are thrown instead. */
export interface CommandContext {
  print(text: string): void
}

/** Each resolves with the exit code, or throws UserError. */
export interface Commands {
  create(options: CreateOptions): Promise<number>
  invite(options: InviteOptions): Promise<number>
  join(options: JoinOptions): Promise<number>
  mount(options: MountOptions): Promise<number>
  unmount(options: UnmountOptions): Promise<number>
  status(options: StatusOptions): Promise<number>
  locks(options: LocksOptions): Promise<number>
  members(options: MembersOptions): Promise<number>
  fstab(options: FstabOptions): Promise<number>
  salvage(options: SalvageOptions): Promise<number>
  witness(options: WitnessOptions): Promise<number>
  recover(options: RecoverOptions): Promise<number>
}
