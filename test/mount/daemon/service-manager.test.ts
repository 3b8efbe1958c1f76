import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'brittle'
import { formatDaemonArguments } from '../../../src/mount/daemon/daemon-arguments.ts'
import { DEFAULT_SETTINGS } from '../../../src/mount/daemon/mount-options.ts'
import { serviceManager } from '../../../src/mount/daemon/service-manager.ts'
import { collectingLogger } from './support.ts'

const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', chr(0), 1)); s.settimeout(30)
print('bound', flush=True)
while True:
  text = s.recv(4096).decode()
  print(text, flush=True)
  if text.startswith('STATUS=stopping'): break
`

test('service manager - nothing without a socket, one line a status, a failure is no fault', (t) => {
  const { logger, lines } = collectingLogger()
  const sent: string[] = []
  const send = (_: string, text: string) => sent.push(text)
  serviceManager(logger, {}, send).ready(() => 'never asked')
  t.alike(sent, [])
  const manager = serviceManager(logger, { NOTIFY_SOCKET: '/run/x' }, send)
  manager.status('starting')
  manager.status('starting')
  manager.ready(() => 'serving\nall')
  manager.stopping()
  t.alike(sent, [
    'STATUS=starting',
    'READY=1',
    'STATUS=serving all',
    'STOPPING=1',
    'STATUS=stopping'
  ])
  const refusing = () => {
    throw new Error('ENOENT')
  }
  serviceManager(logger, { NOTIFY_SOCKET: '/run/x' }, refusing).status('starting')
  t.ok(lines.some((line) => line.includes('could not be told')))
})

for (const name of ['notify.sock', `@tandemfs-test-${process.pid}`]) {
  test(`service manager - a daemon in the foreground tells ${name.replace(/\d+/, 'PID')}`, async (t) => {
    const stateDir = await t.tmp()
    const socketPath = name.startsWith('@') ? name : path.join(stateDir, name)
    const receiver = spawn('python3', ['-c', RECEIVER, socketPath])
    t.teardown(() => receiver.kill('SIGKILL'))
    let said = ''
    const ended = new Promise<void>((resolve) => receiver.once('close', () => resolve()))
    await new Promise<void>((resolve) => {
      receiver.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes('bound')) resolve()
      })
    })
    writeFileSync(path.join(stateDir, 'behave'), 'unmounted')
    const program = fileURLToPath(new URL('./fake-daemon.js', import.meta.url))
    const args = formatDaemonArguments({
      stateDir,
      mountPoint: '/nowhere',
      source: 'mail',
      settings: DEFAULT_SETTINGS,
      foreground: true,
      logLevel: 'error',
      witness: false
    })
    const env = { ...process.env, NOTIFY_SOCKET: socketPath }
    const daemon = spawn(process.execPath, [program, ...args], { env, stdio: 'ignore' })
    t.teardown(() => daemon.kill('SIGKILL'))
    await ended
    const order = ['STATUS=starting', 'READY=1', 'STATUS=serving mail', 'STOPPING=1', 'STATUS=stop']
    const positions = order.map((text) => said.indexOf(text))
    t.alike(
      positions,
      [...positions].sort((one, other) => one - other),
      said
    )
    t.ok(positions.every((position) => position >= 0))
  })
}
