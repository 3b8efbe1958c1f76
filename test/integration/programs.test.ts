/** Programs as they are, run on one node and their results looked at on the other. Soak size only. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'brittle'
import { finishVolume, type Pair, SharedVolume, scenario } from '../helpers/scenario.ts'
import { seed, size } from '../helpers/sizes.ts'
import type { Worker } from '../helpers/worker-client.ts'

const volume = new SharedVolume({ mountOptions: ['-o', 'allow_other'] })
const MINUTES = 40
const DEADLINE_MS = MINUTES * 60_000
const DOVECOT_LDA = '/usr/lib/dovecot/dovecot-lda'
const MAIL_USER = 1000
const projectRoot = fileURLToPath(new URL('../../..', import.meta.url))

const environment = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_AUTHOR_NAME: 'tester',
  GIT_AUTHOR_EMAIL: 'tester@example.invalid',
  GIT_COMMITTER_NAME: 'tester',
  GIT_COMMITTER_EMAIL: 'tester@example.invalid'
}

/** Its output; a failed assertion when the program fails. */
async function run(
  t: Test,
  worker: Worker,
  argv: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {}
): Promise<string> {
  const env = { ...environment, ...options.env }
  const args = { argv, env, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) }
  const { code, stdout, stderr } = await worker.call('exec', args, DEADLINE_MS)
  const said = code === 0 ? '' : `: ${stderr.slice(-2000)}${stdout.slice(-1000)}`
  t.is(code, 0, `${argv.slice(0, 3).join(' ')}${said}`)
  return stdout.trim()
}

function program(
  name: string,
  programs: readonly string[],
  body: (t: Test, pair: Pair) => Promise<void>
): void {
  scenario(name, { minutes: MINUTES, programs, soak: true }, volume, async (t) => {
    await body(t, await volume.pair())
  })
}

async function equalTrees(t: Test, pair: Pair, relative: string): Promise<void> {
  const { a, b, pathA, pathB } = pair
  const onA = await a.call('hashTree', { path: pathA(relative) }, DEADLINE_MS)
  const onB = await b.call('hashTree', { path: pathB(relative) }, DEADLINE_MS)
  t.alike(onB, onA, `the same ${onA.count} names, attributes and contents on both`)
}

/** A tree on the local disk with hard links, symbolic links, lists, attributes and a sparse file. */
async function richTree(t: Test, pair: Pair): Promise<string> {
  const source = join(pair.cluster.scratch, `rich-${Date.now()}`)
  mkdirSync(source)
  const path = join(source, 'tree')
  await pair.a.call('makeTree', { path, seed, count: size(300, 3000) }, DEADLINE_MS)
  const script = [
    'ln -s nowhere broken',
    'mkdir -p d/sub && cp /bin/ls d/ls && ln d/ls d/again && ln d/ls hard',
    'mkfifo pipe && mknod null c 1 3',
    'truncate -s 100M sparse && printf end >> sparse',
    'chmod 4755 d/ls && chmod 2775 d && chmod 1777 d/sub && chown 1000:1001 hard',
    'setfacl -m u:1000:rwx,g:5:r d && setfacl -d -m u:1001:rw d',
    'setfattr -n user.note -v hello d/ls && setfattr -n trusted.t -v x d',
    'touch -h -d @1234567890.123456789 broken && touch -d @1.5 sparse d/sub'
  ]
  await run(t, pair.a, ['sh', '-ec', script.join('\n')], { cwd: source })
  return source
}

const RICH = ['setfacl', 'getfacl', 'setfattr', 'getfattr']

program('rsync -aHAX - the second run transfers nothing', ['rsync', ...RICH], async (t, pair) => {
  const { a, b, pathA, pathB } = pair
  const source = await richTree(t, pair)
  const sync = (path: string) => ['rsync', '-aHAX', '--delete', '--itemize-changes', source, path]
  t.not(await run(t, a, sync(pathA(''))), '', 'the first run')
  t.is(await run(t, a, sync(pathA(''))), '', 'the second run on A')
  t.is(await run(t, b, [...sync(pathB('')), '--checksum']), '', 'and one on B, by content')
})

program('tar - attributes and access control lists', ['tar', ...RICH], async (t, pair) => {
  const { a, b, pathA, pathB } = pair
  const source = await richTree(t, pair)
  const archive = `${source}.tar`
  const keeps = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '--sparse']
  await run(t, a, ['tar', ...keeps, '-cf', archive, '-C', source, '.'])
  await run(t, a, ['tar', ...keeps, '-xpf', archive, '-C', pathA('')])
  const lists = ['sh', '-c', 'getfacl -Rpn . | sort; getfattr -Rhd -m - . | sort']
  t.is(await run(t, b, lists, { cwd: pathB('') }), await run(t, a, lists, { cwd: source }))
  const files = ['find', '.', '-printf', '%p %y %m %n %U %G %s %T@ %l\\n']
  const listed = async (worker: Worker, cwd: string) => {
    const lines = (await run(t, worker, files, { cwd })).split('\n')
    // Sizes of folders are a matter of each filesystem.
    return lines.map((line) => line.replace(/^(\S+ d \S+ \S+ \S+ \S+) \S+/, '$1')).sort()
  }
  const same = (lines: string[]) => lines.filter((line) => !line.startsWith('. '))
  t.alike(same(await listed(b, pathB(''))), same(await listed(a, source)))
})

program('git - worktrees and gc on both nodes', ['git'], async (t, pair) => {
  const { a, b, pathA, pathB } = pair
  const git = (worker: Worker, cwd: string, ...words: string[]) => {
    return run(t, worker, ['git', ...words], { cwd })
  }
  await git(a, pathA(''), 'init', '-q', '-b', 'main', 'repository')
  await a.call('makeTree', { path: pathA('repository/part'), seed, count: 200 }, DEADLINE_MS)
  await git(a, pathA('repository'), 'add', '-A')
  await git(a, pathA('repository'), 'commit', '-q', '-m', 'first')
  await git(a, pathA('repository'), 'config', 'worktree.useRelativePaths', 'true')
  for (let round = 0; round < size(3, 10); round++) {
    const [worker, path] = round % 2 === 0 ? [a, pathA] : [b, pathB]
    const [other, otherPath] = round % 2 === 0 ? [b, pathB] : [a, pathA]
    const tree = `tree${round}`
    await git(worker, path('repository'), 'worktree', 'add', '-q', '-b', tree, `../${tree}`)
    await worker.call('write', { path: path(`${tree}/new${round}`), text: `${round}\n` })
    await git(worker, path(tree), 'add', '-A')
    await git(worker, path(tree), 'commit', '-q', '-m', `round ${round}`)
    await git(other, otherPath('repository'), 'merge', '-q', '--no-edit', tree)
    await git(other, otherPath('repository'), 'gc', '-q', '--prune=now')
    t.is(
      await git(worker, path('repository'), 'status', '--porcelain'),
      '',
      `clean, round ${round}`
    )
    await git(worker, path('repository'), 'worktree', 'remove', `../${tree}`)
  }
  await git(b, pathB('repository'), 'fsck', '--full', '--strict')
  await equalTrees(t, pair, 'repository')
})

program('gcc - built on A, run on B', ['make', 'gcc'], async (t, pair) => {
  const { a, b, pathA, pathB } = pair
  const count = size(20, 200)
  const files = Array.from({ length: count }, (_, at) => `int f${at}(void) { return ${at}; }\n`)
  for (const [at, text] of files.entries()) {
    await a.call('write', { path: pathA(`f${at}.c`), text })
  }
  const names = files.map((_, at) => `f${at}`)
  const declared = names.map((name) => `int ${name}(void);`).join('\n')
  const sum = names.map((name) => `${name}()`).join(' + ')
  const main = `#include <stdio.h>\n${declared}\nint main(void) { printf("%d\\n", ${sum}); }\n`
  await a.call('write', { path: pathA('main.c'), text: main })
  const objects = ['main', ...names].map((name) => `${name}.o`).join(' ')
  const rules = `sum: ${objects}\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O1 -c -o $@ $<\n`
  await a.call('write', { path: pathA('Makefile'), text: rules })
  await run(t, a, ['make', '-j4', '-s'], { cwd: pathA('') })
  t.is(await run(t, b, [pathB('sum')]), String((count * (count - 1)) / 2))
  const again = await run(t, b, ['make', '-n'], { cwd: pathB('') })
  t.ok(/up to date/.test(again), `nothing to do on B: ${again.slice(0, 200)}`)
})

program('npm ci and build of this project - on A, the same on B', ['npm'], async (t, pair) => {
  const { a, b, pathA, pathB } = pair
  const files = ['package.json', 'package-lock.json', 'tsconfig.json', 'binding.gyp']
  const folders = ['src', 'test', 'scripts', 'bench', 'bin']
  const copied = [...files, ...folders].map((name) => join(projectRoot, name))
  await run(t, a, ['cp', '-r', ...copied, pathA('')])
  await run(t, a, ['npm', 'ci', '--no-audit', '--no-fund'], { cwd: pathA('') })
  await run(t, a, ['npx', 'tsc', '-p', '.', '--outDir', 'dist'], { cwd: pathA('') })
  await run(t, b, ['node', 'bin/tandemfs.js', '--help'], { cwd: pathB('') })
  const suite = 'dist/test/fs/op-codec.test.js'
  await run(t, b, ['node', suite], { cwd: pathB('') })
  await equalTrees(t, pair, '')
  // On B without compiling all of it once more.
  await run(t, b, ['npm', 'ci', '--ignore-scripts', '--no-audit'], { cwd: pathB('') })
  await equalTrees(t, pair, '')
})

program('sqlite3 - both nodes in turn and at the same time', ['sqlite3'], async (t, pair) => {
  const { a, b, pathA, pathB } = pair
  const sql = (worker: Worker, path: string, text: string) => {
    return run(t, worker, ['sqlite3', '-cmd', '.timeout 60000', path, text])
  }
  await sql(a, pathA('db'), 'CREATE TABLE row (id INTEGER PRIMARY KEY, who TEXT, text TEXT)')
  const rounds = size(20, 200)
  const fill = async (worker: Worker, path: string, who: string) => {
    for (let round = 0; round < rounds; round++) {
      const values = Array.from({ length: 10 }, () => `('${who}', hex(randomblob(200)))`).join()
      await sql(worker, path, `INSERT INTO row (who, text) VALUES ${values}`)
    }
  }
  await Promise.all([fill(a, pathA('db'), 'a'), fill(b, pathB('db'), 'b')])
  const counts = 'SELECT who, count(*) FROM row GROUP BY who ORDER BY who'
  t.is(await sql(a, pathA('db'), counts), `a|${rounds * 10}\nb|${rounds * 10}`)
  t.is(await sql(b, pathB('db'), 'PRAGMA integrity_check'), 'ok')
  await sql(b, pathB('db'), "DELETE FROM row WHERE who = 'a'; VACUUM")
  t.is(
    await sql(a, pathA('db'), 'PRAGMA integrity_check; SELECT count(*) FROM row'),
    `ok\n${rounds * 10}`
  )
})

function dovecotConfiguration(pair: Pair, name: string, maildir: string): string {
  const folder = join(pair.cluster.scratch, `dovecot-${name}`)
  mkdirSync(folder, { mode: 0o777 })
  const file = join(folder, 'dovecot.conf')
  const lines = [
    `mail_location = maildir:${maildir}`,
    `base_dir = ${folder}`,
    'log_path = /dev/stderr',
    'postmaster_address = postmaster@example.invalid',
    'ssl = no',
    `mail_uid = ${MAIL_USER}`,
    `mail_gid = ${MAIL_USER}`,
    'mmap_disable = yes',
    'mail_fsync = always'
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

const lda = `${dirname(DOVECOT_LDA)}/dovecot-lda`
program(
  'dovecot - Maildir delivery on both nodes at once',
  [lda, 'setpriv', 'doveadm'],
  async (t, pair) => {
    const { a, b, pathA, pathB } = pair
    const count = size(20, 500)
    await a.call('makeFolders', { path: pathA('home') })
    await a.call('chown', { path: pathA('home'), uid: MAIL_USER, gid: MAIL_USER })
    // The scratch folder is root's alone, and the mail user has to come through it.
    await run(t, a, ['chmod', '-R', 'go+x', pair.cluster.scratch.concat('/node-a')])
    await run(t, a, ['chmod', 'go+x', pair.cluster.scratch, join(pair.cluster.scratch, 'node-b')])
    const ids = [`--reuid=${MAIL_USER}`, `--regid=${MAIL_USER}`, '--clear-groups']
    const as = (home: string) => ['setpriv', ...ids, 'env', `HOME=${home}`, 'USER=mail']
    const configurations = {
      a: dovecotConfiguration(pair, 'a', pathA('home/Maildir')),
      b: dovecotConfiguration(pair, 'b', pathB('home/Maildir'))
    }
    const deliver = async (worker: Worker, home: string, configuration: string, who: string) => {
      for (let mail = 0; mail < count; mail++) {
        const text = `From: ${who}@example.invalid\\nSubject: ${who} ${mail}\\n\\nbody ${mail}\\n`
        const command = `printf '${text}' | ${as(home).join(' ')} ${lda} -c ${configuration}`
        await run(t, worker, ['sh', '-c', command])
      }
    }
    await Promise.all([
      deliver(a, pathA('home'), configurations.a, 'a'),
      deliver(b, pathB('home'), configurations.b, 'b')
    ])
    const found = async (worker: Worker, home: string, configuration: string) => {
      const words = [
        'doveadm',
        '-c',
        configuration,
        'fetch',
        'hdr.subject',
        'mailbox',
        'INBOX',
        'all'
      ]
      const text = await run(t, worker, [...as(home), ...words])
      return text
        .split('\n')
        .filter((line) => line.startsWith('hdr.subject'))
        .sort()
    }
    const onB = await found(b, pathB('home'), configurations.b)
    t.is(new Set(onB).size, 2 * count, 'every mail once')
    t.is(onB.length, 2 * count)
    t.alike(await found(a, pathA('home'), configurations.a), onB, 'A sees the same')
  }
)

program('rm -rf - 50,000 files made on A go on B', ['rm'], async (t, pair) => {
  const { a, b, pathA, pathB } = pair
  const files = 50_000
  for (let folder = 0; folder < 50; folder++) {
    await a.call('makeFolders', { path: pathA(`tree/d${folder}`) })
    const args = { path: pathA(`tree/d${folder}`), prefix: 'f', count: files / 50 }
    await a.call('createMany', args, DEADLINE_MS)
  }
  const count = await run(t, b, ['sh', '-c', `find ${pathB('tree')} -type f | wc -l`])
  t.is(count, String(files))
  await run(t, b, ['rm', '-rf', pathB('tree')])
  t.alike(await a.call('readdir', { path: pathA('') }), [])
})

program(
  'readdir - 100,000 entries that stay, while others come and go',
  ['rm'],
  async (t, pair) => {
    const { a, b, nodeA, pathA, pathB } = pair
    const stay = 100_000
    await a.call('createMany', { path: pathA(''), prefix: 'stays', count: stay }, DEADLINE_MS)
    const script = `i=0; while [ $i -lt 3000 ]; do : > goes$i; rm goes$((i - 5)) 2>/dev/null; i=$((i + 1)); done`
    const changing = run(t, nodeA.worker(), ['sh', '-c', `${script}; true`], { cwd: pathA('') })
    for (let round = 0; round < 3; round++) {
      const names = await b.call('readdir', { path: pathB('') }, DEADLINE_MS)
      const kept = names.filter((name) => name.startsWith('stays'))
      t.is(kept.length, stay, `listing ${round}`)
      t.is(new Set(names).size, names.length, 'each once')
    }
    await changing
  }
)

finishVolume(volume)
