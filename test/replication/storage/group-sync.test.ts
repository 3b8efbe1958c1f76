import test from 'brittle'
import { GroupSync } from '../../../src/replication/storage/group-sync.ts'

test('group sync - one run at a time, later callers share the next', async (t) => {
  let running = 0
  let runs = 0
  const group = new GroupSync(async () => {
    runs++
    t.is(++running, 1)
    await new Promise((resolve) => setImmediate(resolve))
    running--
  })
  const first = group.request()
  const others = [group.request(), group.request(), group.request()]
  await first
  t.is(runs, 2, 'the next one has begun')
  await Promise.all(others)
  t.is(runs, 2)
  await group.request()
  t.is(runs, 3)
  t.absent(group.running)
})

test('group sync - a failure reaches its callers only', async (t) => {
  let fail = true
  const group = new GroupSync(async () => {
    if (fail) {
      fail = false
      throw new Error('broken')
    }
  })
  const first = group.request()
  const second = group.request()
  await t.exception(first, /broken/)
  await second
  await group.idle()
  t.pass()
})
