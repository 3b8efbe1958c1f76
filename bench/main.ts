/** `npm run bench`: how fast tandemfs is, beside other systems in the same run; see options.ts. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { compare } from './compare.ts'
import { parseOptions, USAGE } from './options.ts'
import { formatResult, writeDocument, writeScale } from './report/document.ts'
import { formatScale } from './report/scale-tables.ts'
import type { BenchResult } from './results.ts'
import { scale } from './scale.ts'

const microFolder = new URL('./micro/', import.meta.url)

async function runMicro(name: string | undefined, args: readonly string[]): Promise<void> {
  const names = readdirSync(microFolder)
    .filter((file) => file.endsWith('.js'))
    .map((file) => file.slice(0, -3))
  if (name === undefined || !names.includes(name)) {
    throw new Error(`micro: which one? ${names.join(', ')}`)
  }
  const program = new URL(`${name}.js`, microFolder)
  process.argv.splice(1, process.argv.length, program.pathname, ...args)
  await import(program.href)
}

function report(file: string | undefined): void {
  if (file === undefined) throw new Error('report: of which file?')
  const result = JSON.parse(readFileSync(file, 'utf8')) as BenchResult
  if (result.version !== 2) throw new Error(`${file}: of another version of the benchmark`)
  writeDocument(result)
}

function needRoot(): void {
  if (process.getuid?.() !== 0) throw new Error('it needs root: it mounts and drops caches')
}

async function runScale(args: readonly string[]): Promise<void> {
  const options = parseOptions(args)
  needRoot()
  const text = formatScale(await scale(options))
  process.stdout.write(`${text}\n`)
  if (options.docs) writeScale(text)
}

async function runCompare(args: readonly string[]): Promise<void> {
  const options = parseOptions(args)
  needRoot()
  const result = await compare(options)
  writeFileSync(options.jsonPath, `${JSON.stringify(result, null, 1)}\n`)
  process.stdout.write(`${formatResult(result)}\n`)
  if (options.docs) writeDocument(result)
  if (result.cells.some(({ failures }) => failures.length > 0)) process.exitCode = 1
}

async function main(args: readonly string[]): Promise<void> {
  const [command = '', ...rest] = args
  if (command === '--help' || command === '-h') process.stdout.write(USAGE)
  else if (command === 'micro') await runMicro(rest[0], rest.slice(1))
  else if (command === 'report') report(rest[0])
  else if (command === 'scale') await runScale(rest)
  else await runCompare(args)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
