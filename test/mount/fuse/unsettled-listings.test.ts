import test from 'brittle'
import type { HandleId } from '../../../src/fs/filesystem-api.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { AnswerRoom } from '../../../src/mount/fuse/answer-room.ts'
import { RequestDecoder } from '../../../src/mount/fuse/decode.ts'
import { ServedRequest } from '../../../src/mount/fuse/served-request.ts'
import { UnsettledListings } from '../../../src/mount/fuse/unsettled-listings.ts'
import { bodyOf, ManualClock, message, readBody, strings, u32, u64 } from './kernel-side.ts'

const D = 5 as Ino
const E = 6 as Ino
const [FIRST, SECOND] = [1 as HandleId, 2 as HandleId]
const READER = 77
const VALID_MS = 1500

function request(opcode: number, body: Uint8Array, pid = READER, nodeid: Ino = E): ServedRequest {
  const decoded = new RequestDecoder().decode(
    message(opcode, body, { pid, nodeid: BigInt(nodeid) })
  )
  if (!decoded.ok) throw new Error(decoded.reason)
  return new ServedRequest(decoded, {
    costBytes: 0,
    startedMs: 0,
    cacheMark: { drops: 0, changes: 0 },
    releaseBuffer: undefined,
    answerRoom: new AnswerRoom({ pageOffset: () => 0 })
  })
}

const listing = { directory: D, handle: FIRST, thread: READER, validMs: VALID_MS }
const getattr = (pid?: number): ServedRequest => request(Opcode.GETATTR, u64(0, 0), pid)
const getxattr = (name: string): ServedRequest => {
  return request(Opcode.GETXATTR, bodyOf(u32(0, 0), strings(name)))
}

function setUp() {
  const clock = new ManualClock()
  const passes: { readonly directory: Ino; readonly done: (error?: Error) => void }[] = []
  const errors: unknown[] = []
  const listings = new UnsettledListings(
    {
      clock,
      passLock: (directory) =>
        new Promise((resolve, reject) => {
          passes.push({ directory, done: (error) => (error ? reject(error) : resolve()) })
        }),
      onSettled: () => {},
      onError: (error) => errors.push(error)
    },
    { listingsMax: 2, silentMs: 50 }
  )
  return { clock, passes, errors, listings }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('unsettled listings - what settles one', (t) => {
  const { listings } = setUp()
  const settledBy = (...requests: ServedRequest[]): boolean => {
    listings.written(listing)
    for (const each of requests) listings.arrived(each)
    const settled = listings.settled(D) === undefined
    listings.arrived(request(Opcode.RELEASEDIR, bodyOf(u64(FIRST), u32(0, 0), u64(0)), 0))
    return settled
  }
  t.ok(settledBy(getattr()), 'its thread asks for something else')
  t.ok(settledBy(request(Opcode.LOOKUP, strings('x'))))
  t.ok(settledBy(getxattr('system.posix_acl_access')))
  t.ok(settledBy(request(Opcode.READDIRPLUS, readBody(FIRST, 7, 4096), 99)), 'more is asked for')
  t.ok(settledBy(request(Opcode.READDIR, readBody(FIRST, 7, 4096), 0)))
  t.ok(settledBy(request(Opcode.RELEASEDIR, bodyOf(u64(FIRST), u32(0, 0), u64(0)), 0)), 'closed')
  t.absent(settledBy(), 'nothing')
  t.absent(settledBy(getattr(READER + 1), getattr(0)), 'another thread')
  t.absent(settledBy(getxattr('security.SMACK64')), 'a security module, while it is taken in')
  t.absent(settledBy(request(Opcode.READ, readBody(9, 0, 4096))), 'the page it is copied to')
  t.absent(settledBy(request(Opcode.READDIR, readBody(SECOND, 7, 4096), 99)), 'another handle')
  t.is(listings.size, 0)
})

test('unsettled listings - one without a thread is settled by its handle only', (t) => {
  const { listings } = setUp()
  listings.written({ ...listing, thread: 0 })
  listings.arrived(getattr(0))
  t.is(listings.size, 1)
  listings.arrived(request(Opcode.READDIR, readBody(FIRST, 7, 4096), 0))
  t.is(listings.size, 0)
})

test('unsettled listings - whoever waits gets the lock of the directory passed', async (t) => {
  const { listings, passes } = setUp()
  listings.written(listing)
  t.is(listings.settled(E), undefined)
  let settled = 0
  const wait = () => listings.settled(D)?.then(() => settled++)
  void wait()
  t.alike(
    passes.map(({ directory }) => directory),
    [D],
    'at once'
  )
  listings.written({ ...listing, handle: SECOND, thread: 78 })
  void wait()
  await turn()
  t.is(passes.length, 1, 'one at a time')
  passes[0]?.done()
  await turn()
  t.is(settled, 1, 'it says nothing of what was written after it began')
  t.is(passes.length, 2)
  passes[1]?.done()
  await turn()
  t.is(settled, 2)
  t.is(listings.size, 0)
})

test('unsettled listings - other evidence ends a wait, too', async (t) => {
  const { listings, passes } = setUp()
  listings.written(listing)
  const settled = listings.settled(D)
  listings.arrived(getattr())
  await settled
  listings.written(listing)
  passes[0]?.done()
  await turn()
  t.is(listings.size, 1, 'the lock that was passed meanwhile is no evidence for the next')
})

test('unsettled listings - of a silent reader they are settled unasked; failures are repeated', async (t) => {
  const { listings, passes, clock, errors } = setUp()
  listings.written(listing)
  clock.advance(49)
  t.is(passes.length, 0)
  clock.advance(1)
  t.is(passes.length, 1)
  passes[0]?.done(new Error('too many notifications'))
  await turn()
  t.is(errors.length, 1)
  t.is(listings.size, 1)
  clock.advance(50)
  passes[1]?.done()
  await turn()
  t.is(listings.size, 0)
  clock.advance(50)
  t.is(clock.timers, 0, 'nothing runs on')
})

test('unsettled listings - bounded', (t) => {
  const { listings } = setUp()
  t.ok(listings.hasRoom(FIRST))
  listings.written(listing)
  t.absent(listings.hasRoom(FIRST), 'one on each handle')
  listings.written({ ...listing, handle: SECOND, directory: E })
  t.absent(listings.hasRoom(3 as HandleId))
  t.alike([...listings.directories()], [D, E])
})
