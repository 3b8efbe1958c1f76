/** What becomes of file locks when a node dies, freezes, or comes back. */
import type { Test } from 'brittle'
import { runCli } from '../helpers/cli.ts'
import { type Cluster, type ClusterNode, makeCluster } from '../helpers/cluster.ts'
import { LockProcess } from '../helpers/fcntl-helper.ts'
import { scenario } from '../helpers/scenario.ts'
import { waitFor } from '../helpers/system.ts'

const GRANT_LIMIT_MS = 60_000

/** Two nodes of a test's own and the processes that lock on them. */
class World {
  readonly cluster: Cluster
  readonly #processes: LockProcess[] = []

  constructor(cluster: Cluster) {
    this.cluster = cluster
  }

  static async make(t: Test): Promise<World> {
    const world = new World(await makeCluster())
    t.teardown(() => {
      for (const process of world.#processes) process.kill()
      world.cluster.destroyNow()
    })
    return world
  }

  /** A process with the file open in slot 0. */
  async process(node: ClusterNode): Promise<LockProcess> {
    const process = new LockProcess()
    this.#processes.push(process)
    await process.must(`open 0 ${node.path('f')}`)
    return process
  }

  async endProcesses(): Promise<void> {
    for (const process of this.#processes) process.kill()
    await Promise.all(this.#processes.map((process) => process.exited))
  }

  async close(): Promise<void> {
    await this.endProcesses()
    await this.cluster.close()
  }
}

async function waitingAt(node: ClusterNode): Promise<number> {
  const answer = await runCli(['locks', node.stateDir, '--json'])
  if (answer.code !== 0) return -1
  const { locks } = JSON.parse(answer.stdout)
  return locks.filter((lock: { state: string }) => lock.state === 'waiting').length
}

function untilWaiting(node: ClusterNode, count: number): Promise<void> {
  return waitFor(`${count} waiting at ${node.name}`, GRANT_LIMIT_MS, async () => {
    return (await waitingAt(node)) === count
  })
}

/** Node A is the authority: it must stay for the others to go on. */
scenario('locks - the waiter of a killed node goes on', { daemons: true }, undefined, async (t) => {
  const world = await World.make(t)
  const [nodeA, nodeB] = [world.cluster.node(0), world.cluster.node(1)]
  const b = await world.process(nodeB)
  await b.must('set posix 0 write 0 10')
  await b.must('set flock 0 write 0 0')
  const a = await world.process(nodeA)
  const record = a.step('wait posix 0 write 5 10')
  const other = await world.process(nodeA)
  const whole = other.step('wait flock 0 write 0 0')
  await untilWaiting(nodeA, 2)
  const from = performance.now()
  await nodeB.kill()
  t.ok((await record).ok)
  t.ok((await whole).ok)
  t.comment(`granted ${((performance.now() - from) / 1000).toFixed(1)} s after SIGKILL`)
  t.ok(nodeA.log().includes('member declared lost'), 'the log says why')
  t.is(await b.outcome('set posix 0 unlock 0 0'), 'ENOTCONN', 'the mount is dead')
  b.kill()
  await b.exited
  await nodeB.mount()
  const again = await world.process(nodeB)
  t.is(await again.outcome('set posix 0 write 5 1'), 'EAGAIN')
  await a.must('set posix 0 unlock 0 0')
  t.is(await again.outcome('set posix 0 write 5 1'), 'ok')
  await world.close()
})

scenario('locks - a killed node no longer waits', { daemons: true }, undefined, async (t) => {
  const world = await World.make(t)
  const [nodeA, nodeB] = [world.cluster.node(0), world.cluster.node(1)]
  const a = await world.process(nodeA)
  await a.must('set posix 0 write 0 10')
  const b = await world.process(nodeB)
  void b.step('wait posix 0 write 0 10')
  await untilWaiting(nodeA, 1)
  await nodeB.kill()
  await untilWaiting(nodeA, 0)
  await a.must('set posix 0 unlock 0 0')
  const other = await world.process(nodeA)
  t.is(await other.outcome('set posix 0 write 0 10'), 'ok')
  await nodeB.mount()
  await world.close()
})

scenario(
  'locks - who lost a lock while frozen gets EIO',
  { daemons: true },
  undefined,
  async (t) => {
    const world = await World.make(t)
    const [nodeA, nodeB] = [world.cluster.node(0), world.cluster.node(1)]
    const b = await world.process(nodeB)
    await b.must('set posix 0 write 0 0')
    await b.must('write 0 0 5')
    const pid = nodeB.pid()
    if (pid === undefined) throw new Error('no daemon')
    process.kill(pid, 'SIGSTOP')
    t.teardown(() => nodeB.killDaemonNow())
    const a = await world.process(nodeA)
    const granted = await a.step('wait posix 0 write 0 0')
    t.ok(granted.ok, 'the lock is free when the lease is over')
    await a.must('write 0 0 6')
    const late = b.step('write 0 0 7')
    process.kill(pid, 'SIGCONT')
    t.is((await late).code, 'EIO', 'the frozen holder does not write')
    t.is(await b.outcome('read 0 0 1'), 'EIO')
    t.is(await b.outcome('set posix 0 write 0 0'), 'EIO')
    t.is((await a.must('read 0 0 1')).text, '6')
    await b.outcome('close 0')
    await waitFor('node B serves again', GRANT_LIMIT_MS, async () => {
      return (await b.outcome(`open 1 ${nodeB.path('f')}`)) === 'ok'
    })
    t.is((await b.must('read 1 0 1')).text, '6')
    t.is(await b.outcome('set posix 1 write 0 0'), 'EAGAIN')
    await world.close()
  }
)

scenario('locks - an orderly unmount gives them back', { daemons: true }, undefined, async (t) => {
  const world = await World.make(t)
  const [nodeA, nodeB] = [world.cluster.node(0), world.cluster.node(1)]
  const b = await world.process(nodeB)
  await b.must('set posix 0 write 0 0')
  const a = await world.process(nodeA)
  const granted = a.step('wait posix 0 write 0 0')
  await untilWaiting(nodeA, 1)
  await nodeB.unmount('--lazy')
  t.ok((await granted).ok)
  await world.endProcesses()
  await nodeB.mount()
  await world.close()
})
