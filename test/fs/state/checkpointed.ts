/** A state with its checkpointer, and commits to be checkpointed. */
import type { Test } from 'brittle'
import type { Epoch, Ino, Seq } from '../../../src/fs/primitives.ts'
import { Checkpointer, type CheckpointerOptions } from '../../../src/fs/state/checkpointer.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import type { StateStore } from '../../../src/fs/state/state-store.ts'
import { name, WRITER } from '../fixture.ts'

/** More than one commit makes. */
const FILES_MAX = 1000

/** Makes `count` files as the entry `seq`, and commits. */
export function commitFiles(state: StateStore, seq: number, count = 100): void {
  for (let i = seq * FILES_MAX; i < seq * FILES_MAX + count; i++) {
    state.apply({
      type: 'create',
      parent: 1 as Ino,
      name: name(`name-${i}`),
      ino: (2 ** 45 + i) as Ino,
      mode: 0o100644,
      uid: 0,
      gid: 0,
      rdev: 0,
      target: new Uint8Array(0),
      cookie: 3 + i,
      time: { sec: 1, nsec: 1 }
    })
  }
  state.commit({ epoch: 1 as Epoch, applied: new Map([[WRITER, seq as Seq]]) })
}

export interface Checkpointed {
  readonly directory: string
  readonly state: StateStore
  readonly checkpointer: Checkpointer
}

/** Closed at the end of the test. */
export async function openCheckpointed(
  t: Test,
  options: CheckpointerOptions = {}
): Promise<Checkpointed> {
  const directory = await t.tmp()
  const state = openState(directory)
  const checkpointer = new Checkpointer({ state }, options)
  t.teardown(() => state.close(), { order: 2 })
  t.teardown(() => checkpointer.close(), { order: 1 })
  return { directory, state, checkpointer }
}
