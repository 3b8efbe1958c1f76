/**
 * How mount(8) and umount(8) call their helpers:
 * `mount.TYPE SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE.SUBTYPE]`,
 * `umount.TYPE DIR [-nlfrv] [-N NAMESPACE] [-t TYPE.SUBTYPE]`.
 */
import { parseArgs } from 'node:util'
import { usageError } from './values.ts'

const TYPES = ['tandemfs', 'fuse.tandemfs']

export interface MountHelperArguments {
  readonly volume: string
  readonly mountPoint: string
  readonly lists: readonly string[]
  /** Unknown options are left out instead of refused. */
  readonly sloppy: boolean
  /** Everything is checked and nothing mounted. */
  readonly fake: boolean
  readonly verbose: boolean
}

export interface UmountHelperArguments {
  readonly mountPoint: string
  /** Also for -f: the mount goes, whoever uses it. */
  readonly lazy: boolean
  readonly verbose: boolean
}

interface ParsedArguments {
  readonly positionals: readonly string[]
  readonly values: Readonly<Record<string, boolean | string | (boolean | string)[] | undefined>>
}

function parse(program: string, args: readonly string[], flags: string): ParsedArguments {
  const options: Record<string, { type: 'string' | 'boolean'; short: string; multiple?: boolean }> =
    {
      options: { type: 'string', short: 'o', multiple: true },
      namespace: { type: 'string', short: 'N' },
      type: { type: 'string', short: 't' }
    }
  for (const letter of flags) options[`flag-${letter}`] = { type: 'boolean', short: letter }
  let parsed: ParsedArguments
  try {
    parsed = parseArgs({ args: [...args], allowPositionals: true, options })
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/\..*/s, '') : String(error)
    throw usageError(program, why, `see '${program}(8)'`)
  }
  const { type, namespace } = parsed.values
  if (type !== undefined && !TYPES.some((known) => known === type)) {
    throw usageError(program, `the type '${type}' is not ours`, `use one of ${TYPES.join(', ')}`)
  }
  if (namespace !== undefined) {
    throw usageError(program, '-N is not supported', 'run it inside of the namespace (nsenter)')
  }
  return parsed
}

/** Throws UserError 'usage'. */
export function parseMountHelper(args: readonly string[]): MountHelperArguments {
  const program = 'mount.tandemfs'
  const { values, positionals } = parse(program, args, 'sfnv')
  const [volume, mountPoint, ...rest] = positionals
  if (volume === undefined || mountPoint === undefined || rest.length > 0) {
    const remedy = 'use mount.tandemfs VOLUME MOUNTPOINT [-sfnv] [-o OPTIONS]'
    throw usageError(program, 'it needs a volume and a mount point', remedy)
  }
  const lists = Array.isArray(values['options']) ? values['options'].map(String) : []
  return {
    volume,
    mountPoint,
    lists,
    sloppy: values['flag-s'] === true,
    fake: values['flag-f'] === true,
    verbose: values['flag-v'] === true
  }
}

/** Throws UserError 'usage'. */
export function parseUmountHelper(args: readonly string[]): UmountHelperArguments {
  const program = 'umount.tandemfs'
  const { values, positionals } = parse(program, args, 'nlfrv')
  const [mountPoint, ...rest] = positionals
  if (mountPoint === undefined || rest.length > 0) {
    throw usageError(program, 'it needs a mount point', 'use umount.tandemfs MOUNTPOINT [-nlfrv]')
  }
  const lazy = values['flag-l'] === true || values['flag-f'] === true
  return { mountPoint, lazy, verbose: values['flag-v'] === true }
}
