import test from 'brittle'
import { EffectQueue } from '../../src/replication/effect-queue.ts'

test('effect queue - effects of a step within an effect follow those given before', (t) => {
  const seen: string[] = []
  const queue = new EffectQueue<string>((effect) => {
    seen.push(`${effect} begins`)
    if (effect === 'a') queue.run(['c', 'd'])
    seen.push(`${effect} ends`)
  })
  queue.run(['a', 'b'])
  const order = ['a', 'b', 'c', 'd'].flatMap((name) => [`${name} begins`, `${name} ends`])
  t.alike(seen, order)
})

test('effect queue - after an error the rest is carried out by the next call', (t) => {
  const seen: number[] = []
  const queue = new EffectQueue<number>((effect) => {
    if (effect === 0) throw new Error('zero')
    seen.push(effect)
  })
  t.exception(() => queue.run([1, 0, 2]), /zero/)
  t.alike(seen, [1])
  queue.run([3])
  t.alike(seen, [1, 2, 3])
})

test('effect queue - cleared', (t) => {
  const seen: number[] = []
  const queue = new EffectQueue<number>((effect) => {
    if (effect === 1) queue.clear()
    seen.push(effect)
  })
  queue.run([1, 2])
  queue.run([3])
  t.alike(seen, [1, 3])
})
