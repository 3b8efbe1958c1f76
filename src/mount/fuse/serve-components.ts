import type { FilesystemApi } from '../../fs/filesystem-api.ts'
import type { CachePolicy } from './policy.ts'

/** What serving a request needs. */
export interface ServeComponents {
  readonly fs: FilesystemApi
  readonly policy: CachePolicy
}
