/**
 * The test command: sets up, compiles, lints, runs every test file in a process of its own, and
 * looks for what the tests left behind. Ends with the line `N passed, N failed`.
 *
 *   node scripts/run-tests.mjs [--dist DIR] [--jobs N] [--daemon-jobs N] [--no-check] [FILTER...]
 *
 * FILTER = part of a test file's path. Files of DAEMON_FOLDERS mount or start daemons, spend most of
 * their time waiting for them and the disk, and run after the others, at most two at a time.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { prepare, projectRoot, removeOrphans } from './bootstrap.mjs'

const FILE_LIMIT_MS = 15 * 60 * 1000
const LEFTOVER_WAIT_MS = 5000
const DAEMON_FOLDERS = ['mount', 'integration', 'replication/transport', 'scripts']
const MARK = 'TANDEMFS_TEST_RUN'

const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    dist: { type: 'string', default: 'dist' },
    jobs: { type: 'string', default: String(Math.min(4, os.availableParallelism())) },
    'daemon-jobs': { type: 'string', default: String(Math.min(2, os.availableParallelism())) },
    'no-check': { type: 'boolean', default: false }
  }
})
const root = projectRoot()
const total = { passed: 0, failed: 0, skipped: 0 }
const failures = []

function note(passed, name, detail = '') {
  total[passed ? 'passed' : 'failed'] += 1
  process.stdout.write(`${passed ? 'ok' : 'not ok'} - ${name}\n`)
  if (passed) return
  failures.push(name)
  if (detail) process.stdout.write(`${detail.replace(/^/gm, '    ')}\n`)
}

function check(name, args) {
  const result = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  note(result.status === 0, name, `${result.stdout}${result.stderr}`)
  return result.status === 0
}

function testFiles() {
  const base = path.join(root, options.dist, 'test')
  const files = readdirSync(base, { recursive: true })
    .filter((file) => file.endsWith('.test.js'))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort()
  const hasDaemons = (file) => DAEMON_FOLDERS.some((folder) => file.startsWith(`${folder}/`))
  return {
    base,
    plain: files.filter((file) => !hasDaemons(file)),
    daemons: files.filter((file) => hasDaemons(file))
  }
}

/** Runs one file; resolves when its process has gone, with what it printed. */
function runFile(file, env) {
  return new Promise((resolve) => {
    const brittle = path.join(root, 'node_modules/brittle/brittle-node.js')
    // brittle takes names relative to the working directory only.
    const args = ['--enable-source-maps', brittle, path.relative(root, file)]
    const child = spawn(process.execPath, args, { cwd: root, env, detached: true })
    let output = ''
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      process.kill(-child.pid, 'SIGKILL')
    }, FILE_LIMIT_MS)
    child.stdin.end()
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ output, code, signal, timedOut })
    })
  })
}

function countTap(output) {
  const counts = { passed: 0, failed: 0, skipped: 0, complete: /^1\.\.\d+$/m.test(output) }
  for (const line of output.split('\n')) {
    if (/^ok \d+ .*# (SKIP|TODO)/.test(line)) counts.skipped += 1
    else if (/^ok \d+/.test(line)) counts.passed += 1
    else if (/^not ok \d+/.test(line)) counts.failed += 1
  }
  return counts
}

async function reportFile(base, file, env) {
  const startedAt = performance.now()
  const { output, code, signal, timedOut } = await runFile(path.join(base, file), env)
  const counts = countTap(output)
  const problem = timedOut
    ? `still running after ${FILE_LIMIT_MS / 60000} minutes`
    : !counts.complete
      ? `ended early (${signal ?? `exit code ${code}`})`
      : code !== 0 && counts.failed === 0
        ? `exit code ${code}`
        : undefined
  if (problem) counts.failed += 1
  total.passed += counts.passed
  total.failed += counts.failed
  total.skipped += counts.skipped
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  const summary = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`
  const ok = counts.failed === 0
  process.stdout.write(`${ok ? 'ok' : 'not ok'} - ${file} # ${summary}, ${seconds} s\n`)
  for (const line of output.split('\n')) {
    if (/^ok \d+ .*# (SKIP|TODO)/.test(line)) process.stdout.write(`    ${line}\n`)
  }
  if (ok) return
  failures.push(problem ? `${file}: ${problem}` : file)
  process.stdout.write(`${output.replace(/^/gm, '    ')}\n`)
}

async function runAll(files, base, env, jobs) {
  const queue = [...files]
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      await reportFile(base, file, env)
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
}

function jobCount(option) {
  return Math.max(1, Number(options[option]))
}

/** Tests mount below their scratch folder; other mounts of this machine are none of theirs. */
function mountsBelow(scratch) {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => (line.split(' ')[4] ?? '').startsWith(`${scratch}/`))
}

/** Processes, at any depth, that were started by this test run: they carry its mark. */
function markedProcesses(mark) {
  const found = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (Number(pid) === process.pid) continue
      if (!readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`${MARK}=${mark}`)) continue
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
      if (command) found.push(`${pid} ${command}`)
    } catch {
      // The process ended meanwhile, or it is another user's and so none of ours.
    }
  }
  return found
}

/** Daemons that were told to stop may need a moment; whatever stays is a failure and removed. */
async function checkLeftovers(mark, scratch) {
  const deadline = performance.now() + LEFTOVER_WAIT_MS
  while (
    performance.now() < deadline &&
    mountsBelow(scratch).length + markedProcesses(mark).length > 0
  ) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const mounts = mountsBelow(scratch)
  const processes = markedProcesses(mark)
  const files = readdirSync(scratch)
  note(mounts.length === 0, 'no mount left behind', mounts.join('\n'))
  note(processes.length === 0, 'no process left behind', processes.join('\n'))
  note(files.length === 0, 'no scratch folder left behind', files.join('\n'))
  for (const line of processes) {
    try {
      process.kill(Number(line.split(' ')[0]), 'SIGKILL')
    } catch {
      // It ended by itself.
    }
  }
  for (const line of mounts) {
    const point = (line.split(' ')[4] ?? '').replace(/\\(\d{3})/g, (_, octal) =>
      String.fromCharCode(Number.parseInt(octal, 8))
    )
    spawnSync('umount', ['-l', point])
  }
  rmSync(scratch, { recursive: true, force: true })
}

async function main() {
  prepare(root)
  if (!options['no-check']) {
    removeOrphans(root)
    const compiled = check('types (tsc)', ['node_modules/typescript/bin/tsc', '-p', '.'])
    check('style (biome)', [
      'node_modules/@biomejs/biome/bin/biome',
      'check',
      '--error-on-warnings'
    ])
    if (!compiled) return
  }
  const mark = randomBytes(8).toString('hex')
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'tandemfs-test-'))
  // Tests run children as an ordinary user, who must be able to pass through.
  chmodSync(scratch, 0o711)
  const env = { ...process.env, [MARK]: mark, TMPDIR: scratch, NODE_ENV: 'test' }
  const { base, plain, daemons } = testFiles()
  if (plain.length + daemons.length === 0) note(false, 'there are tests to run')
  await runAll(plain, base, env, jobCount('jobs'))
  await runAll(daemons, base, env, jobCount('daemon-jobs'))
  await checkLeftovers(mark, scratch)
}

try {
  await main()
} catch (error) {
  note(false, 'the test run', error instanceof Error ? error.message : String(error))
}
if (failures.length > 0) process.stdout.write(`\nfailed:\n  ${failures.join('\n  ')}\n`)
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : ''
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`)
process.exitCode = total.failed === 0 ? 0 : 1
