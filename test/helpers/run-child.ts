/** Runs a compiled script of this folder in a child and gives what it printed. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export function runChild(
  script: string,
  args: readonly string[],
  limitMs = 120_000
): Promise<string> {
  const file = fileURLToPath(new URL(script, import.meta.url))
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const collect = (chunk: Buffer): void => {
    output += chunk.toString()
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
    child.once('error', reject)
    child.once('close', () => {
      clearTimeout(timer)
      resolve(output.trim())
    })
  })
}
