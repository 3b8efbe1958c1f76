import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import type { Epoch } from '../../../src/fs/primitives.ts'
import { sha256 } from '../../../src/replication/storage/segment-store.ts'
import { installReceived, StateExchange } from '../../../src/replication/storage/state-exchange.ts'

const POSITION = { epoch: 3 as Epoch, applied: new Map() }
const FITS = (): undefined => undefined

function exchange(directory: string, adopted: string[] = []) {
  const state = join(directory, 'state.db')
  const parts = {
    directory: { state },
    copyTo: async (file: string) => {
      writeFileSync(file, 'the whole state')
      return { bytes: 15, sha256: sha256(Buffer.from('the whole state')) }
    },
    adopt: async (file: string) => {
      adopted.push(readFileSync(file, 'utf8'))
      return POSITION
    }
  }
  return { state, exchange: new StateExchange(parts) }
}

test('state exchange - a copy is read in parts and leaves no file', async (t) => {
  const directory = await t.tmp()
  const copy = await exchange(directory).exchange.copy()
  t.is(copy.totalBytes, 15)
  t.alike(readdirSync(directory), [])
  t.is((await copy.read(4, 5)).toString(), 'whole')
  t.is((await copy.read(10, 100)).toString(), 'state')
  copy.discard()
})

test('state exchange - what is whole and fits is put in place by the next start', async (t) => {
  const adopted: string[] = []
  const { state, exchange: states } = exchange(await t.tmp(), adopted)
  writeFileSync(state, 'empty')
  for (const suffix of ['-wal', '-shm', '-sums'])
    writeFileSync(`${state}${suffix}`, 'of the old one')
  const receiver = states.receive()
  for (const text of ['the ', 'whole ', 'state']) receiver.write(Buffer.from(text))
  t.alike(await receiver.finish(sha256(Buffer.from('the whole state')), FITS), POSITION)
  t.alike(adopted, ['the whole state'])
  t.is(readFileSync(state, 'utf8'), 'empty', 'not while the old one is open')
  t.ok(installReceived(state))
  t.is(readFileSync(state, 'utf8'), 'the whole state')
  for (const suffix of ['-wal', '-shm', '-sums']) t.absent(existsSync(`${state}${suffix}`), suffix)
  t.absent(installReceived(state), 'once')
})

test('state exchange - other bytes, an unfit state and an unwanted one leave nothing', async (t) => {
  const directory = await t.tmp()
  const { state, exchange: states } = exchange(directory)
  const sum = sha256(Buffer.from('the whole state'))
  const end = async (text: string, unfit: () => string | undefined, isWanted = true) => {
    const receiver = states.receive()
    receiver.write(Buffer.from(text))
    const finished = receiver.finish(sum, unfit)
    if (!isWanted) receiver.discard()
    return await finished.then(
      () => 'taken',
      (error: Error) => error.message
    )
  }
  t.is(await end('another state', FITS), 'its bytes differ from its sha256')
  t.is(await end('the whole state', () => 'it is too old'), 'it is too old')
  t.not(await end('the whole state', FITS, false), 'taken', 'not wanted any more')
  t.alike(readdirSync(directory), [])
  t.absent(installReceived(state))
})

test('state exchange - what a crash left is removed, never opened', async (t) => {
  const directory = await t.tmp()
  const { state, exchange: states } = exchange(directory)
  states.receive().write(Buffer.from('the who'))
  for (const left of ['.copy-1', '.incoming-wal']) writeFileSync(`${state}${left}`, 'left')
  t.absent(installReceived(state))
  t.alike(readdirSync(directory), [])
})
