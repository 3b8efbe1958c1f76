import test from 'brittle'
import { FsError } from '../../src/fs/errno.ts'
import type { HandleId } from '../../src/fs/filesystem-api.ts'
import { OpenFiles } from '../../src/fs/open-files.ts'
import type { Ino } from '../../src/fs/primitives.ts'

const A = 10 as Ino
const B = 11 as Ino

function codeOf(run: () => unknown): string {
  try {
    run()
    return 'ok'
  } catch (error) {
    return error instanceof FsError ? error.code : String(error)
  }
}

test('open-files - counts handles of each inode', (t) => {
  const files = new OpenFiles()
  const first = files.open(A, 2, false)
  const second = files.open(A, 0, false)
  files.open(B, 0, true)
  t.not(first, second)
  t.alike(files.openInodes(), [A, B])
  files.close(A, first)
  t.alike(files.openInodes(), [A, B])
  files.close(A, second)
  t.alike(files.openInodes(), [B])
  t.is(files.handleCount, 1)
})

test('open-files - a handle is good for its own inode and once', (t) => {
  const files = new OpenFiles()
  const handle = files.open(A, 2, false)
  t.is(files.get(A, handle).flags, 2)
  t.is(
    codeOf(() => files.get(B, handle)),
    'EBADF'
  )
  t.is(
    codeOf(() => files.close(B, handle)),
    'EBADF'
  )
  files.close(A, handle)
  t.is(
    codeOf(() => files.get(A, handle)),
    'EBADF'
  )
  t.is(
    codeOf(() => files.close(A, 99 as HandleId)),
    'EBADF'
  )
})

test('open-files - closed for good is a promise about later opens', (t) => {
  const files = new OpenFiles()
  const handle = files.open(A, 0, false)
  t.alike(files.closedForGood([A, B]), [B])
  t.is(
    codeOf(() => files.open(B, 0, false)),
    'ESTALE'
  )
  t.is(
    codeOf(() => files.open(A, 0, false)),
    'ok',
    'no promise was given'
  )
  t.ok(files.isClosedForGood(B))
  files.forget(B)
  t.absent(files.isClosedForGood(B))
  files.close(A, handle)
})

test('open-files - poison is for handles open now, not for later ones', (t) => {
  const files = new OpenFiles()
  const old = files.open(A, 0, false)
  files.poisonInode(A)
  files.poisonInode(B)
  const fresh = files.open(A, 0, false)
  t.is(
    codeOf(() => files.get(A, old)),
    'EIO'
  )
  t.is(
    codeOf(() => files.get(A, fresh)),
    'ok'
  )
  files.close(A, old)
})

test('open-files - bytes lost of a file nobody had open are remembered until told, or of no use', (t) => {
  const files = new OpenFiles()
  const isTold = (ino: Ino): boolean => codeOf(() => files.assertTold(ino)) !== 'EIO'
  const handle = files.open(A, 0, false)
  files.poisonData(A)
  t.is(
    codeOf(() => files.get(A, handle)),
    'EIO'
  )
  files.close(A, handle)
  t.ok(isTold(A), 'its handle has told it')
  files.poisonData(B)
  t.absent(isTold(B))
  t.ok(isTold(B), 'once')
  for (const end of [() => files.forget(B), () => files.rewritten(B)]) {
    files.poisonData(B)
    end()
    t.ok(isTold(B))
  }
  for (let ino = 1; ino <= 65_537; ino++) files.poisonData(ino as Ino)
  t.ok(isTold(1 as Ino), 'bounded')
  t.absent(isTold(2 as Ino))
})

test('open-files - closed for good is said for one incarnation', (t) => {
  const files = new OpenFiles()
  t.alike(files.closedForGood([A]), [A])
  t.is(
    codeOf(() => files.open(A, 0, false)),
    'ESTALE'
  )
  // The rename that took its name was cut off with the incarnation: it is a file like any other.
  files.incarnationEnded()
  t.absent(files.isClosedForGood(A))
  files.open(A, 0, false)
  t.is(files.handleCount, 1)
})

test('open-files - handles whose close has nothing to do but to succeed', (t) => {
  const plain = new Set<HandleId>()
  const files = new OpenFiles({
    plain: {
      add: (handle) => plain.add(handle),
      remove: (handle) => plain.delete(handle),
      clear: () => plain.clear()
    }
  })
  const left = (): HandleId[] => [...plain]
  const record = { kind: 'record', owner: 7n } as const
  const first = files.open(A, 2, false)
  const second = files.open(A, 0, false)
  const other = files.open(B, 2, false)
  files.open(B, 0, true)
  t.alike(left(), [first, second, other], 'not a directory')
  files.noteLock(A, first, record)
  t.alike(left(), [other], 'a lock through any handle of the inode')
  const third = files.open(A, 0, false)
  t.alike(left(), [other], 'also for those opened later')
  files.forgetRecordOwner(A, 7n)
  const fourth = files.open(A, 0, false)
  t.alike(left(), [other, fourth], 'until it is given up')
  files.noteLock(A, second, record)
  files.poisonLock({ ino: A, ...record })
  files.close(A, second)
  t.is(
    left().includes(files.open(A, 0, false)),
    false,
    'nor while its owner does not know that it was lost'
  )
  for (const handle of [first, third]) files.close(A, handle)
  t.alike(left(), [other])
  const fresh = files.open(B, 2, false)
  files.poisonHandle(fresh)
  t.alike(left(), [other], 'one that lost something')
  files.poisonInode(B)
  t.alike(left(), [], 'all that did')
  const again = files.open(B, 2, false)
  files.poisonAll()
  t.alike(left(), [])
  const last = files.open(B, 2, false)
  t.alike(left(), [last])
  files.close(B, last)
  t.alike(left(), [], 'closed')
  files.close(B, again)
  files.open(B, 2, false)
  files.incarnationEnded()
  t.alike(left(), [], 'of another incarnation')
})
