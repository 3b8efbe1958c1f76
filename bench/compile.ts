/** The C programs of the benchmark, compiled when they are missing or older than their sources. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export type ProgramName = 'load' | 'passthrough' | 'link'

const compiled = new Map<ProgramName, string>()

/** The checkout this program was built in. */
export function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

/** Path of the program. Throws with the compiler's words when there is none or it fails. */
export function program(name: ProgramName): string {
  const known = compiled.get(name)
  if (known !== undefined) return known
  const root = projectRoot()
  const folder = join(root, 'bench/native', name)
  const all = readdirSync(folder).map((file) => join(folder, file))
  const binary = join(root, 'build/bench', name)
  const newest = Math.max(...all.map((file) => statSync(file).mtimeMs))
  if (!existsSync(binary) || statSync(binary).mtimeMs < newest) {
    mkdirSync(dirname(binary), { recursive: true })
    const fresh = `${binary}.${process.pid}`
    const sources = all.filter((file) => file.endsWith('.c'))
    const args = ['-O2', '-Wall', '-Wextra', '-Werror', '-std=gnu11', '-o', fresh, ...sources]
    const result = spawnSync('cc', args, { encoding: 'utf8' })
    if (result.status !== 0) {
      throw new Error(`bench/native/${name} does not compile: ${result.error ?? result.stderr}`)
    }
    renameSync(fresh, binary)
  }
  compiled.set(name, binary)
  return binary
}
