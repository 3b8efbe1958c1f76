import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'brittle'
import { finishVolume, type Pair, SharedVolume, scenario } from '../helpers/scenario.ts'
import { seed, size } from '../helpers/sizes.ts'
import type { Worker } from '../helpers/worker-client.ts'

const volume = new SharedVolume()
const MINUTES = size(4, 30)
const DEADLINE_MS = MINUTES * 60_000
const MIB = 2 ** 20

const gitEnvironment = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_AUTHOR_NAME: 'tester',
  GIT_AUTHOR_EMAIL: 'tester@example.invalid',
  GIT_COMMITTER_NAME: 'tester',
  GIT_COMMITTER_EMAIL: 'tester@example.invalid'
}

async function run(
  t: Test,
  worker: Worker,
  argv: readonly string[],
  cwd?: string
): Promise<string> {
  const answer = await worker.call(
    'exec',
    { argv, env: gitEnvironment, ...(cwd === undefined ? {} : { cwd }) },
    DEADLINE_MS
  )
  const words =
    answer.code === 0 ? '' : `: ${answer.stderr.slice(-1000)}${answer.stdout.slice(-500)}`
  t.is(answer.code, 0, `${argv.slice(0, 3).join(' ')}${words}`)
  return answer.stdout.trim()
}

function localFolder(pair: Pair, name: string): string {
  const path = join(pair.cluster.scratch, name)
  mkdirSync(path, { recursive: true })
  return path
}

async function extractAndCompare(t: Test, pair: Pair, source: string): Promise<void> {
  const archive = `${source}.tar`
  await run(t, pair.a, ['tar', '-cf', archive, '-C', source, '.'])
  await run(t, pair.a, ['tar', '-xf', archive, '-C', pair.pathA('')])
  t.is(await run(t, pair.b, ['diff', '-r', source, pair.pathB('')]), '', 'diff -r on B')
  const onA = await pair.a.call('hashTree', { path: pair.pathA('') }, DEADLINE_MS)
  const onB = await pair.b.call('hashTree', { path: pair.pathB('') }, DEADLINE_MS)
  t.alike(onB, onA, `the same ${onA.count} names, attributes and contents on both`)
}

scenario(
  'tar - small files extracted on A equal on B',
  { minutes: MINUTES, programs: ['tar', 'diff'] },
  volume,
  async (t) => {
    const pair = await volume.pair()
    const source = localFolder(pair, 'small')
    await pair.a.call('makeTree', { path: source, seed, count: size(2500, 10_000) }, DEADLINE_MS)
    await extractAndCompare(t, pair, source)
  }
)

scenario(
  'tar - large files extracted on A equal on B',
  { minutes: MINUTES, programs: ['tar', 'diff'] },
  volume,
  async (t) => {
    const pair = await volume.pair()
    const source = localFolder(pair, 'large')
    const total = size(128, 1024) * MIB
    const chunkBytes = MIB
    for (const [name, share] of [
      ['half', 0.5],
      ['third', 0.375],
      ['rest', 0.125]
    ] as const) {
      const path = join(source, name)
      await pair.a.call('writeStream', { path, sizeBytes: total * share, chunkBytes }, DEADLINE_MS)
    }
    await extractAndCompare(t, pair, source)
  }
)

scenario(
  'git - clone on A, fsck, commit and push on B, seen on A',
  { minutes: MINUTES, programs: ['git'] },
  volume,
  async (t) => {
    const pair = await volume.pair()
    const { a, b, pathA, pathB } = pair
    const source = localFolder(pair, 'repository')
    for (let commit = 0; commit < 20; commit++) {
      await a.call(
        'makeTree',
        { path: join(source, `part${commit}`), seed: seed + commit, count: 150 },
        DEADLINE_MS
      )
      if (commit === 0) await run(t, a, ['git', 'init', '-q', '-b', 'main', '.'], source)
      await run(t, a, ['git', 'add', '-A'], source)
      await run(t, a, ['git', 'commit', '-q', '-m', `state ${commit}`], source)
    }
    await run(t, a, ['git', 'clone', '-q', '--bare', '--no-local', source, pathA('bare.git')])
    await run(t, a, ['git', 'clone', '-q', '--no-hardlinks', pathA('bare.git'), pathA('work')])
    const counted = await run(
      t,
      a,
      ['git', 'rev-list', '--objects', '--all', '--count'],
      pathA('work')
    )
    t.ok(Number(counted) > 2000, `${counted} objects`)

    await run(t, b, ['git', 'fsck', '--full', '--strict'], pathB('bare.git'))
    await run(t, b, ['git', 'fsck', '--full', '--strict'], pathB('work'))
    t.is(
      await run(t, b, ['git', 'status', '--porcelain'], pathB('work')),
      '',
      'clean work tree on B'
    )
    // The clone's origin is a path of A's mount.
    await run(t, b, ['git', 'remote', 'set-url', 'origin', pathB('bare.git')], pathB('work'))
    await b.call('write', { path: pathB('work/news'), text: 'from B\n' })
    await run(t, b, ['git', 'add', 'news'], pathB('work'))
    await run(t, b, ['git', 'commit', '-q', '-m', 'from B'], pathB('work'))
    await run(t, b, ['git', 'push', '-q', 'origin', 'main'], pathB('work'))
    const pushed = await run(t, b, ['git', 'rev-parse', 'main'], pathB('work'))

    t.is(
      await run(t, a, ['git', 'rev-parse', 'main'], pathA('bare.git')),
      pushed,
      'A sees the push'
    )
    t.is(await run(t, a, ['git', 'rev-parse', 'HEAD'], pathA('work')), pushed, 'A sees the commit')
    t.is(await run(t, a, ['git', 'show', 'HEAD:news'], pathA('work')), 'from B')
    await run(t, a, ['git', 'gc', '-q', '--prune=now'], pathA('bare.git'))
    await run(t, b, ['git', 'fsck', '--full', '--strict'], pathB('bare.git'))
    await run(t, b, ['git', 'clone', '-q', pathB('bare.git'), pathB('again')])
    t.is(
      await run(t, a, ['git', 'rev-parse', 'HEAD'], pathA('again')),
      pushed,
      'cloned on B after gc on A'
    )
  }
)

finishVolume(volume)
