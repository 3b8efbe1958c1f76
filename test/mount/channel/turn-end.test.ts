import test from 'brittle'
import { TurnEnd } from '../../../src/mount/channel/turn-end.ts'

test('turn end - during a batch work waits for its end, in order, without what was cancelled', async (t) => {
  const turnEnd = new TurnEnd()
  const done: string[] = []
  turnEnd.bytes[0] = 1
  turnEnd.defer(() => {
    done.push('first')
    turnEnd.defer(() => done.push('put off at the end'))
  })
  turnEnd.defer(() => done.push('cancelled')).cancel()
  turnEnd.defer(() => done.push('second'))
  t.is(turnEnd.bytes[1], 1, 'the reader is told')
  await new Promise<void>((resolve) => setImmediate(resolve))
  t.alike(done, [])
  turnEnd.end()
  t.alike(done, ['first', 'second'])
  turnEnd.end()
  t.alike(done, ['first', 'second', 'put off at the end'])
})

test('turn end - outside a batch it is the end of the event-loop turn', async (t) => {
  const turnEnd = new TurnEnd()
  const done: string[] = []
  turnEnd.defer(() => done.push('work'))
  turnEnd.defer(() => done.push('cancelled')).cancel()
  t.is(turnEnd.bytes[1], 0)
  await new Promise<void>((resolve) => setImmediate(resolve))
  t.alike(done, ['work'])
})
