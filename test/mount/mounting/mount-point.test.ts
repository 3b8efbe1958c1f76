import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { MountError } from '../../../src/mount/mounting/mount-error.ts'
import { prepareMountPoint } from '../../../src/mount/mounting/mount-point.ts'
import { freshMountPoint, run } from '../channel/mounts.ts'

async function refusal(attempt: Promise<unknown>): Promise<MountError | undefined> {
  try {
    await attempt
  } catch (error) {
    if (error instanceof MountError) return error
    throw error
  }
  return undefined
}

test('mount point - what cannot be mounted on is said in one line', async (t) => {
  const root = await t.tmp()
  const path = (name: string): string => join(root, name)
  for (const name of ['full', 'state', 'state/inner', 'sibling']) mkdirSync(path(name))
  writeFileSync(path('full/file'), 'x')
  writeFileSync(path('file'), 'x')
  symlinkSync('nowhere', path('dangling'))
  symlinkSync('file', path('to-file'))
  symlinkSync('loop', path('loop'))
  const stateDirectory = path('state')
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['missing', 'not-found', /missing: does not exist: create/],
    ['missing/deeper', 'not-found', /does not exist/],
    ['dangling', 'not-found', /symbolic link to nothing/],
    ['file', 'not-directory', /file: not a directory: choose/],
    ['to-file', 'not-directory', /not a directory/],
    ['file/below', 'not-directory', /not a directory/],
    ['loop', 'failed', /ELOOP/],
    ['full', 'not-empty', /full: not empty: choose/],
    ['state', 'inside-state-directory', /inside the state directory/],
    ['state/inner', 'inside-state-directory', /inside the state directory/]
  ]
  for (const [name, code, message] of cases) {
    const error = await refusal(prepareMountPoint(path(name), { stateDirectory }))
    t.is(error?.code, code, name)
    t.ok(error !== undefined && message.test(error.message), `${error?.message}`)
    t.absent(error?.message.includes('\n'))
  }
  t.is(await prepareMountPoint(path('sibling'), { stateDirectory }), path('sibling'))
  t.is((await refusal(prepareMountPoint('/proc')))?.code, 'already-mounted')
  t.is((await refusal(prepareMountPoint('/')))?.code, 'already-mounted')
})

test('mount point - a link and a relative path lead to the real directory', async (t) => {
  const root = await t.tmp()
  mkdirSync(join(root, 'real'))
  symlinkSync('real', join(root, 'link'))
  t.is(await prepareMountPoint(join(root, 'link')), join(root, 'real'))
  t.is(await prepareMountPoint(`${root}/real/../real/`), join(root, 'real'))
})

test('mount point - another filesystem on it is left alone', async (t) => {
  const path = await freshMountPoint(t)
  const mounted = await run('mount', ['-t', 'tmpfs', 'other', path])
  t.is(mounted.status, 0, mounted.said)
  const error = await refusal(prepareMountPoint(path))
  t.is(error?.code, 'already-mounted')
  t.ok(error?.message.includes('tmpfs of other'), error?.message)
})
