import { finishVolume, type Pair, SharedVolume, scenario } from '../helpers/scenario.ts'
import { size } from '../helpers/sizes.ts'

const volume = new SharedVolume()
const EXCLUSIVE_ROUNDS = size(200, 2000)
const ROUNDS = size(80, 2000)
const START_DELAY_MS = 4

/** Runs both at one instant; the errno names ('ok' for success), A's first. */
function together(
  runA: (atMs: number) => Promise<string>,
  runB: (atMs: number) => Promise<string>
) {
  const atMs = Date.now() + START_DELAY_MS
  return Promise.all([runA(atMs), runB(atMs)])
}

function countWinners(outcomes: readonly string[]): number {
  return outcomes.filter((outcome) => outcome === 'ok').length
}

scenario(
  'race - O_EXCL create from both nodes has one winner',
  { minutes: 5 },
  volume,
  async (t) => {
    const { a, b, pathA, pathB } = await volume.pair()
    const wrong: string[] = []
    const wins = { A: 0, B: 0 }
    for (let i = 0; i < EXCLUSIVE_ROUNDS; i++) {
      const outcomes = await together(
        (atMs) => a.outcome('createExclusive', { path: pathA(`f${i}`), text: 'A', atMs }),
        (atMs) => b.outcome('createExclusive', { path: pathB(`f${i}`), text: 'B', atMs })
      )
      const winner = outcomes[0] === 'ok' ? 'A' : 'B'
      wins[winner]++
      const loser = winner === 'A' ? outcomes[1] : outcomes[0]
      if (countWinners(outcomes) !== 1 || loser !== 'EEXIST') wrong.push(`${i}: ${outcomes}`)
      const texts = [
        await a.call('readText', { path: pathA(`f${i}`) }),
        await b.call('readText', { path: pathB(`f${i}`) })
      ]
      if (texts[0] !== winner || texts[1] !== winner)
        wrong.push(`${i}: ${winner} won, ${texts} read`)
    }
    t.alike(wrong, [], `${EXCLUSIVE_ROUNDS} rounds`)
    t.comment(`A won ${wins.A}, B won ${wins.B}`)
  }
)

scenario('race - mkdir and rmdir from both nodes', { minutes: 5 }, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const wrong: string[] = []
  for (let i = 0; i < ROUNDS; i++) {
    const made = await together(
      (atMs) => a.outcome('mkdir', { path: pathA('d'), atMs }),
      (atMs) => b.outcome('mkdir', { path: pathB('d'), atMs })
    )
    if (countWinners(made) !== 1 || !made.includes('EEXIST')) wrong.push(`${i}: mkdir ${made}`)
    const removed = await together(
      () => a.outcome('rmdir', { path: pathA('d') }),
      () => b.outcome('rmdir', { path: pathB('d') })
    )
    if (countWinners(removed) !== 1 || !removed.includes('ENOENT')) {
      wrong.push(`${i}: rmdir ${removed}`)
    }
  }
  t.alike(wrong, [], `${ROUNDS} rounds`)
})

scenario('race - rename of one file to two names', { minutes: 5 }, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const wrong: string[] = []
  for (let i = 0; i < ROUNDS; i++) {
    await a.call('write', { path: pathA('source'), text: String(i) })
    const outcomes = await together(
      (atMs) => a.outcome('rename', { path: pathA('source'), to: pathA('toA'), atMs }),
      (atMs) => b.outcome('rename', { path: pathB('source'), to: pathB('toB'), atMs })
    )
    if (countWinners(outcomes) !== 1 || !outcomes.includes('ENOENT'))
      wrong.push(`${i}: ${outcomes}`)
    const name = outcomes[0] === 'ok' ? 'toA' : 'toB'
    const seen = [
      await a.call('readdir', { path: pathA('') }),
      await b.call('readdir', { path: pathB('') })
    ]
    if (seen.some((names) => names.join() !== name)) wrong.push(`${i}: ${JSON.stringify(seen)}`)
    const text = await b.call('readText', { path: pathB(name) })
    if (text !== String(i)) wrong.push(`${i}: content ${text}`)
    await b.call('unlink', { path: pathB(name) })
  }
  t.alike(wrong, [], `${ROUNDS} rounds`)
})

scenario('race - two files renamed onto one name', { minutes: 5 }, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const wrong: string[] = []
  for (let i = 0; i < ROUNDS; i++) {
    await a.call('write', { path: pathA('fromA'), text: 'A' })
    await b.call('write', { path: pathB('fromB'), text: 'B' })
    const outcomes = await together(
      (atMs) => a.outcome('rename', { path: pathA('fromA'), to: pathA('target'), atMs }),
      (atMs) => b.outcome('rename', { path: pathB('fromB'), to: pathB('target'), atMs })
    )
    if (countWinners(outcomes) !== 2) wrong.push(`${i}: ${outcomes}`)
    const texts = [
      await a.call('readText', { path: pathA('target') }),
      await b.call('readText', { path: pathB('target') })
    ]
    if (texts[0] !== texts[1]) wrong.push(`${i}: A reads ${texts[0]}, B reads ${texts[1]}`)
    const names = await a.call('readdir', { path: pathA('') })
    if (names.join() !== 'target') wrong.push(`${i}: ${names}`)
  }
  t.alike(wrong, [], `${ROUNDS} rounds`)
})

scenario(
  'race - folders moved into each other never make a cycle',
  { minutes: 5 },
  volume,
  async (t) => {
    const { a, b, pathA, pathB } = await volume.pair()
    const wrong: string[] = []
    for (let i = 0; i < ROUNDS; i++) {
      await a.call('makeFolders', { path: pathA('p/a/d') })
      await a.call('makeFolders', { path: pathA('q/b/c') })
      const outcomes = await together(
        (atMs) => a.outcome('rename', { path: pathA('p/a'), to: pathA('q/b/c/a'), atMs }),
        (atMs) => b.outcome('rename', { path: pathB('q/b'), to: pathB('p/a/d/b'), atMs })
      )
      if (countWinners(outcomes) !== 1) wrong.push(`${i}: ${outcomes}`)
      const trees = [
        await a.call('hashTree', { path: pathA('') }),
        await b.call('hashTree', { path: pathB('') })
      ]
      if (trees[0]?.hash !== trees[1]?.hash || trees[0]?.count !== 7) {
        wrong.push(`${i}: ${JSON.stringify(trees)}`)
      }
      await b.call('removeTree', { path: pathB('p') })
      await b.call('removeTree', { path: pathB('q') })
    }
    t.alike(wrong, [], `${ROUNDS} rounds`)
  }
)

scenario('race - both nodes create in one folder', { minutes: 5 }, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const count = size(500, 10_000)
  await createTogether({ a, b, pathA, pathB }, count)
  const names = await a.call('readdir', { path: pathA('') })
  t.is(names.length, 2 * count, 'every file of both is there')
  t.alike(await b.call('readdir', { path: pathB('') }), names, 'both list the same')
})

scenario(
  'race - listing while the other node creates and removes',
  { minutes: 5 },
  volume,
  async (t) => {
    const { a, b, pathA, pathB, nodeB } = await volume.pair()
    const count = size(500, 5000)
    await a.call('createMany', { path: pathA(''), prefix: 'stay', count })
    const churn = nodeB.worker()
    const stop = pathB('zz-stop')
    const script = `i=0; while [ ! -e ${stop} ]; do : > ${pathB('churn')}$i; rm ${pathB('churn')}$i; i=$((i+1)); done`
    const churning = churn.call('exec', { argv: ['sh', '-c', script] }, 120_000)
    const wrong: string[] = []
    for (let i = 0; i < 20; i++) {
      const names = await a.call('readdir', { path: pathA('') })
      const stayed = names.filter((name) => name.startsWith('stay'))
      if (stayed.length !== count || new Set(names).size !== names.length) {
        wrong.push(`listing ${i}: ${stayed.length} of ${count}, ${names.length} names in all`)
      }
    }
    await b.call('write', { path: stop, text: '' })
    await churning
    t.alike(wrong, [], 'no file missed or listed twice')
  }
)

async function createTogether(
  pair: Pick<Pair, 'a' | 'b' | 'pathA' | 'pathB'>,
  count: number
): Promise<void> {
  const atMs = Date.now() + START_DELAY_MS
  const { a, b, pathA, pathB } = pair
  await Promise.all([
    a.call('createMany', { path: pathA(''), prefix: 'a', count, atMs }, 120_000),
    b.call('createMany', { path: pathB(''), prefix: 'b', count, atMs }, 120_000)
  ])
}

finishVolume(volume)
