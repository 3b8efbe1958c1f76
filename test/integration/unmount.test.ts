/** `unmount` ends the mount in every state of the daemon and of the other node. */
import { ExitCode } from '../../src/mount/daemon/exit-codes.ts'
import { runCli, spawnCli } from '../helpers/cli.ts'
import type { ClusterNode } from '../helpers/cluster.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { isSoak } from '../helpers/sizes.ts'
import { isMounted, waitFor } from '../helpers/system.ts'

const daemons = { daemons: true }
const volume = new SharedVolume()
const LIMIT_MS = 40_000

function signal(node: ClusterNode, name: NodeJS.Signals): void {
  const pid = node.pid()
  if (pid === undefined) throw new Error(`${node.name}: no daemon`)
  process.kill(pid, name)
}

async function whileFrozen<T>(node: ClusterNode, run: () => Promise<T>): Promise<T> {
  signal(node, 'SIGSTOP')
  try {
    return await run()
  } finally {
    signal(node, 'SIGCONT')
  }
}

scenario(
  'unmount - the daemon is frozen while a process waits for it',
  daemons,
  volume,
  async (t) => {
    const { nodeB, b, pathB } = await volume.pair()
    await b.call('write', { path: pathB('f'), text: 'x', fsync: true })
    signal(nodeB, 'SIGSTOP')
    const waiting = b.outcome('readText', { path: pathB('f') })
    const start = performance.now()
    const answer = await runCli(['unmount', nodeB.mountPath], { deadlineMs: LIMIT_MS })
    t.comment(`took ${((performance.now() - start) / 1000).toFixed(1)} s`)
    t.is(answer.code, ExitCode.ok, answer.stderr)
    t.ok(answer.stdout.includes('did not answer'), answer.stdout)
    t.ok(['ECONNABORTED', 'ENOTCONN'].includes(await waiting), 'nobody waits any more')
    t.absent(isMounted(nodeB.mountPath), 'not mounted')
    t.is(nodeB.pid(), undefined, 'no daemon')
    await nodeB.mount()
    const text = await nodeB.worker().call('readText', { path: pathB('f') })
    t.is(text, 'x', 'what was acknowledged by fsync is there')
  }
)

scenario(
  'unmount - the other node is frozen and a process waits for it',
  daemons,
  volume,
  async (t) => {
    const { nodeA, nodeB, b, a, pathA, pathB } = await volume.pair()
    await a.call('write', { path: pathA('f'), text: 'x' })
    await whileFrozen(nodeA, async () => {
      // Node A has the exclusive token of the folder.
      const waiting = b.outcome('write', { path: pathB('g'), text: 'y' })
      const plain = await runCli(['unmount', nodeB.mountPath], { deadlineMs: LIMIT_MS })
      t.ok([ExitCode.busy, ExitCode.ok].includes(plain.code as never), plain.stderr)
      if (plain.code === ExitCode.busy) {
        const lazy = await runCli(['unmount', nodeB.mountPath, '--lazy'], { deadlineMs: LIMIT_MS })
        t.is(lazy.code, ExitCode.ok, lazy.stderr)
      }
      t.not(await waiting, 'ok', 'nobody waits any more')
      t.absent(isMounted(nodeB.mountPath), 'not mounted')
      t.is(nodeB.pid(), undefined, 'no daemon')
    })
    await nodeB.mount()
  }
)

scenario('unmount - the volume is still being mounted', daemons, volume, async (t) => {
  const { nodeA, nodeB } = await volume.pair()
  nodeB.killWorkers()
  await nodeB.unmount()
  await whileFrozen(nodeA, async () => {
    const mounting = spawnCli(['mount', nodeB.stateDir, nodeB.mountPath])
    const ended = new Promise<number | null>((resolve) => mounting.once('exit', resolve))
    await waitFor('daemon B runs', LIMIT_MS, () => nodeB.pid() !== undefined)
    const answer = await runCli(['unmount', nodeB.mountPath], { deadlineMs: LIMIT_MS })
    t.is(answer.code, ExitCode.ok, answer.stderr)
    t.not(await ended, 0, 'the mount has failed')
    t.absent(isMounted(nodeB.mountPath), 'not mounted')
    t.is(nodeB.pid(), undefined, 'no daemon')
  })
  await nodeB.mount()
})

if (isSoak) {
  for (const mode of ['error', 'readonly'] as const) {
    scenario(`isolation - on_isolation=${mode} and back`, daemons, volume, async (t) => {
      const { nodeA, nodeB, a, pathA, pathB } = await volume.pair()
      await a.call('write', { path: pathA('f'), text: 'x' })
      nodeB.killWorkers()
      await nodeB.unmount()
      await nodeB.mount('-o', `on_isolation=${mode}`)
      const b = nodeB.worker()
      await whileFrozen(nodeA, async () => {
        await waitFor('isolated', LIMIT_MS, async () => {
          const outcome = await b.outcome('write', { path: pathB('g'), text: 'y' })
          return outcome === (mode === 'readonly' ? 'EROFS' : 'EIO')
        })
        const read = await b.outcome('readText', { path: pathB('f') })
        t.is(read, mode === 'readonly' ? 'ok' : 'EIO')
      })
      await waitFor('back', LIMIT_MS, async () => {
        return (await b.outcome('write', { path: pathB('g'), text: 'y' })) === 'ok'
      })
      t.is(await a.call('readText', { path: pathA('g') }), 'y')
      nodeB.killWorkers()
      await nodeB.unmount()
      await nodeB.mount()
    })
  }
}

finishVolume(volume)
