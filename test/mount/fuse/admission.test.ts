import test from 'brittle'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { Admission } from '../../../src/mount/fuse/admission.ts'
import { AnswerRoom } from '../../../src/mount/fuse/answer-room.ts'
import { RequestDecoder } from '../../../src/mount/fuse/decode.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { ServedRequest } from '../../../src/mount/fuse/served-request.ts'
import { message } from './kernel-side.ts'

let unique = 0n

function costing(costBytes: number): ServedRequest {
  unique += 2n
  const decoded = new RequestDecoder().decode(message(Opcode.STATFS, Buffer.alloc(0), { unique }))
  if (!decoded.ok) throw new Error(decoded.reason)
  return new ServedRequest(decoded, {
    costBytes,
    startedMs: 0,
    cacheMark: uncachedPolicy.mark(),
    releaseBuffer: undefined,
    answerRoom: new AnswerRoom({ pageOffset: () => 0 })
  })
}

test('admission - a bound on the number, in order of arrival', (t) => {
  const admission = new Admission({ servingMax: 2, servingMaxBytes: 1000, waitingMax: 2 })
  const [a, b, c, d, e] = [costing(0), costing(0), costing(0), costing(0), costing(0)] as const
  t.alike(
    [a, b, c, d, e].map((request) => admission.admit(request)),
    ['serve', 'serve', 'wait', 'wait', 'refuse']
  )
  t.alike(admission.settle(a), [c])
  t.ok(admission.remove(d))
  t.absent(admission.remove(d))
  t.alike(admission.settle(b), [])
  t.alike(admission.settle(c), [])
  t.is(admission.serving, 0)
  t.is(admission.waiting, 0)
})

test('admission - requests waiting for bytes do not hold up small ones', (t) => {
  const admission = new Admission({ servingMax: 10, servingMaxBytes: 100_000, waitingMax: 10 })
  const [a, b, c] = [costing(90_000), costing(20_000), costing(5000)] as const
  t.is(admission.admit(a), 'serve')
  t.is(admission.admit(b), 'wait')
  t.is(admission.admit(c), 'wait', 'behind b, though it would fit')
  t.is(admission.admit(costing(100)), 'serve')
  t.is(admission.servingBytes, 90_100)
  t.alike(admission.settle(a), [b, c])
})

test('admission - one request alone always fits', (t) => {
  const admission = new Admission({ servingMax: 10, servingMaxBytes: 5000, waitingMax: 10 })
  t.is(admission.admit(costing(1_000_000)), 'serve')
})
