import { existsSync, mkdirSync, statSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import test from 'brittle'
import { ControlClient } from '../../../src/mount/daemon/control-client.ts'
import { REQUEST_MAX_BYTES } from '../../../src/mount/daemon/control-protocol.ts'
import { type ControlHandlers, ControlServer } from '../../../src/mount/daemon/control-server.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'
import { collectingLogger, exampleStatus, exitCodeOf } from './support.ts'

const WAIT = { timeoutMs: 5000 }

function handlers(changes: Partial<ControlHandlers> = {}): ControlHandlers {
  return {
    status: () => exampleStatus(),
    locks: ({ below }) => {
      const base = { version: 1 as const, volume: 'mail', member: 'alpha' }
      return { ...base, mountPoint: below ?? '/', locks: [], omitted: 0, silent: [] }
    },
    invite: ({ ttlMs }) => ({ code: `code for ${ttlMs}` }),
    removeMember: () => null,
    setTieBreaker: () => null,
    configure: ({ options }) => ({ options: options ?? '' }),
    stop: () => ({ pid: process.pid }),
    ...changes
  }
}

interface Options {
  readonly maxInFlight?: number
  readonly idleMs?: number
}

async function serve(
  dir: string,
  changes: Partial<ControlHandlers> = {},
  options: Options = {}
): Promise<{ server: ControlServer; socketPath: string; lines: string[] }> {
  const { logger, lines } = collectingLogger()
  const socketPath = path.join(dir, 'control.sock')
  const components = { logger, handlers: handlers(changes) }
  const server = new ControlServer(components, { socketPath, ...options })
  await server.start()
  return { server, socketPath, lines }
}

async function connect(dir: string): Promise<ControlClient> {
  const client = await ControlClient.connect(dir)
  if (client === undefined) throw new Error('nobody serves')
  return client
}

/** Sends raw bytes; resolves with everything received until the other end closes. */
function sendRaw(socketPath: string, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(socketPath)
    let received = ''
    socket.on('data', (chunk) => {
      received += String(chunk)
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(received))
    socket.write(bytes)
  })
}

test('control - requests are answered and the socket is private', async (t) => {
  const dir = await t.tmp()
  const { server, socketPath } = await serve(dir)
  t.is(statSync(socketPath).mode & 0o777, 0o600)
  const client = await connect(dir)
  t.alike(await client.request('status', {}, WAIT), exampleStatus())
  const { code } = await client.request('invite', { role: 'data', ttlMs: 5000 }, WAIT)
  t.is(code, 'code for 5000')
  t.is(await client.request('removeMember', { name: 'b' }, WAIT), null)
  client.close()
  await server.stop()
  t.absent(existsSync(socketPath))
  t.is(await ControlClient.connect(dir), undefined, 'nobody serves any more')
})

test('control - garbage and oversized requests end their connection only', async (t) => {
  const dir = await t.tmp()
  const { server, socketPath, lines } = await serve(dir)
  const good = await connect(dir)
  for (const garbage of [
    '\0\x01\xff\n',
    'hello\n',
    '[]\n',
    '7\n',
    'null\n',
    '{"id":-1}\n',
    '{}\n'
  ]) {
    t.is(await sendRaw(socketPath, garbage), '', JSON.stringify(garbage))
  }
  const oversized = Buffer.alloc(REQUEST_MAX_BYTES + 1, 0x20)
  t.is(await sendRaw(socketPath, oversized), '', 'without a newline')
  t.ok((await good.request('status', {}, WAIT)).version === 1)
  t.ok(lines.length >= 8, 'each is logged')
  good.close()
  await server.stop()
})

test('control - bad methods, versions and parameters are answered with an error', async (t) => {
  const dir = await t.tmp()
  const { server, socketPath } = await serve(dir)
  const bad = [
    { version: 2, method: 'status', params: {} },
    { version: 1, method: 'toString', params: {} },
    { version: 1, method: 'status' },
    { version: 1, method: 'invite', params: { role: 'king', ttlMs: 5000 } },
    { version: 1, method: 'invite', params: { role: 'data', ttlMs: '5000' } },
    { version: 1, method: 'invite', params: { role: 'data', ttlMs: 1e300 } },
    { version: 1, method: 'removeMember', params: { name: 7 } },
    { version: 1, method: 'removeMember', params: { name: 'x'.repeat(256) } },
    { version: 1, method: 'stop', params: {} }
  ]
  for (const [id, request] of bad.entries()) {
    const answer = await new Promise<string>((resolve) => {
      const socket = net.connect(socketPath)
      socket.once('data', (chunk) => {
        socket.destroy()
        resolve(String(chunk))
      })
      socket.write(`${JSON.stringify({ id, ...request })}\n`)
    })
    const parsed = JSON.parse(answer)
    t.is(parsed.id, id)
    t.is(parsed.error.exitCode, 2, parsed.error.why)
  }
  await server.stop()
})

test('control - concurrent requests are answered as they finish', async (t) => {
  const dir = await t.tmp()
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const { server } = await serve(dir, {
    invite: async () => {
      await gate
      return { code: 'late' }
    }
  })
  const client = await connect(dir)
  const late = client.request('invite', { role: 'data', ttlMs: 5000 }, WAIT)
  const many = await Promise.all(
    Array.from({ length: 10 }, () => client.request('status', {}, WAIT))
  )
  t.is(many.length, 10, 'ten answers pass the waiting one')
  release()
  t.is((await late).code, 'late')
  client.close()
  await server.stop()
})

test('control - more requests in flight than allowed are refused as busy', async (t) => {
  const dir = await t.tmp()
  let release = () => {}
  const gate = new Promise<null>((resolve) => {
    release = () => resolve(null)
  })
  const { server } = await serve(dir, { removeMember: () => gate }, { maxInFlight: 2 })
  const client = await connect(dir)
  const first = client.request('removeMember', { name: 'a' }, WAIT)
  const second = client.request('removeMember', { name: 'b' }, WAIT)
  t.is(await exitCodeOf(client.request('removeMember', { name: 'c' }, WAIT)), 13)
  release()
  t.alike(await Promise.all([first, second]), [null, null])
  client.close()
  await server.stop()
})

test('control - a handler error arrives with its exit code and parts', async (t) => {
  const dir = await t.tmp()
  const parts = { what: 'invite', why: 'not here', remedy: 'go there' }
  const { server, lines } = await serve(dir, {
    invite: () => {
      throw new UserError('noAuthority', parts)
    },
    removeMember: () => {
      throw new TypeError('a fault')
    }
  })
  const client = await connect(dir)
  try {
    await client.request('invite', { role: 'data', ttlMs: 5000 }, WAIT)
    t.fail('must reject')
  } catch (error) {
    t.ok(error instanceof UserError && error.exitCode === 6)
    t.ok(error instanceof UserError && error.remedy === parts.remedy)
  }
  t.is(await exitCodeOf(client.request('removeMember', { name: 'b' }, WAIT)), 11)
  t.ok(
    lines.some((line) => line.includes('a fault')),
    'a fault is logged with its stack'
  )
  client.close()
  await server.stop()
})

test('control - a daemon that does not answer is a timeout', async (t) => {
  const dir = await t.tmp()
  const never = new Promise<null>(() => {})
  const { server } = await serve(dir, { removeMember: () => never })
  const client = await connect(dir)
  const request = client.request('removeMember', { name: 'b' }, { timeoutMs: 20 })
  t.is(await exitCodeOf(request), 14)
  client.close()
  await client.closed()
  t.is(await exitCodeOf(client.request('status', {}, WAIT)), 14, 'closed')
  await server.stop()
})

test('control - an idle connection is closed by the server', async (t) => {
  const dir = await t.tmp()
  const { server } = await serve(dir, {}, { idleMs: 20 })
  const client = await connect(dir)
  await client.closed()
  t.pass('closed')
  await server.stop()
})

test('control - state directories deeper than a socket name may be', async (t) => {
  const dir = path.join(await t.tmp(), 'd'.repeat(100), 'e'.repeat(100))
  mkdirSync(dir, { recursive: true })
  const { server } = await serve(dir)
  const client = await connect(dir)
  t.is((await client.request('status', {}, WAIT)).version, 1)
  client.close()
  await server.stop()
})
