/**
 * Runs the integration tests, the model, the simulations and the fuzz tests at full size, again and
 * again with new seeds, until the time is over:
 * `npm run soak -- --minutes N [--seed S] [FILTER...]`. Output of failures is kept.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const FILE_LIMIT_MS = 90 * 60_000
const testRoot = fileURLToPath(new URL('../test', import.meta.url))
/** Tests outside of test/integration that have a full size of their own. */
const LONG_TESTS = [
  'fs/op-codec.test.js',
  'model/filesystem-model.test.js',
  'mount/fuse/fuzz.test.js',
  'mount/fuse/hostile.test.js',
  'sim/cluster.test.js',
  'sim/register.test.js',
  'sim/tokens.test.js'
]

interface Outcome {
  readonly ok: boolean
  readonly output: string
}

function run(file: string, seed: number): Promise<Outcome> {
  const child = spawn(process.execPath, ['--enable-source-maps', join(testRoot, file)], {
    env: { ...process.env, TANDEMFS_TEST_SIZE: 'soak', TANDEMFS_TEST_SEED: String(seed) },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  const timer = setTimeout(() => child.kill('SIGTERM'), FILE_LIMIT_MS)
  return new Promise((resolve) => {
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ ok: code === 0, output })
    })
  })
}

function parseCommandLine() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) }
    }
  })
  const minutes = Number(values.minutes)
  const seed = Number(values.seed)
  if (!(minutes > 0) || !Number.isSafeInteger(seed) || seed < 0) {
    throw new Error('soak: --minutes needs a number above 0, --seed a whole number')
  }
  return { minutes, seed, filters: positionals }
}

async function main(): Promise<number> {
  const { minutes, seed, filters } = parseCommandLine()
  const integration = readdirSync(join(testRoot, 'integration'))
    .filter((file) => file.endsWith('.test.js'))
    .map((file) => `integration/${file}`)
  const files = [...integration, ...LONG_TESTS]
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort()
  if (files.length === 0) throw new Error(`soak: no test matches ${filters.join(' ')}`)
  const end = performance.now() + minutes * 60_000
  let keptIn: string | undefined
  let runs = 0
  let failures = 0
  while (runs === 0 || performance.now() < end) {
    const file = files[runs % files.length] ?? ''
    const runSeed = seed + Math.floor(runs / files.length)
    const start = performance.now()
    const { ok, output } = await run(file, runSeed)
    runs++
    const seconds = ((performance.now() - start) / 1000).toFixed(0)
    process.stdout.write(`${ok ? 'ok' : 'FAILED'} ${file} seed ${runSeed} ${seconds} s\n`)
    if (ok) continue
    failures++
    keptIn ??= mkdtempSync(join(tmpdir(), 'tandemfs-soak-'))
    mkdirSync(keptIn, { recursive: true })
    const kept = join(keptIn, `${basename(file)}-${runSeed}.txt`)
    writeFileSync(kept, output)
    process.stdout.write(`  output: ${kept}\n`)
  }
  process.stdout.write(`${runs - failures} of ${runs} runs passed\n`)
  return failures === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}
