/** Small C programs of the tests, compiled when first needed. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const compiled = new Map<string, string>()

function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

/**
 * Path of the program made from `test/helpers/native/<name>.c`, with further arguments for the
 * compiler. Throws when there is no C compiler, with what it said.
 */
export function nativeProgram(name: string, ...options: readonly string[]): string {
  const known = compiled.get(name)
  if (known !== undefined) return known
  const root = projectRoot()
  const source = join(root, 'test/helpers/native', `${name}.c`)
  const folder = join(root, 'build/test')
  const binary = join(folder, name)
  if (!existsSync(binary) || statSync(binary).mtimeMs < statSync(source).mtimeMs) {
    mkdirSync(folder, { recursive: true })
    const fresh = `${binary}.${process.pid}`
    const args = ['-O2', '-Wall', '-Wextra', '-Werror', '-std=gnu11', ...options]
    const result = spawnSync('cc', [...args, '-o', fresh, source], { encoding: 'utf8' })
    if (result.status !== 0) {
      throw new Error(`${name} does not compile: ${result.error ?? result.stderr}`)
    }
    renameSync(fresh, binary)
  }
  compiled.set(name, binary)
  return binary
}
