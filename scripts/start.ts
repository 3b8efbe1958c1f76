/**
 * `npm start`: a volume with two nodes and a witness in a scratch folder of this machine, and the main job on it,
 * through the same commands a user types. At a terminal both mounts stay for trying until Ctrl-C.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DemoNode, projectRoot, tandemfs } from './demo-node.ts'

const VOLUME = 'demo'
const TREE_FILES = 500
const APPEND_LINES = 5000

let stepNumber = 0
const stop = new AbortController()
const { signal } = stop
const stopRequest = new Promise<void>((resolve) => {
  signal.addEventListener('abort', () => resolve())
})
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort())

function say(text: string, ms: number): void {
  stepNumber += 1
  const time = ms < 10 ? ms.toFixed(2) : ms.toFixed(0)
  process.stdout.write(`${String(stepNumber).padStart(2)}  ${text.padEnd(72)} ${time} ms\n`)
}

async function timed<T>(run: () => Promise<T>): Promise<{ value: T; ms: number }> {
  signal.throwIfAborted()
  const startedMs = performance.now()
  const value = await run()
  return { value, ms: performance.now() - startedMs }
}

function require(condition: boolean, problem: string): void {
  if (!condition) throw new Error(problem)
}

async function setUp(a: DemoNode, b: DemoNode, w: DemoNode): Promise<void> {
  const listen = ['--listen', '127.0.0.1:0']
  const create = ['create', VOLUME, '--dir', a.dir, ...listen]
  const created = await timed(() => tandemfs(create, { signal }))
  say('create: node A is the first member', created.ms)
  const mountedA = await timed(() => a.mount(signal))
  say(`mount: A at ${a.mountPoint}`, mountedA.ms)
  const joined = await timed(async () => {
    const input = await tandemfs(['invite', VOLUME, '--dir', a.dir], { signal })
    await tandemfs(['join', '-', '--dir', b.dir, '--name', 'b', ...listen], { input, signal })
  })
  say('invite on A, join on B', joined.ms)
  const mountedB = await timed(() => b.mount(signal))
  say(`mount: B at ${b.mountPoint}`, mountedB.ms)
  const witness = await timed(async () => {
    const input = await tandemfs(['invite', b.stateDir, '--witness'], { signal })
    await tandemfs(['join', '-', '--dir', w.dir, '--name', 'w', ...listen], { input, signal })
    await tandemfs(['witness', w.stateDir], { signal })
  })
  say('invite on B, join and run a witness: it votes and holds no data', witness.ms)
}

async function showFile(a: DemoNode, b: DemoNode): Promise<void> {
  const text = 'written on A\n'
  const written = await a.work({ do: 'write', file: a.file('hello'), text })
  say('A writes a file and fsyncs it', written.ms)
  const read = await b.work({ do: 'read', file: b.file('hello') })
  require(read.result === text, 'B does not read what A has written')
  say('B reads it', read.ms)
}

async function showTree(a: DemoNode, b: DemoNode): Promise<void> {
  const made = await b.work({ do: 'makeTree', folder: b.file('tree'), files: TREE_FILES })
  say(`B makes a tree of ${TREE_FILES} files`, made.ms)
  const onA = await a.work({ do: 'digest', folder: a.file('tree') })
  const onB = await b.work({ do: 'digest', folder: b.file('tree') })
  require(onA.result === onB.result, 'the trees differ')
  require(onA.result.startsWith(`${TREE_FILES} files`), 'files of the tree are missing')
  say('A lists and reads the tree, it is equal', onA.ms)
}

async function showAppend(a: DemoNode, b: DemoNode): Promise<void> {
  const append = (node: DemoNode) => {
    const { name } = node
    return node.work({ do: 'append', file: node.file('log'), word: name, lines: APPEND_LINES })
  }
  const both = await timed(() => Promise.all([append(a), append(b)]))
  const onA = await a.work({ do: 'read', file: a.file('log') })
  const onB = await b.work({ do: 'read', file: b.file('log') })
  require(onA.result === onB.result, 'A and B read different logs')
  const lines = onA.result.split('\n')
  require(lines.pop() === '', 'the log does not end with a whole line')
  for (const { name } of [a, b]) {
    const own = lines.filter((line) => line.startsWith(`${name} `))
    const inOrder = own.every((line, index) => line === `${name} ${index}`)
    require(own.length === APPEND_LINES && inOrder, `lines of ${name} are lost or torn`)
  }
  require(lines.length === 2 * APPEND_LINES, 'the log has lines nobody wrote')
  say(`A and B append ${APPEND_LINES} lines each to one file, ${lines.length} whole lines`, both.ms)
}

/** A is the authority: it decides who may change what, until B takes over. */
async function showCrash(a: DemoNode, b: DemoNode): Promise<void> {
  for (let index = 0; index < 20; index += 1) {
    await a.work({ do: 'write', file: a.file(`fsynced${index}`), text: `${index}\n` })
  }
  const before = await b.work({ do: 'digest', folder: b.mountPoint })
  const killed = await timed(() => a.killDaemon())
  say('A is killed with SIGKILL, after 20 files were fsynced on it', killed.ms)
  const text = 'A is dead\n'
  const written = await b.work({ do: 'write', file: b.file('hello'), text })
  say('B takes over with the vote of the witness; its next write and fsync take', written.ms)
  const again = await timed(() => a.mount(signal))
  say("'tandemfs mount' on A again", again.ms)
  const read = await a.work({ do: 'read', file: a.file('hello') })
  require(read.result === text, 'A does not read what B has written meanwhile')
  await b.work({ do: 'write', file: b.file('hello'), text: 'written on A\n' })
  const onB = await b.work({ do: 'digest', folder: b.mountPoint })
  const onA = await a.work({ do: 'digest', folder: a.mountPoint })
  require(onB.result === before.result, 'B lost something')
  require(onA.result === before.result, 'A lost something')
  say(`nothing is lost: ${onB.result.split(' ')[0]} files, equal on A and B`, onB.ms)
}

/** Resolves at Ctrl-C or when told to end. */
async function interrupted(): Promise<void> {
  // A timer keeps the process alive; signals alone do not.
  const alive = setInterval(() => {}, 60_000)
  await stopRequest
  clearInterval(alive)
}

function sayHowToTry(a: DemoNode, b: DemoNode): void {
  const bin = path.join(projectRoot(), 'bin/tandemfs.js')
  process.stdout.write(
    [
      '',
      'Both nodes stay mounted. In another terminal:',
      `  echo hello > ${a.mountPoint}/try`,
      `  cat ${b.mountPoint}/try`,
      `  ${bin} status`,
      'Ctrl-C here unmounts and removes everything.',
      ''
    ].join('\n')
  )
}

async function demonstrate(a: DemoNode, b: DemoNode, w: DemoNode): Promise<void> {
  await setUp(a, b, w)
  await showFile(a, b)
  await showTree(a, b)
  await showAppend(a, b)
  await showCrash(a, b)
}

async function main(): Promise<void> {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'tandemfs-demo-'))
  const a = new DemoNode(scratch, 'a', VOLUME)
  const b = new DemoNode(scratch, 'b', VOLUME)
  const w = new DemoNode(scratch, 'w', VOLUME)
  try {
    signal.addEventListener('abort', () => {
      a.stop()
      b.stop()
      w.stop()
    })
    await demonstrate(a, b, w)
    if (process.stdin.isTTY && process.stdout.isTTY && !signal.aborted) {
      sayHowToTry(a, b)
      await interrupted()
    }
  } catch (error) {
    if (signal.aborted) {
      process.exitCode = 130
    } else {
      process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`)
      process.exitCode = 1
    }
  } finally {
    await b.cleanUp()
    await a.cleanUp()
    await w.cleanUp()
    if (a.isMounted() || b.isMounted()) {
      process.stderr.write(`demo: could not unmount everything, see ${scratch}\n`)
      process.exitCode = 1
    } else {
      rmSync(scratch, { recursive: true, force: true })
    }
  }
}

await main()
process.exit()
