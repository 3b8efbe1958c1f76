import test from 'brittle'
import {
  AclTag,
  encodeAcl,
  inheritedAcl,
  isMinimal,
  modeOfAcl,
  parseAcl,
  withMode
} from '../../src/fs/acl.ts'

const NONE = 0xffffffff

/** tag:perm or tag:perm:id */
function list(...entries: (readonly [number, number, number?])[]): Buffer {
  return encodeAcl(entries.map(([tag, perm, id]) => ({ tag, perm, id: id ?? NONE })))
}

const { USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER } = AclTag
const minimal = list([USER_OBJ, 7], [GROUP_OBJ, 5], [OTHER, 0])
const full = list([USER_OBJ, 7], [USER, 6, 9], [GROUP_OBJ, 5], [GROUP, 7, 3], [MASK, 6], [OTHER, 1])

test('acl - golden bytes of a list, and back', (t) => {
  const bytes = '02000000 01000700ffffffff 0200060009000000 04000500ffffffff 0800070003000000'
  const rest = '10000600ffffffff 20000100ffffffff'
  t.is(full.toString('hex'), `${bytes}${rest}`.replaceAll(' ', ''))
  t.alike(encodeAcl(parseAcl(full) ?? []), full)
})

test('acl - what is no list is refused', (t) => {
  const bad: readonly (readonly [string, Buffer])[] = [
    ['empty', Buffer.alloc(0)],
    ['version', Buffer.from('01000000', 'hex')],
    ['half an entry', minimal.subarray(0, 10)],
    ['no others', list([USER_OBJ, 7], [GROUP_OBJ, 5])],
    ['two owners', list([USER_OBJ, 7], [USER_OBJ, 7], [GROUP_OBJ, 5], [OTHER, 0])],
    ['named without mask', list([USER_OBJ, 7], [USER, 7, 1], [GROUP_OBJ, 5], [OTHER, 0])],
    ['order', list([GROUP_OBJ, 5], [USER_OBJ, 7], [OTHER, 0])],
    ['bits', list([USER_OBJ, 8], [GROUP_OBJ, 5], [OTHER, 0])],
    ['tag', list([USER_OBJ, 7], [3, 1], [GROUP_OBJ, 5], [MASK, 7], [OTHER, 0])],
    ['nobody', list([USER_OBJ, 7], [USER, 7, NONE], [GROUP_OBJ, 5], [MASK, 7], [OTHER, 0])],
    ['too long', Buffer.concat([Buffer.from('02000000', 'hex'), Buffer.alloc(4096)])]
  ]
  for (const [what, bytes] of bad) t.is(parseAcl(bytes), undefined, what)
  t.alike(parseAcl(Buffer.from('02000000', 'hex')), [], 'a list of nobody: to have none')
})

test('acl - mode and list go together', (t) => {
  const small = parseAcl(minimal) ?? []
  const large = parseAcl(full) ?? []
  t.ok(isMinimal(small))
  t.absent(isMinimal(large))
  t.is(modeOfAcl(small), 0o750)
  t.is(modeOfAcl(large), 0o761, 'the mask stands in the place of the group')
  t.is(modeOfAcl(withMode(large, 0o104)), 0o104)
  t.is(withMode(large, 0o104)[2]?.perm, 5, 'the group keeps what the mask hides')
  t.is(modeOfAcl(inheritedAcl(large, 0o640)), 0o640)
  t.is(modeOfAcl(inheritedAcl(large, 0o666)), 0o660)
  t.is(modeOfAcl(inheritedAcl(small, 0o777)), 0o750)
})
