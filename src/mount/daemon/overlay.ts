/** A filesystem with some of its operations replaced, for mount options that few mounts have. */
import type { FilesystemApi } from '../../fs/filesystem-api.ts'

/** Operations that `replaced` does not name, also ones added later, are those of `base`. */
export function overlay(base: FilesystemApi, replaced: Partial<FilesystemApi>): FilesystemApi {
  return new Proxy(base, {
    get: (target, name) => {
      const own: unknown = Reflect.get(replaced, name)
      if (own !== undefined) return own
      const inherited: unknown = Reflect.get(target, name)
      return typeof inherited === 'function' ? inherited.bind(target) : inherited
    }
  })
}
