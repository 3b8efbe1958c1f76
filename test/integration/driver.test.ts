/** One member of a volume served by the optional driver fuse-native, the other as always. */
import { createRequire } from 'node:module'
import { ExitCode } from '../../src/mount/daemon/exit-codes.ts'
import { runCli } from '../helpers/cli.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { isMounted } from '../helpers/system.ts'
import { run } from '../mount/channel/mounts.ts'
import { basicConformance, wholeConformance } from '../mount/conformance.ts'

const OPTIONS = ['-o', 'driver=fuse-native,local_locks']
const FILES = '200'
const volume = new SharedVolume()

function isInstalled(): boolean {
  try {
    return createRequire(import.meta.url).resolve('fuse-native') !== ''
  } catch {
    return false
  }
}

const needs = { daemons: true, programs: ['python3'] }

scenario('driver - both drivers serve one volume', needs, volume, async (t) => {
  if (!isInstalled()) {
    t.comment('NOT TESTED: the package fuse-native is not installed')
    return
  }
  const { nodeA, nodeB, a, pathA, pathB } = await volume.pair()
  nodeB.killWorkers()
  await nodeB.unmount()
  const refused = await runCli([
    'mount',
    nodeB.stateDir,
    nodeB.mountPath,
    '--driver',
    'fuse-native'
  ])
  t.is(refused.code, ExitCode.usage, refused.stderr)
  t.absent(isMounted(nodeB.mountPath))
  const mounted = await runCli(['mount', nodeB.stateDir, nodeB.mountPath, ...OPTIONS])
  t.is(mounted.code, ExitCode.ok, mounted.stderr)
  t.ok(/warning: .*fcntl/.test(mounted.stderr), 'what is lost is said')
  const { report } = await nodeB.status()
  t.alike(report['channel'], { kind: 'fuse-native', reason: null })
  t.ok(JSON.stringify(report['warnings']).includes('fcntl'))

  const basic = await run('python3', ['-c', basicConformance, pathB(''), FILES])
  t.is(basic.status, 0, basic.said)
  t.is((await a.call('readText', { path: pathA('log') })).length, 3, 'the other member has it')
  await a.call('makeFolders', { path: pathA('whole') })
  const whole = await run('python3', ['-c', wholeConformance, pathA('whole'), FILES])
  t.is(whole.status, 0, whole.said)

  const b = nodeB.worker()
  await b.call('write', { path: pathB('both'), text: 'from b\n', flags: 'a' })
  await a.call('write', { path: pathA('both'), text: 'from a\n', flags: 'a' })
  await b.call('write', { path: pathB('both'), text: 'from b\n', flags: 'a' })
  t.is(await a.call('readText', { path: pathA('both') }), 'from b\nfrom a\nfrom b\n')
  t.is(await b.call('readText', { path: pathB('both') }), 'from b\nfrom a\nfrom b\n')

  const fd = await b.call('open', { path: pathB('both'), flags: 'r' })
  t.is((await runCli(['unmount', nodeB.mountPath])).code, ExitCode.busy)
  await b.call('close', { fd })
  nodeB.killWorkers()
  await nodeB.kill()
  t.is((await nodeB.status()).code, ExitCode.notMounted, 'its daemon is dead')
  await nodeB.mount(...OPTIONS)
  t.is(await nodeB.worker().call('readText', { path: pathB('both') }), 'from b\nfrom a\nfrom b\n')
  nodeB.killWorkers()
  await nodeB.unmount()
  t.is(nodeB.pid(), undefined)
  t.is((await nodeA.status()).code, ExitCode.ok, 'the other goes on')
})

finishVolume(volume)
