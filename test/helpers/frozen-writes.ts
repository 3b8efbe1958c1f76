/**
 * A node whose daemon is frozen (SIGSTOP) for three lease times while processes write there, and
 * what becomes of each write: begun and not answered, answered and never received by anybody, and
 * begun while nobody could read the request.
 */
import { readFileSync } from 'node:fs'
import type { Test } from 'brittle'
import type { Cluster, ClusterNode } from './cluster.ts'
import { pause, untilInSync } from './failover.ts'
import type { Worker } from './worker-client.ts'

const FROZEN_MS = 3 * 1800
const LIMIT_MS = 60_000
/** The lease of the node runs for longer than this when the network is cut. */
const BEGIN_LIMIT_MS = 1000
const POLL_MS = 5

/** A handle of a process of its own, for appending. */
interface Handle {
  readonly worker: Worker
  readonly fd: number
}

async function openAt(node: ClusterNode, name: string): Promise<Handle> {
  const worker = node.worker()
  return { worker, fd: await worker.call('open', { path: node.path(name), flags: 'a' }) }
}

function append({ worker, fd }: Handle, text: string): Promise<string> {
  return worker.outcome('writeHandle', { path: '', fd, text }, LIMIT_MS)
}

function sync({ worker, fd }: Handle): Promise<string> {
  return worker.outcome('fsync', { fd }, LIMIT_MS)
}

/** The system call a process waits in; undefined while it runs, and where nobody can see it. */
function systemCallOf(pid: number): string | undefined {
  try {
    const [number] = readFileSync(`/proc/${pid}/syscall`, 'utf8').split(' ')
    return number === undefined || Number.isNaN(Number(number)) ? undefined : number
  } catch {
    return undefined
  }
}

/** True when it waits in another one than `idle`. */
function isBlocked(pid: number, idle: string | undefined): boolean {
  const now = systemCallOf(pid)
  return idle !== undefined && now !== undefined && now !== idle
}

/** False when it did not come true in time. */
async function until(endMs: number, condition: () => boolean): Promise<boolean> {
  while (!condition()) {
    if (performance.now() > endMs) return false
    await pause(POLL_MS)
  }
  return true
}

/** What a promise has resolved with by now. */
function watched(promise: Promise<string>): { value: string | undefined } {
  const seen: { value: string | undefined } = { value: undefined }
  void promise.then((value) => {
    seen.value = value
  })
  return seen
}

/** `folder` is new. The other node of `cluster` goes on alone meanwhile. */
export async function freezeWithWrites(
  t: Test,
  cluster: Cluster,
  victim: ClusterNode,
  folder: string
): Promise<void> {
  const other = cluster.nodes.find((node) => node !== victim)
  if (other === undefined) throw new Error('there is no other node')
  const name = (file: string): string => `${folder}/${file}`
  const there = other.worker()
  await there.call('mkdir', { path: other.path(folder) })
  for (const file of ['lost', 'late', 'begun']) {
    // Whoever wrote last need not ask: the other has the file that is to be asked for.
    const node = file === 'begun' ? other : victim
    await node.worker().call('write', { path: node.path(name(file)), text: 'base ', fsync: true })
  }
  const [lost, late, begun] = await Promise.all([
    openAt(victim, name('lost')),
    openAt(victim, name('late')),
    openAt(victim, name('begun'))
  ])
  await there.call('write', { path: other.path(name('begun')), text: 'base ', fsync: true })
  t.alike([await append(lost, 'durable '), await sync(lost)], ['ok', 'ok'])

  await cluster.network.stallBetween([victim.name], [other.name])
  const lostWrite = append(lost, 'answered ')
  const answered = watched(lostWrite)
  const idle = systemCallOf(begun.worker.pid)
  const begunWrite = append(begun, 'begun ')
  const endMs = performance.now() + BEGIN_LIMIT_MS
  const isWaiting =
    (await until(endMs, () => answered.value !== undefined)) &&
    (await until(endMs, () => isBlocked(begun.worker.pid, idle)))
  // Requests are read in order: when this one is answered, the one before it has begun.
  const probe = watched(victim.worker().outcome('stat', { path: victim.path(name('none')) }))
  const hasBegun = isWaiting && (await until(endMs, () => probe.value === 'ENOENT'))
  victim.signal('SIGSTOP')
  const wasAnswered = answered.value === 'ok'
  await cluster.network.cutBetween([victim.name], [other.name])
  await cluster.network.heal()
  const lateWrite = append(late, 'late ')
  await pause(FROZEN_MS)
  const alone = { path: other.path(name('alone')), text: 'x', fsync: true }
  t.is(await there.outcome('write', alone, LIMIT_MS), 'ok', 'the other goes on')
  victim.signal('SIGCONT')

  const ends = { lost: await lostWrite, begun: await begunWrite, late: await lateWrite }
  t.comment(`answered before: ${wasAnswered}; begun before: ${hasBegun}; ${JSON.stringify(ends)}`)
  if (hasBegun) t.is(ends.begun, 'EIO', 'who had begun is told')
  if (wasAnswered) t.is(await sync(lost), 'EIO', 'who was answered hears at its next fsync')
  await untilInSync(cluster.nodes)
  for (const node of cluster.nodes) {
    const text = (file: string): Promise<string> =>
      node.worker().call('readText', { path: node.path(name(file)) })
    const kept = wasAnswered || ends.lost !== 'ok' ? '' : 'answered '
    t.is(await text('lost'), `base durable ${kept}`, `${node.name}: what nobody received is gone`)
    t.is(await text('begun'), ends.begun === 'ok' ? 'base begun ' : 'base ', 'as it was answered')
    t.is(await text('late'), ends.late === 'ok' ? 'base late ' : 'base ', 'as it was answered')
  }
  t.is(await append(lost, 'never '), 'EIO', 'the handle is lost as well')
}
