import test from 'brittle'
import { RequestsInFlight } from '../../../src/mount/fuse/requests-in-flight.ts'
import type { ServedRequest } from '../../../src/mount/fuse/served-request.ts'

function request(key: number): ServedRequest {
  return { key } as unknown as ServedRequest
}

test('requests in flight - found by their unique, also those that meet in one slot', (t) => {
  const requests = new RequestsInFlight()
  const keys = [2, 2 + 512, 2 + 1024, 4, 2 ** 33 + 2, 2 ** 52]
  const all = keys.map(request)
  for (const each of all) requests.add(each)
  t.is(requests.size, keys.length)
  t.alike(
    keys.map((key) => requests.get(key)),
    all
  )
  t.is(requests.get(6), undefined)
  t.is(requests.get(2 + 1536), undefined, 'a slot that is taken by others')
  t.alike(new Set(requests.all()), new Set(all))
})

test('requests in flight - each is taken out once, whichever of its slot came first', (t) => {
  const requests = new RequestsInFlight()
  const first = request(2)
  const second = request(2 + 512)
  requests.add(first)
  requests.add(second)
  requests.remove(first)
  t.is(requests.get(2), undefined)
  t.is(requests.get(2 + 512), second)
  const third = request(2 + 1024)
  requests.add(third)
  requests.remove(first)
  t.is(requests.size, 2, 'what is not there is not counted')
  t.is(requests.get(2 + 1024), third)
  requests.remove(second)
  requests.remove(third)
  t.is(requests.size, 0)
  t.alike(requests.all(), [])
})
