/** Members that never come back, and one whose disk is put back to what it was. */
import { execFileSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { ExitCode } from '../../src/mount/daemon/exit-codes.ts'
import { runCli } from '../helpers/cli.ts'
import { makeCluster } from '../helpers/cluster.ts'
import { untilInSync } from '../helpers/failover.ts'
import { scenario } from '../helpers/scenario.ts'

const options = { daemons: true, minutes: 5 }
/** What the store of the logs knows its folder by: a snapshot of the whole disk keeps it valid. */
const DEVICE_FILE = 'CORESTORE'

function find(folder: string, name: string): string {
  return execFileSync('find', [folder, '-name', name], { encoding: 'utf8' }).trim()
}

scenario('lost members - recover and a disk put back', options, undefined, async (t) => {
  const cluster = await makeCluster({
    voting: 'plain',
    mountOptions: ['-o', 'isolation_timeout=2']
  })
  t.teardown(() => cluster.destroyNow())
  const [gone, left] = [cluster.node(0), cluster.node(1)]
  await untilInSync(cluster.nodes)
  await left.unmount()
  const backup = `${left.stateDir}-backup`
  execFileSync('cp', ['-a', left.stateDir, backup])
  await left.mount()
  await left.worker().call('write', { path: left.path('f'), text: 'durable', fsync: true })
  left.killWorkers()
  await left.unmount()

  const newest = `${left.stateDir}-newest`
  execFileSync('mv', [left.stateDir, newest])
  for (const isSnapshot of [false, true]) {
    rmSync(left.stateDir, { recursive: true, force: true })
    execFileSync('cp', ['-a', backup, left.stateDir])
    if (isSnapshot) rmSync(find(left.stateDir, DEVICE_FILE))
    const refused = await runCli(['mount', left.stateDir, left.mountPath])
    t.is(refused.code, ExitCode.damaged, refused.stderr.trim())
    t.ok(/put back/.test(refused.stderr), isSnapshot ? 'a snapshot of the disk' : 'a copy')
  }
  rmSync(left.stateDir, { recursive: true })
  execFileSync('mv', [newest, left.stateDir])
  await left.mount('-o', 'isolation_timeout=2')
  await untilInSync(cluster.nodes)

  await gone.kill()
  const mounted = await runCli(['recover', left.stateDir, '--accept-loss'])
  t.is(mounted.code, ExitCode.alreadyRunning, 'not while it is mounted')
  const start = performance.now()
  await left.unmount()
  t.comment(`unmount of an isolated node took ${((performance.now() - start) / 1000).toFixed(1)} s`)
  t.absent(existsSync(left.path('f')), 'not mounted')
  const asked = await runCli(['recover', left.stateDir])
  t.is(asked.code, ExitCode.usage, 'it says first what is lost')
  t.ok(/goes on alone/.test(asked.stdout) && /--accept-loss/.test(asked.stderr), asked.stdout)
  const recovered = await runCli(['recover', left.stateDir, '--accept-loss'])
  t.is(recovered.code, ExitCode.ok, recovered.stderr)
  await left.mount()
  const worker = left.worker()
  t.is(await worker.call('readText', { path: left.path('f') }), 'durable')
  t.is(await worker.outcome('write', { path: left.path('g'), text: 'x', fsync: true }), 'ok')
  const back = await runCli(['mount', gone.stateDir, gone.mountPath, '-o', 'mount_timeout=20'])
  t.is(back.code, ExitCode.refused, `the other is refused: ${back.stderr.trim()}`)
  const found = await runCli(['members', left.stateDir])
  t.is(found.stdout.includes('node-b'), true)
  t.is(await worker.outcome('write', { path: left.path('g'), text: 'y', fsync: true }), 'ok')
  await cluster.close()
})
