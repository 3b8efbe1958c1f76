import test from 'brittle'
import { Turns } from '../../src/replication/turns.ts'
import { HandClock } from './replica/support.ts'

/** How many steps each turn has had, of so many in all. */
async function stepsOfTurns(costMs: number, steps: number): Promise<number[]> {
  const clock = new HandClock()
  const turns = new Turns(clock)
  const counts = [0]
  for (let i = 0; i < steps; i++) {
    clock.advance(costMs)
    counts.push((counts.pop() ?? 0) + 1)
    if (!turns.isOver()) continue
    const next = turns.pause()
    clock.advance(0)
    await next
    counts.push(0)
  }
  return counts
}

test('turns - over after a few milliseconds', async (t) => {
  t.alike(await stepsOfTurns(3, 10), [4, 4, 2])
  t.alike(await stepsOfTurns(50, 3), [1, 1, 1, 0], 'a long step is a turn of its own')
})

test('turns - over after many steps, where the clock stands still', async (t) => {
  t.alike(await stepsOfTurns(0, 130), [64, 64, 2])
})
