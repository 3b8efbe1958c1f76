import test from 'brittle'
import { seed as drawn, isSoak } from '../helpers/sizes.ts'
import { ModelRun, randomCommands, runCommands, shrink } from './run-model.ts'

const COMMANDS = 2500
/** A million commands in the soak. */
const USUAL_SEEDS = isSoak ? `${drawn}-${drawn + 399}` : '1-12'
/** TANDEMFS_MODEL_SEEDS=FROM-TO runs others. */
const SEEDS = (process.env['TANDEMFS_MODEL_SEEDS'] ?? USUAL_SEEDS).split('-').map(Number)
const [FROM = 1, TO = FROM] = SEEDS

for (let seed = FROM; seed <= TO; seed++) {
  test(`filesystem - agrees with the naive one, seed ${seed}`, async (t) => {
    const commands = randomCommands(seed, COMMANDS)
    let difference: string | undefined
    try {
      difference = await runCommands(commands)
    } catch (error) {
      difference = error instanceof Error ? (error.stack ?? error.message) : String(error)
    }
    if (difference !== undefined) {
      const small = await shrink(commands)
      t.comment(`seed ${seed}, shrunk to:\n${small.map((one) => JSON.stringify(one)).join('\n')}`)
    }
    t.is(difference, undefined)
  })
}

test('filesystem model - its commands come to ops of every type', async (t) => {
  const run = new ModelRun()
  t.teardown(() => run.close())
  for (const command of randomCommands(1, 4 * COMMANDS)) await run.step(command)
  const counts = run.opCounts()
  t.is(counts.size, 14)
  for (const [type, count] of counts) t.ok(count >= 10, `${count} of ${type}`)
})
