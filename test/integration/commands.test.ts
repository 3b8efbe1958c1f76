import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'brittle'
import { ExitCode } from '../../src/mount/daemon/exit-codes.ts'
import { type CliAnswer, runCli, spawnCli } from '../helpers/cli.ts'
import type { ClusterNode } from '../helpers/cluster.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { size } from '../helpers/sizes.ts'
import { isMounted, waitFor } from '../helpers/system.ts'

const daemons = { daemons: true }
const volume = new SharedVolume()
const EXIT_LIMIT_MS = 20_000

/** The refusal is one clear line with the right code, and nothing was left half done. */
function isRefused(t: Test, what: string, answer: CliAnswer, ...codes: readonly number[]): void {
  t.ok(
    codes.includes(answer.code),
    `${what}: exit code ${answer.code}, expected ${codes.join('/')}`
  )
  const lines = answer.stderr.trim().split('\n')
  t.ok(
    lines.length === 1 && /^tandemfs: .+: .+/.test(lines[0] ?? ''),
    `${what}: one line: ${answer.stderr.trim().slice(0, 300)}`
  )
  t.is(answer.stdout, '', `${what}: nothing on stdout`)
}

function isStopped(t: Test, node: ClusterNode): void {
  t.absent(isMounted(node.mountPath), `${node.name} is not mounted`)
  t.is(node.pid(), undefined, `${node.name} has no daemon`)
}

scenario('commands - mount, status, unmount and their exit codes', daemons, volume, async (t) => {
  const { nodeB, b, pathB } = await volume.pair()
  const up = await nodeB.status()
  t.is(up.code, ExitCode.ok, 'status while mounted')
  t.is(up.report['mountPoint'], nodeB.mountPath)
  t.is((await runCli(['status', nodeB.mountPath])).code, ExitCode.ok, 'status by mount point')
  isRefused(
    t,
    'mounted twice',
    await runCli(['mount', nodeB.stateDir, nodeB.mountPath]),
    ExitCode.alreadyRunning
  )
  const other = join(nodeB.folder, 'other')
  mkdirSync(other, { recursive: true })
  const elsewhere = await runCli(['mount', nodeB.stateDir, other])
  isRefused(t, 'mounted elsewhere', elsewhere, ExitCode.alreadyRunning)
  await b.call('write', { path: pathB('f'), text: 'still served' })
  t.is(await b.call('readText', { path: pathB('f') }), 'still served')

  await nodeB.unmount()
  isStopped(t, nodeB)
  t.is((await nodeB.status()).code, ExitCode.notMounted, 'status when unmounted')
  isRefused(t, 'unmounted twice', await runCli(['unmount', nodeB.mountPath]), ExitCode.notMounted)
  await nodeB.mount()
  t.is(await nodeB.worker().call('readText', { path: pathB('f') }), 'still served', 'after remount')
})

scenario('commands - members are listed', daemons, volume, async (t) => {
  const { nodeA, nodeB } = await volume.pair()
  for (const node of [nodeA, nodeB]) {
    const answer = await runCli(['members', node.stateDir])
    t.is(answer.code, ExitCode.ok)
    t.ok(answer.stdout.includes(nodeB.name), `${node.name} lists ${nodeB.name}`)
  }
})

scenario('commands - unusable mount points', daemons, volume, async (t) => {
  const { nodeA, nodeB } = await volume.pair()
  await nodeB.unmount()
  const full = join(nodeB.folder, 'full')
  mkdirSync(full, { recursive: true })
  writeFileSync(join(full, 'file'), 'in the way')
  const mount = (point: string) => runCli(['mount', nodeB.stateDir, point])
  isRefused(t, 'not empty', await mount(full), ExitCode.mountPoint)
  isRefused(t, 'not a directory', await mount(join(full, 'file')), ExitCode.mountPoint)
  isRefused(t, 'missing', await mount(join(full, 'none')), ExitCode.mountPoint)
  isRefused(
    t,
    'mounted by another',
    await mount(nodeA.mountPath),
    ExitCode.mountPoint,
    ExitCode.alreadyRunning
  )
  isStopped(t, nodeB)
  t.ok(existsSync(join(full, 'file')), 'what was there is untouched')
  await nodeB.mount()
})

scenario('commands - wrong usage', daemons, volume, async (t) => {
  const { nodeB } = await volume.pair()
  await nodeB.unmount()
  const wrong: readonly (readonly string[])[] = [
    ['mount', nodeB.stateDir, nodeB.mountPath, '-o', 'nonsense'],
    ['mount', nodeB.stateDir, nodeB.mountPath, '-o', 'isolation_timeout=never'],
    ['mount', nodeB.stateDir, nodeB.mountPath, '--nonsense'],
    ['mount', nodeB.stateDir],
    ['nonsense'],
    ['invite', nodeB.stateDir, '--ttl', 'soon'],
    ['create', 'a'.repeat(300)]
  ]
  for (const args of wrong) {
    const answer = await runCli(args)
    t.is(answer.code, ExitCode.usage, `${args.slice(0, 1)} ${args.at(-1)?.slice(0, 20)}`)
    t.is(answer.stderr.trim().split('\n').length, 1, answer.stderr.trim().slice(0, 200))
  }
  isStopped(t, nodeB)
  await nodeB.mount()
})

scenario('commands - unknown volume', daemons, volume, async (t) => {
  const { nodeB, cluster } = await volume.pair()
  const unknown = join(cluster.scratch, 'none')
  const point = join(nodeB.folder, 'point')
  mkdirSync(point, { recursive: true })
  isRefused(t, 'mount', await runCli(['mount', unknown, point]), ExitCode.volumeUnknown)
  isRefused(t, 'status', await runCli(['status', unknown]), ExitCode.volumeUnknown)
  isRefused(t, 'invite', await runCli(['invite', unknown]), ExitCode.volumeUnknown)
  isRefused(t, 'members', await runCli(['members', unknown]), ExitCode.volumeUnknown)
  const named = await runCli(['mount', 'no-such-volume', point])
  isRefused(t, 'mount by name', named, ExitCode.volumeUnknown)
  t.absent(existsSync(unknown), 'no state was made')
})

scenario('commands - port in use', daemons, volume, async (t) => {
  const { nodeB, cluster } = await volume.pair()
  await nodeB.unmount()
  // The other member dials this port meanwhile: it is not to keep the squatter open.
  const squatter = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => squatter.listen(nodeB.port, '127.0.0.1', resolve))
  const answer = await runCli(['mount', nodeB.stateDir, nodeB.mountPath])
  isRefused(t, 'mount', answer, ExitCode.addressInUse)
  isStopped(t, nodeB)
  const place = ['--dir', join(cluster.scratch, 'second'), '--listen', `127.0.0.1:${nodeB.port}`]
  const create = await runCli(['create', 'second', ...place])
  if (create.code !== 0) isRefused(t, 'create', create, ExitCode.addressInUse)
  await new Promise<void>((resolve) => squatter.close(() => resolve()))
  await nodeB.mount()
  t.ok(isMounted(nodeB.mountPath), 'mounts once the port is free')
})

scenario('commands - created twice', daemons, volume, async (t) => {
  const { nodeA } = await volume.pair()
  const again = await runCli(['create', 'shared', '--dir', join(nodeA.folder, 'state')])
  isRefused(t, 'create', again, ExitCode.alreadyRunning)
  t.is((await nodeA.status()).code, ExitCode.ok, 'the volume that exists goes on')
})

scenario('commands - foreground daemon ends in order on SIGTERM', daemons, volume, async (t) => {
  const { nodeA, nodeB, a, pathA, pathB } = await volume.pair()
  await nodeB.unmount()
  const child = spawnCli(['mount', nodeB.stateDir, nodeB.mountPath, '-f'])
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  await waitFor('mounted', EXIT_LIMIT_MS, async () => (await nodeB.status()).code === 0)
  await a.call('write', { path: pathA('f'), text: 'foreground' })
  t.is(await nodeB.worker().call('readText', { path: pathB('f') }), 'foreground')
  nodeB.killWorkers()
  child.kill('SIGTERM')
  t.is(await exited, 0, 'exit code')
  isStopped(t, nodeB)
  t.is((await nodeA.status()).code, ExitCode.ok, 'the other node goes on')
  await nodeB.mount()
})

scenario('commands - unmount while busy', daemons, volume, async (t) => {
  const { nodeB, b, pathB } = await volume.pair()
  await b.call('write', { path: pathB('f'), text: 'busy' })
  const fd = await b.call('open', { path: pathB('f'), flags: 'r' })
  const refused = await runCli(['unmount', nodeB.mountPath])
  isRefused(t, 'unmount', refused, ExitCode.busy)
  t.is(await b.call('readText', { path: pathB('f') }), 'busy', 'goes on serving')
  t.is((await nodeB.status()).code, ExitCode.ok, 'status')
  await nodeB.unmount('--lazy')
  t.absent(isMounted(nodeB.mountPath), 'detached')
  const after = await b.outcome('readHandleText', { fd, offset: 0, length: 4 })
  t.ok(after === 'ok' || after === 'ENOTCONN', `the open handle gives ${after}`)
  nodeB.killWorkers()
  await waitFor('daemon gone', EXIT_LIMIT_MS, () => nodeB.pid() === undefined)
  await nodeB.mount()
})

scenario('commands - unmount by a relative path', daemons, volume, async (t) => {
  const { nodeB } = await volume.pair()
  nodeB.killWorkers()
  const answer = await runCli(['unmount', 'mount'], { cwd: nodeB.folder })
  t.is(answer.code, ExitCode.ok, answer.stderr)
  isStopped(t, nodeB)
  const mounted = await runCli(['mount', 'state/shared', 'mount'], { cwd: nodeB.folder })
  t.is(mounted.code, ExitCode.ok, mounted.stderr)
  t.ok(isMounted(nodeB.mountPath), 'mounted by relative paths')
})

scenario(
  'commands - umount(8) ends the daemon',
  { daemons: true, programs: ['umount'] },
  volume,
  async (t) => {
    const { nodeA, nodeB, a } = await volume.pair()
    nodeB.killWorkers()
    const answer = await a.call('exec', { argv: ['umount', nodeB.mountPath] })
    t.is(answer.code, 0, answer.stderr)
    await waitFor('daemon gone', EXIT_LIMIT_MS, () => nodeB.pid() === undefined)
    t.is((await nodeA.status()).code, ExitCode.ok)
    await nodeB.mount()
  }
)

scenario('commands - a dead daemon is detached by unmount', daemons, volume, async (t) => {
  const { nodeB } = await volume.pair()
  nodeB.killWorkers()
  await nodeB.kill()
  t.is((await nodeB.status()).code, ExitCode.notMounted, 'status of a dead daemon')
  t.is((await runCli(['unmount', nodeB.mountPath])).code, ExitCode.ok, 'unmount')
  isStopped(t, nodeB)
  await nodeB.mount()
})

scenario(
  'commands - mounted and unmounted many times',
  { daemons: true, minutes: 15 },
  volume,
  async (t) => {
    const { nodeA, nodeB, a, pathA, pathB } = await volume.pair()
    const cycles = size(4, 100)
    const wrong: string[] = []
    for (let i = 0; i < cycles; i++) {
      nodeB.killWorkers()
      await nodeB.unmount()
      await a.call('write', { path: pathA('f'), text: `while away ${i}` })
      await nodeB.mount()
      const b = nodeB.worker()
      const seen = await b.call('readText', { path: pathB('f') })
      if (seen !== `while away ${i}`) wrong.push(`${i}: B reads ${seen}`)
      await b.call('write', { path: pathB('g'), text: `back ${i}` })
      const heard = await a.call('readText', { path: pathA('g') })
      if (heard !== `back ${i}`) wrong.push(`${i}: A reads ${heard}`)
    }
    t.alike(wrong, [], `${cycles} cycles`)
    t.is((await nodeA.status()).code, ExitCode.ok)
  }
)

finishVolume(volume)
