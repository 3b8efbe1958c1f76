import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import SecretStream from '@hyperswarm/secret-stream'
import type { Test } from 'brittle'
import { ExitCode } from '../../src/mount/daemon/exit-codes.ts'
import { runCli } from '../helpers/cli.ts'
import { finishVolume, type Pair, SharedVolume, scenario } from '../helpers/scenario.ts'
import { freePort, waitFor } from '../helpers/system.ts'

const daemons = { daemons: true }
const volume = new SharedVolume()
const ANSWER_LIMIT_MS = 30_000

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return socket
}

function warnings(pair: Pair): number {
  return pair.nodeA
    .log()
    .split('\n')
    .filter((line) => /"level":(40|"warn")/.test(line)).length
}

/** The node closes the connection, says so in its log, and both nodes go on. */
async function isRefused(
  t: Test,
  pair: Pair,
  sockets: readonly Socket[],
  warningsBefore: number
): Promise<void> {
  await waitFor('connections closed', ANSWER_LIMIT_MS, () => sockets.every((s) => s.closed))
  t.pass('the node closed the connection')
  await waitFor('a log line', ANSWER_LIMIT_MS, () => warnings(pair) > warningsBefore)
  t.pass('the log has a line about it')
  const text = String(Math.random())
  await pair.a.call('write', { path: pair.pathA('f'), text })
  t.is(await pair.b.call('readText', { path: pair.pathB('f') }), text, 'the nodes go on')
}

scenario('refusal - a key that is not listed', daemons, volume, async (t) => {
  const pair = await volume.pair()
  const before = warnings(pair)
  const socket = await dial(pair.nodeA.port)
  const stream = new SecretStream(true, socket)
  stream.on('error', () => {})
  stream.write(Buffer.from('hello'))
  await isRefused(t, pair, [socket], before)
})

scenario('refusal - a garbage stream', daemons, volume, async (t) => {
  const pair = await volume.pair()
  const before = warnings(pair)
  const sockets: Socket[] = []
  for (let i = 0; i < 10; i++) {
    const socket = await dial(pair.nodeA.port)
    socket.resume()
    socket.write(randomBytes(1 + i * 100_000))
    sockets.push(socket)
  }
  await isRefused(t, pair, sockets, before)
})

scenario('refusal - an oversized frame', daemons, volume, async (t) => {
  const pair = await volume.pair()
  const before = warnings(pair)
  const socket = await dial(pair.nodeA.port)
  socket.resume()
  // Frames carry their length in three bytes, lowest first.
  socket.write(Buffer.from([0xff, 0xff, 0xff]))
  const feeding = setInterval(() => socket.write(Buffer.alloc(65_536)), 5)
  try {
    await isRefused(t, pair, [socket], before)
  } finally {
    clearInterval(feeding)
    socket.destroy()
  }
})

scenario('refusal - connections that say nothing', daemons, volume, async (t) => {
  const pair = await volume.pair()
  const before = warnings(pair)
  const sockets: Socket[] = []
  for (let i = 0; i < 100; i++) {
    const socket = await dial(pair.nodeA.port)
    socket.resume()
    sockets.push(socket)
  }
  await isRefused(t, pair, sockets, before)
})

scenario(
  'refusal - invitations that were used, have expired or are none',
  daemons,
  volume,
  async (t) => {
    const { cluster, nodeA } = await volume.pair()
    const attempt = async (code: string, name: string) => {
      const port = await freePort()
      const place = [
        '--dir',
        join(cluster.scratch, name),
        '--listen',
        `127.0.0.1:${port}`,
        '--name',
        name
      ]
      return runCli(['join', code, ...place])
    }
    const code = await cluster.invite()
    t.is((await attempt(code, 'third')).code, ExitCode.ok, 'used once')
    const again = await attempt(code, 'fourth')
    t.is(again.code, ExitCode.refused, `used twice: ${again.stderr.trim()}`)
    const short = await cluster.invite('--ttl', '1s')
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const late = await attempt(short, 'fourth')
    t.is(late.code, ExitCode.refused, `expired: ${late.stderr.trim()}`)
    const changed = `${code.slice(0, -8)}${code.endsWith('a') ? 'bbbbbbbb' : 'aaaaaaaa'}`
    for (const bad of ['nonsense', changed]) {
      const answer = await attempt(bad, 'fourth')
      t.ok(
        answer.code === ExitCode.usage || answer.code === ExitCode.refused,
        `not a code: ${answer.code} ${answer.stderr.trim()}`
      )
      t.is(answer.stderr.trim().split('\n').length, 1, 'one line')
    }
    t.absent(
      existsSync(join(cluster.scratch, 'fourth', 'shared')),
      'no state left by refused joins'
    )
    const members = await runCli(['members', nodeA.stateDir])
    t.ok(members.stdout.includes('third') && !members.stdout.includes('fourth'), 'member list')
    const removed = await runCli(['members', nodeA.stateDir, 'remove', 'third'])
    t.is(removed.code, ExitCode.ok, removed.stderr)
    t.absent((await runCli(['members', nodeA.stateDir])).stdout.includes('third'), 'removed')
    const mountPath = join(cluster.scratch, 'third', 'mount')
    mkdirSync(mountPath)
    const refused = await runCli(['mount', join(cluster.scratch, 'third', 'shared'), mountPath])
    t.is(refused.code, ExitCode.refused, 'its key is refused')
    t.ok(/was removed from the volume/.test(refused.stderr), refused.stderr.trim())
    t.is(refused.stderr.trim().split('\n').length, 1, 'one line')
    t.is((await nodeA.status()).code, ExitCode.ok)
  }
)

finishVolume(volume)
