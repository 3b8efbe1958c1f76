/**
 * Runs public POSIX suites, which are not part of this project, on the local disk, on one node of a
 * fresh two-node volume and on both nodes in turn:
 *
 *   node --enable-source-maps dist/scripts/posix-suites.js [--pjdfstest DIR] [--fsx FILE] [--operations N]
 *
 * DIR is a built pjdfstest (its `pjdfstest` program and `tests`), FILE the fsx program. In the
 * alternating run of pjdfstest every system call sequence (each call of its program) goes to the
 * other node than the one before; fsx closes its file after each operation and opens it on the other
 * node. Needs root. Prints every failing check; docs/known-failures.md says which are known.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Cluster, makeCluster } from '../test/helpers/cluster.ts'
import { nativeProgram } from '../test/helpers/native-program.ts'
import type { Worker } from '../test/helpers/worker-client.ts'

const FILE_LIMIT_MS = 15 * 60_000
const FSX_LIMIT_MS = 4 * 3600_000
const DEFAULT_OPERATIONS = 200_000
const FSX_SEED = 4711

/** Stands in the suite for its program. The folder it is called in names the place in the volume. */
const ALTERNATING_PROGRAM = `#!/bin/sh
turn=$(cat "$ALTERNATE_COUNT")
echo $((1 - turn)) > "$ALTERNATE_COUNT"
here=$(pwd -P)
inside=\${here#"$ALTERNATE_FIRST"}
if [ "$turn" = 1 ] && [ "$inside" != "$here" ]; then cd "$ALTERNATE_SECOND$inside" || exit 99; fi
exec "$ALTERNATE_PROGRAM" "$@"
`

interface Outcome {
  readonly code: number | null
  readonly output: string
}

interface RunOptions {
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv
  readonly limitMs: number
}

function run(program: string, args: readonly string[], options: RunOptions): Promise<Outcome> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  const take = (chunk: Buffer): void => {
    output += chunk.toString('latin1')
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const timer = setTimeout(() => child.kill('SIGKILL'), options.limitMs)
  return new Promise((settle, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      settle({ code, output })
    })
  })
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

interface Count {
  passed: number
  failed: number
}

/** Counts the checks of one test file in TAP; says those that failed. */
function countChecks(count: Count, file: string, { code, output }: Outcome): void {
  const [, planned = '0'] = /^1\.\.(\d+)/m.exec(output) ?? []
  let passed = 0
  for (const line of output.split('\n')) {
    if (line.startsWith('ok ')) passed++
    if (line.startsWith('not ok') && !line.includes('# TODO')) say(`  ${file}: ${line}`)
  }
  const expected = Number(planned)
  count.passed += Math.min(passed, expected)
  const todo = output.split('\n').filter((line) => /^not ok .*# TODO/.test(line)).length
  const failed = Math.max(0, expected - passed - todo)
  count.failed += failed
  if (code !== 0 && failed === 0) say(`  ${file}: ended with ${code}`)
}

async function pjdfstest(where: string, suite: string, cwd: string, env = {}): Promise<boolean> {
  const tests = join(suite, 'tests')
  const files = readdirSync(tests, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.t'))
    .sort()
  const count: Count = { passed: 0, failed: 0 }
  for (const file of files) {
    const limits = { cwd, env, limitMs: FILE_LIMIT_MS }
    countChecks(count, file, await run('sh', [join(tests, file)], limits))
  }
  const all = count.passed + count.failed
  say(`pjdfstest, ${where}: ${count.passed} of ${all} checks passed in ${files.length} files`)
  return count.failed === 0 && all > 0
}

/** A copy of the suite whose program goes to the two mounts in turn. */
function alternatingSuite(cluster: Cluster, suite: string): string {
  const copy = join(cluster.scratch, 'suite')
  mkdirSync(copy)
  cpSync(join(suite, 'tests'), join(copy, 'tests'), { recursive: true })
  writeFileSync(join(copy, 'pjdfstest'), ALTERNATING_PROGRAM, { mode: 0o755 })
  writeFileSync(join(cluster.scratch, 'turn'), '0\n')
  return copy
}

async function runPjdfstest(cluster: Cluster, a: Worker, suite: string): Promise<boolean> {
  const first = cluster.node(0).path('pjdfstest')
  await a.call('makeFolders', { path: join(first, 'one') })
  await a.call('makeFolders', { path: join(first, 'two') })
  const local = join(cluster.scratch, 'local')
  mkdirSync(local)
  const baseline = await pjdfstest('local disk', suite, local)
  const one = await pjdfstest('one node', suite, join(first, 'one'))
  const env = {
    ALTERNATE_FIRST: cluster.node(0).mountPath,
    ALTERNATE_SECOND: cluster.node(1).mountPath,
    ALTERNATE_COUNT: join(cluster.scratch, 'turn'),
    ALTERNATE_PROGRAM: join(suite, 'pjdfstest')
  }
  const copy = alternatingSuite(cluster, suite)
  const two = await pjdfstest('two nodes in turn', copy, join(first, 'two'), env)
  if (!baseline) say('pjdfstest: the local disk fails checks as well')
  return one && two
}

async function fsx(
  where: string,
  program: string,
  args: readonly string[],
  options: RunOptions
): Promise<boolean> {
  const { code, output } = await run(program, args, options)
  if (code !== 0) say(output.slice(-4000))
  say(`fsx, ${where}: ${code === 0 ? 'no mismatch' : `ended with ${code}`}`)
  return code === 0
}

async function runFsx(cluster: Cluster, program: string, operations: number): Promise<boolean> {
  const logs = join(cluster.scratch, 'fsx')
  mkdirSync(logs)
  const shim = nativeProgram('alternate-open', '-shared', '-fPIC', '-ldl')
  const common = ['-q', '-S', String(FSX_SEED), '-P', logs]
  const first = cluster.node(0).path('alternating')
  const limits = { cwd: logs, limitMs: FSX_LIMIT_MS }
  const plain = [...common, '-N', String(operations), cluster.node(0).path('plain')]
  const one = await fsx(`${operations} operations on one node`, program, plain, limits)
  const half = Math.ceil(operations / 2)
  const turns = [...common, '-c', '1', '-N', String(half), first]
  const two = await fsx(`${half} operations on two nodes in turn`, program, turns, {
    ...limits,
    env: {
      LD_PRELOAD: shim,
      ALTERNATE_FIRST: first,
      ALTERNATE_SECOND: cluster.node(1).path('alternating')
    }
  })
  return one && two
}

function parseCommandLine() {
  const { values } = parseArgs({
    options: {
      pjdfstest: { type: 'string' },
      fsx: { type: 'string' },
      operations: { type: 'string', default: String(DEFAULT_OPERATIONS) }
    }
  })
  const operations = Number(values.operations)
  const suites = [values.pjdfstest, values.fsx].filter((suite) => suite !== undefined)
  if (suites.length === 0 || !Number.isSafeInteger(operations) || operations < 1) {
    throw new Error('posix-suites: --pjdfstest DIR, --fsx FILE or both; --operations a number')
  }
  return { suite: values.pjdfstest, program: values.fsx, operations }
}

async function main(): Promise<number> {
  const { suite, program, operations } = parseCommandLine()
  const cluster = await makeCluster({ mounted: false })
  let good = true
  try {
    // The first is mounted already, without the users that the suite becomes.
    await cluster.node(0).unmount()
    for (const node of cluster.nodes) await node.mount('-o', 'allow_other')
    const a = cluster.node(0).worker()
    if (suite !== undefined) good = (await runPjdfstest(cluster, a, resolve(suite))) && good
    if (program !== undefined) good = (await runFsx(cluster, resolve(program), operations)) && good
  } finally {
    await cluster.close()
  }
  return good ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}
