import { appendFileSync, truncateSync } from 'node:fs'
import type { Test } from 'brittle'
import { ExitCode } from '../../src/mount/daemon/exit-codes.ts'
import { runCli } from '../helpers/cli.ts'
import type { ClusterNode } from '../helpers/cluster.ts'
import { makeContent } from '../helpers/content.ts'
import { filesOf, findIn, flipBit, isJournal, type StateFile } from '../helpers/damage.ts'
import { finishVolume, type Pair, SharedVolume, scenario } from '../helpers/scenario.ts'

const options = { minutes: 5, daemons: true }
const volume = new SharedVolume()
const SMALL_BYTES = 3000
const LARGE_BYTES = 300_000

/** Small and large files, all durable on both nodes. */
async function makeFiles(pair: Pair, round: string): Promise<Map<string, number>> {
  const files = new Map<string, number>()
  for (let i = 0; i < 8; i++) {
    const name = `${round}${i}`
    const sizeBytes = i % 2 === 0 ? SMALL_BYTES : LARGE_BYTES
    const write = { path: pair.pathA(name), label: name, version: i, sizeBytes, fsync: true }
    await pair.a.call('write', write)
    files.set(name, i)
  }
  return files
}

/** A payload as it is found in files; long enough to be unique. */
function needleOf(name: string, version: number): Buffer {
  const sizeBytes = version % 2 === 0 ? SMALL_BYTES : LARGE_BYTES
  return makeContent(name, version, sizeBytes).subarray(0, 200)
}

function find(node: ClusterNode, needle: Buffer, wanted: (file: StateFile) => boolean) {
  for (const file of filesOf(node.stateDir).filter(wanted)) {
    const offset = findIn(file, needle)[0]
    if (offset !== undefined) return { path: file.path, offset }
  }
  return undefined
}

/** Every file is right or gives an error, never other bytes. Returns the names that gave errors. */
async function readAllRight(
  t: Test,
  node: ClusterNode,
  path: (name: string) => string,
  files: ReadonlyMap<string, number>
): Promise<string[]> {
  const worker = node.worker()
  const wrong: string[] = []
  const failed: string[] = []
  for (const [name, version] of files) {
    const args = { path: path(name), label: name }
    const outcome = await worker.outcome('identify', args)
    if (outcome !== 'ok') {
      failed.push(`${name} ${outcome}`)
      if (outcome !== 'EIO') wrong.push(`${name} gives ${outcome}`)
      continue
    }
    const found = await worker.call('identify', args)
    if (found.version !== version) wrong.push(`${name}: ${found.problem ?? found.version}`)
  }
  t.alike(wrong, [], `${node.name} serves no wrong byte`)
  return failed
}

function isReported(node: ClusterNode, report: Record<string, unknown>): boolean {
  const damage = report['damage']
  if (Array.isArray(damage) && damage.length > 0) return true
  return node
    .log()
    .split('\n')
    .some(
      (line) =>
        /"level":(40|50|60|"(warn|error|fatal)")/.test(line) && /damage|checksum|crc/i.test(line)
    )
}

scenario('damage - a bit flipped in the journal is refused', options, volume, async (t) => {
  const pair = await volume.pair()
  const { nodeB, pathB } = pair
  const files = await makeFiles(pair, 'j')
  nodeB.killWorkers()
  await nodeB.kill()
  const place = find(nodeB, needleOf('j0', 0), isJournal)
  if (place === undefined) throw new Error('the payload is in no journal file')
  const restore = flipBit(place.path, place.offset + 50, 3)
  const answer = await runCli(['mount', nodeB.stateDir, nodeB.mountPath])
  t.is(answer.code, ExitCode.damaged, `mount: ${answer.stderr.trim()}`)
  t.is(answer.stderr.trim().split('\n').length, 1, 'one line')
  t.is(nodeB.pid(), undefined, 'no daemon serves from it')
  restore()
  await nodeB.mount()
  t.alike(await readAllRight(t, nodeB, pathB, files), [], 'all there once the bit is back')
})

scenario(
  'damage - a bit flipped within a row of the state is refused',
  options,
  volume,
  async (t) => {
    const pair = await volume.pair()
    const { nodeB, pathB } = pair
    const files = await makeFiles(pair, 'a-name-that-is-found-in-the-state-')
    nodeB.killWorkers()
    await nodeB.unmount()
    const needle = Buffer.from('a-name-that-is-found-in-the-state-3')
    const place = find(nodeB, needle, (file) => /state\.db$/.test(file.path))
    if (place === undefined) throw new Error('the name is not in the state')
    const restore = flipBit(place.path, place.offset + 5, 0)
    for (const time of ['once', 'again']) {
      const answer = await runCli(['mount', nodeB.stateDir, nodeB.mountPath])
      t.is(answer.code, ExitCode.damaged, `mount ${time}: ${answer.stderr.trim()}`)
      t.is(nodeB.pid(), undefined, 'no daemon serves from it')
    }
    restore()
    await nodeB.mount()
    t.alike(await readAllRight(t, nodeB, pathB, files), [], 'all there once the bit is back')
  }
)

scenario('damage - a torn journal tail is cut', options, volume, async (t) => {
  const pair = await volume.pair()
  const { a, nodeB, pathA, pathB } = pair
  const files = await makeFiles(pair, 't')
  const tails: readonly ((file: StateFile) => void)[] = [
    (file) => appendFileSync(file.path, Buffer.from('TFSr')),
    (file) => appendFileSync(file.path, Buffer.alloc(5000, 0x5a)),
    (file) => truncateSync(file.path, file.sizeBytes - 3)
  ]
  for (const [index, tear] of tails.entries()) {
    const name = `tail${index}`
    await nodeB.worker().call('write', { path: pathB(name), text: `not durable ${index}` })
    nodeB.killWorkers()
    await nodeB.kill()
    const journal = filesOf(nodeB.stateDir).filter(isJournal).at(-1)
    if (journal === undefined) throw new Error('no journal file')
    tear(journal)
    await nodeB.mount()
    t.alike(await readAllRight(t, nodeB, pathB, files), [], `tail ${index}: all durable files`)
    const onB = await nodeB.worker().call('hashTree', { path: pathB('') })
    t.alike(onB, await a.call('hashTree', { path: pathA('') }), `tail ${index}: both nodes equal`)
  }
})

for (const [kind, version] of [
  ['small', 0],
  ['large', 1]
] as const) {
  scenario(
    `damage - a bit flipped in the segment of a ${kind} file`,
    options,
    volume,
    async (t) => {
      const pair = await volume.pair()
      const { nodeA, nodeB, pathA, pathB } = pair
      const files = await makeFiles(pair, 's')
      for (const node of [nodeB, nodeA]) {
        node.killWorkers()
        await node.unmount()
      }
      const name = `s${version}`
      const place = find(nodeB, needleOf(name, version), (file) => /segment/.test(file.path))
      if (place === undefined) throw new Error('the payload is in no segment file')
      flipBit(place.path, place.offset + 100, 5)
      await nodeA.mount()
      const answer = await runCli(['mount', nodeB.stateDir, nodeB.mountPath])
      t.ok(
        answer.code === ExitCode.ok || answer.code === ExitCode.damaged,
        `mount gives ${answer.code} ${answer.stderr.trim()}`
      )
      if (answer.code === ExitCode.ok) {
        const failed = await readAllRight(t, nodeB, pathB, files)
        t.comment(`errors on B: ${failed.join(', ') || 'none, repaired from A'}`)
        const { report } = await nodeB.status()
        t.ok(isReported(nodeB, report), 'status or log reports it')
      }
      t.alike(await readAllRight(t, nodeA, pathA, files), [], 'A has everything')
      await volume.discard()
    }
  )
}

scenario(
  'damage - bits flipped in the log are reported or harmless',
  options,
  volume,
  async (t) => {
    const pair = await volume.pair()
    const { nodeA, nodeB, pathA, pathB } = pair
    const files = await makeFiles(pair, 'l')
    for (const node of [nodeB, nodeA]) {
      node.killWorkers()
      await node.unmount()
    }
    const logs = filesOf(nodeB.stateDir).filter((file) => /\.(sst|log)$/.test(file.path))
    const stores = logs.filter((file) => !/daemon\.log$/.test(file.path) && file.sizeBytes > 100)
    t.ok(stores.length > 0, `log files: ${stores.length}`)
    await nodeA.mount()
    for (const file of stores) {
      const restore = flipBit(file.path, Math.floor(file.sizeBytes / 2), 1)
      const answer = await runCli(['mount', nodeB.stateDir, nodeB.mountPath])
      t.ok(
        answer.code === ExitCode.ok || answer.code === ExitCode.damaged,
        `${file.path.slice(nodeB.stateDir.length)}: ${answer.code} ${answer.stderr.trim()}`
      )
      if (answer.code !== ExitCode.ok) {
        restore()
        continue
      }
      const failed = await readAllRight(t, nodeB, pathB, files)
      if (failed.length > 0) {
        t.ok(isReported(nodeB, (await nodeB.status()).report), 'status or log reports it')
      }
      nodeB.killWorkers()
      await nodeB.unmount()
    }
    t.alike(await readAllRight(t, nodeA, pathA, files), [], 'A has everything')
    await volume.discard()
  }
)

finishVolume(volume)
