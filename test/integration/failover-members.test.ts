/** Members that come, go and restart while the others work; locks of living processes stay theirs. */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'brittle'
import { ExitCode } from '../../src/mount/daemon/exit-codes.ts'
import { runCli } from '../helpers/cli.ts'
import { type Cluster, type ClusterNode, makeCluster } from '../helpers/cluster.ts'
import { authorityOf, pause, runFault, tell, untilInSync } from '../helpers/failover.ts'
import { LockProcess } from '../helpers/fcntl-helper.ts'
import { HistoryLoad } from '../helpers/history-load.ts'
import { scenario } from '../helpers/scenario.ts'
import { seed } from '../helpers/sizes.ts'
import { waitFor } from '../helpers/system.ts'

const options = { minutes: 30, daemons: true, programs: ['cc'], soak: true }
const PROBLEMS_SHOWN = 10
const GONE_LIMIT_MS = 60_000
const DISK_MIB = 512

async function ownCluster(t: Test, settings: Parameters<typeof makeCluster>[0]): Promise<Cluster> {
  const cluster = await makeCluster({ network: true, ...settings })
  t.teardown(() => cluster.destroyNow())
  await untilInSync(cluster.nodes)
  return cluster
}

/** A process with an exclusive lock on a file of its own, on each node. */
async function holders(t: Test, cluster: Cluster): Promise<Map<ClusterNode, LockProcess>> {
  const processes = new Map<ClusterNode, LockProcess>()
  for (const node of cluster.nodes) {
    const process = new LockProcess()
    t.teardown(() => process.kill())
    await process.must(`open 0 ${node.path(`lock-${node.name}`)}`)
    await process.must('set posix 0 write 0 0')
    processes.set(node, process)
  }
  return processes
}

scenario('failover members - rolling restart keeps locks', options, undefined, async (t) => {
  const cluster = await ownCluster(t, { voting: 'witness' })
  const held = await holders(t, cluster)
  for (const leaving of cluster.nodes) {
    const load = new HistoryLoad(cluster, `roll-${leaving.name}`, seed)
    const mine = held.get(leaving)
    const outcome = await runFault(cluster, load, {
      victims: [leaving],
      pauseMs: [1000, 500, 1000],
      cause: async () => {
        await load.killOn(leaving)
        mine?.kill()
        await mine?.exited
        await leaving.unmount()
      },
      repair: async () => {
        await leaving.mount()
        load.startOn(leaving)
      }
    })
    t.alike(outcome.problems.slice(0, PROBLEMS_SHOWN), [], `${leaving.name}, seed ${seed}`)
    t.comment(`${leaving.name} restarted: ${tell(outcome)}`)
    await holdsStill(t, cluster, held, leaving)
    const again = new LockProcess()
    t.teardown(() => again.kill())
    await again.must(`open 0 ${leaving.path(`lock-${leaving.name}`)}`)
    t.is(await again.outcome('set posix 0 write 0 0'), 'ok', 'what it held itself is free')
    held.set(leaving, again)
  }
  await cluster.witness.kill('SIGTERM')
  await cluster.witness.start()
  await holdsStill(t, cluster, held, undefined)
  for (const process of held.values()) process.kill()
  await Promise.all([...held.values()].map(({ exited }) => exited))
  await cluster.close()
})

/** Every lock of a living process still excludes all other nodes, and its handle still writes. */
async function holdsStill(
  t: Test,
  cluster: Cluster,
  held: ReadonlyMap<ClusterNode, LockProcess>,
  except: ClusterNode | undefined
): Promise<void> {
  for (const [owner, process] of held) {
    if (owner === except) continue
    for (const node of cluster.nodes) {
      if (node === owner) continue
      const other = new LockProcess()
      t.teardown(() => other.kill())
      await other.must(`open 0 ${node.path(`lock-${owner.name}`)}`)
      t.is(await other.outcome('set posix 0 write 0 0'), 'EAGAIN', `${owner.name} holds its lock`)
      other.kill()
      await other.exited
    }
    t.is(await process.outcome('write 0 0 still'), 'ok', `${owner.name} writes through its handle`)
  }
}

scenario('failover members - a third joins, one is removed', options, undefined, async (t) => {
  const cluster = await ownCluster(t, { voting: 'witness' })
  const load = new HistoryLoad(cluster, 'growing', seed)
  await load.start()
  await pause(1000)
  const third = await cluster.addNode({ network: true })
  await third.mount()
  load.startOn(third)
  await untilInSync(cluster.nodes)
  await pause(2000)
  await load.stop()
  t.alike((await load.judge()).slice(0, PROBLEMS_SHOWN), [], `three members, seed ${seed}`)

  const shrinking = new HistoryLoad(cluster, 'shrinking', seed + 1)
  await shrinking.start()
  await pause(1000)
  const authority = await authorityOf(cluster)
  const leaving = authority === third ? cluster.node(1) : third
  shrinking.beginFault(leaving)
  await shrinking.killOn(leaving)
  const answer = await runCli(['members', authority.stateDir, 'remove', leaving.name])
  t.is(answer.code, 0, answer.stderr.trim())
  await waitFor('the daemon of the removed member has ended', GONE_LIMIT_MS, () => {
    return leaving.pid() === undefined
  })
  await pause(1000)
  await shrinking.stop()
  const staying = cluster.nodes.filter((node) => node !== leaving)
  await untilInSync(staying)
  t.alike((await shrinking.judge(staying)).slice(0, PROBLEMS_SHOWN), [], 'the others go on')
  await runCli(['unmount', leaving.mountPath])
  const back = await runCli(['mount', leaving.stateDir, leaving.mountPath])
  t.is(back.code, ExitCode.refused, `its key is refused: ${back.stderr.trim()}`)
  await cluster.close()
})

scenario(
  'failover members - a node whose disk stands still',
  { ...options, programs: ['cc', 'fsfreeze', 'mkfs.ext4', 'mount'] },
  undefined,
  async (t) => {
    const cluster = await ownCluster(t, { voting: 'witness', prepare: mountImage })
    for (const role of ['ordinary', 'authority'] as const) {
      const authority = await authorityOf(cluster)
      const victim = cluster.nodes.find((node) => (node === authority) === (role === 'authority'))
      if (victim === undefined) throw new Error('no such node')
      const disk = join(victim.folder, 'state')
      const load = new HistoryLoad(cluster, `disk-${role}`, seed)
      let isFrozen = false
      const thaw = async (): Promise<void> => {
        if (isFrozen) execFileSync('fsfreeze', ['-u', disk])
        isFrozen = false
      }
      try {
        const outcome = await runFault(cluster, load, {
          victims: [victim],
          pauseMs: [1000, 8000, 1000],
          cause: async () => {
            execFileSync('fsfreeze', ['-f', disk])
            isFrozen = true
          },
          repair: thaw
        })
        t.alike(outcome.problems.slice(0, PROBLEMS_SHOWN), [], `${role}, seed ${seed}`)
        t.comment(`disk of the ${role} member ${victim.name}: ${tell(outcome)}`)
        t.ok(
          outcome.wentOn.some((name) => name !== victim.name),
          'the other goes on'
        )
      } finally {
        await thaw()
      }
    }
    await cluster.close()
  }
)

/** The state of a node on a filesystem of its own, in an image file. */
function mountImage(folder: string): void {
  const state = join(folder, 'state')
  const image = join(folder, 'disk.img')
  mkdirSync(state, { recursive: true })
  execFileSync('truncate', ['-s', `${DISK_MIB}M`, image])
  execFileSync('mkfs.ext4', ['-q', '-F', image])
  execFileSync('mount', ['-o', 'loop', image, state])
}
