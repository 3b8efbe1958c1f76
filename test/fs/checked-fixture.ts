/** A filesystem that is checked at the end of its test, and what tests of it do all the time. */
import type { Test } from 'brittle'
import { checkState } from '../../src/fs/check.ts'
import type { FilesystemOptions } from '../../src/fs/filesystem.ts'
import type { HandleId } from '../../src/fs/filesystem-api.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { type Fixture, name, openFixture, root } from './fixture.ts'

export const O_RDWR_CREAT = 0o102
export const NO_FLAGS = { noReplace: false, exchange: false }
export const PLAIN = { append: false, killSuidGid: false }
export const APPEND = { append: true, killSuidGid: false }

/** Closed at the end of the test, which fails when the state is not sound or a token is kept. */
export async function openChecked(t: Test, options: FilesystemOptions = {}): Promise<Fixture> {
  const fixture = openFixture(await t.tmp(), options)
  t.teardown(() => {
    const problems = checkState(fixture.state)
    fixture.state.close()
    if (problems.length > 0) throw new Error(problems.join('; '))
    if (fixture.tokens.held !== 0) throw new Error(`${fixture.tokens.held} guards not released`)
  })
  return fixture
}

/** An empty file, open. */
export async function makeFile(
  { fs }: Fixture,
  text: string,
  parent: Ino = ROOT_INO
): Promise<{ ino: Ino; handle: HandleId }> {
  const { attr, handle } = await fs.create(root, parent, name(text), 0o644, O_RDWR_CREAT)
  return { ino: attr.ino, handle }
}

export async function readText({ fs }: Fixture, ino: Ino, handle: HandleId): Promise<string> {
  return Buffer.from(await fs.read(root, ino, handle, 0, 1 << 20)).toString('latin1')
}

export function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
