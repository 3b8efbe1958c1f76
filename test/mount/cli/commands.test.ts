import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'brittle'

const program = fileURLToPath(new URL('../../../src/mount/cli/main.js', import.meta.url))

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

function run(args: readonly string[], input = ''): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...args], (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, out: out.trim(), err: err.trim() })
    })
    child.stdin?.end(input)
  })
}

const LOOPBACK = ['--listen', '127.0.0.1:0']
const ERROR_LINE = /^tandemfs: [^\n]+: [^\n]+: [^\n]+$/

test('create, invite, members - without a daemon', async (t) => {
  const dir = await t.tmp()
  const created = await run(['create', 'mail', '--dir', dir, ...LOOPBACK])
  t.is(created.code, 0, created.err)
  t.ok(created.out.includes(`tandemfs mount ${dir}/mail MOUNTPOINT`))
  const invited = await run(['invite', 'mail', '--dir', dir])
  t.ok(/^tandemfs1-[A-Za-z0-9_-]+$/.test(invited.out), 'nothing but the code')
  const other = await run(['invite', `${dir}/mail`, '--ttl', '2d'])
  t.ok(other.out !== invited.out && other.code === 0)
  const members = await run(['members', 'mail', '--dir', dir])
  t.is(members.out.split('\n').length, 2)
  t.ok(members.out.includes('authority') && members.out.includes('127.0.0.1:'))
})

test('create - what cannot be created leaves nothing and says why', async (t) => {
  const dir = await t.tmp()
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  writeFileSync(path.join(dir, 'file'), '')
  mkdirSync(path.join(dir, 'full', 'something'), { recursive: true })
  const table: readonly (readonly [number, readonly string[]])[] = [
    [8, ['mail', '--dir', dir, '--listen', `127.0.0.1:${port}`]],
    [2, ['bad name', '--dir', dir, ...LOOPBACK]],
    [2, ['a/b', '--dir', dir, ...LOOPBACK]],
    [5, ['full', '--dir', dir, ...LOOPBACK]],
    [5, ['file', '--dir', dir, ...LOOPBACK]]
  ]
  for (const [code, args] of table) {
    const result = await run(['create', ...args])
    t.is(result.code, code, result.err)
    t.ok(ERROR_LINE.test(result.err), 'one line in three parts')
  }
  t.alike(readdirSync(dir).sort(), ['file', 'full'])
  server.close()
})

test('join - bad codes and an authority that is away', async (t) => {
  const dir = await t.tmp()
  const there = path.join(dir, 'a')
  await run(['create', 'mail', '--dir', there, ...LOOPBACK])
  const { out: code } = await run(['invite', 'mail', '--dir', there])
  const here = ['--dir', path.join(dir, 'b'), '--name', 'b', ...LOOPBACK]
  const away = await run(['join', code, ...here])
  t.is(away.code, 6, away.err)
  t.ok(ERROR_LINE.test(away.err))
  t.is((await run(['join', '-', ...here], `${code}\n`)).code, 6, 'read from standard input')
  for (const bad of [
    'x',
    'tandemfs1-AAAA',
    code.slice(0, -3),
    code.replace('tandemfs1', 'tandemfs2')
  ]) {
    const result = await run(['join', bad, ...here])
    t.is(result.code, 2, result.err)
    t.ok(ERROR_LINE.test(result.err))
  }
})

test('volumes and mounts that are not there', async (t) => {
  const dir = await t.tmp()
  const folder = path.join(dir, 'folder')
  mkdirSync(folder)
  symlinkSync('nowhere', path.join(dir, 'dangling'))
  await run(['create', 'mail', '--dir', dir, ...LOOPBACK])
  const mail = path.join(dir, 'mail')
  const mounted = path.join(dir, 'mountpoint')
  mkdirSync(mounted)
  const table: readonly (readonly [number, readonly string[]])[] = [
    [3, ['mount', 'absent', folder, '--dir', dir]],
    [3, ['mount', folder, mounted]],
    [4, ['mount', mail, path.join(dir, 'absent')]],
    [4, ['mount', mail, path.join(dir, 'dangling')]],
    [4, ['mount', mail, path.join(mail, 'record')]],
    [4, ['mount', mail, mail]],
    [4, ['mount', mail, dir]],
    [5, ['mount', mail, '/proc']],
    [12, ['unmount', folder]],
    [12, ['unmount', path.join(dir, 'absent')]],
    [12, ['unmount', '/proc']],
    [12, ['unmount', '/']],
    [12, ['status', mail]],
    [3, ['status', folder]],
    [3, ['status', 'absent', '--dir', dir]],
    [3, ['invite', 'absent', '--dir', dir]],
    [3, ['members', 'absent', '--dir', dir]],
    [12, ['members', mail, 'remove', 'b']]
  ]
  for (const [code, args] of table) {
    const result = await run(args)
    t.is(result.code, code, `${args[0]}: ${result.err}`)
    t.ok(ERROR_LINE.test(result.err), 'one line in three parts')
    t.is(result.out, '')
  }
  t.absent(existsSync(path.join(mail, 'daemon.pid')), 'no daemon was started')
})

test('damaged state - reported as such', async (t) => {
  const dir = await t.tmp()
  await run(['create', 'mail', '--dir', dir, ...LOOPBACK])
  writeFileSync(path.join(dir, 'mail', 'record'), '{"version":1}')
  const result = await run(['members', 'mail', '--dir', dir])
  t.is(result.code, 10, result.err)
  t.ok(ERROR_LINE.test(result.err))
})
