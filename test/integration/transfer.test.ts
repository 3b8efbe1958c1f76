import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { runCli } from '../helpers/cli.ts'
import { makeCluster } from '../helpers/cluster.ts'
import { untilInSync } from '../helpers/failover.ts'
import { scenario } from '../helpers/scenario.ts'
import { waitFor } from '../helpers/system.ts'

const options = { minutes: 5, daemons: true }
const FILES = 600
const LARGE_BYTES = 3_000_000
const WAIT_MS = 60_000

scenario(
  'transfer - a member joins a full volume, is killed on the way, and joins',
  options,
  undefined,
  async (t) => {
    const cluster = await makeCluster({ nodeCount: 1 })
    t.teardown(() => cluster.destroyNow())
    const first = cluster.node(0)
    const a = first.worker()
    await a.call('makeTree', { path: first.path('tree'), count: FILES, seed: 7 })
    const large = { path: first.path('large'), label: 'large', version: 1, sizeBytes: LARGE_BYTES }
    await a.call('write', { ...large, fsync: true })
    const second = await cluster.addNode()
    const copied = (): boolean => /state is fetched|copied state/.test(second.log())
    const mounting = runCli(['mount', second.stateDir, second.mountPath])
    await waitFor('the state is on its way', WAIT_MS, copied)
    await second.kill()
    await mounting
    const { code, stderr } = await runCli(['mount', second.stateDir, second.mountPath])
    t.is(code, 0, stderr)
    t.absent(existsSync(join(second.stateDir, 'state.db.incoming')), 'nothing is left of the first')
    await untilInSync(cluster.nodes)
    const b = second.worker()
    const onA = await a.call('hashTree', { path: first.mountPath })
    t.alike(await b.call('hashTree', { path: second.mountPath }), onA, 'both nodes equal')
    t.ok(onA.count > FILES)
    await b.call('write', { path: second.path('after'), text: 'written by the second' })
    const seen = await a.call('readBase64', { path: first.path('after') })
    t.is(Buffer.from(seen, 'base64').toString(), 'written by the second')
    await cluster.close()
  }
)
