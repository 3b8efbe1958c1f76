import { join } from 'node:path'
import test from 'brittle'
import Corestore from 'corestore'
import HypercoreStorage from 'hypercore-storage'
import { freePorts, TestVolume, until } from './members.ts'

test('log stream - a hypercore replicates over it, again after a lost connection', async (t) => {
  const base = await t.tmp()
  const volume = new TestVolume(await freePorts(2))
  const [a, b] = [volume.member(0), volume.member(1)]
  const stores = [
    new Corestore(new HypercoreStorage(join(base, 'a'))),
    new Corestore(new HypercoreStorage(join(base, 'b')))
  ] as const
  await Promise.all([a.connections.start(), b.connections.start()])
  const core = stores[0].get({ name: 'own' })
  await core.ready()
  const copy = stores[1].get({ key: core.key })
  await copy.ready()
  copy.download({ start: 0, end: -1, linear: true })
  let attached = 0
  const attach = async () => {
    await until(
      'log streams',
      () => a.logStreams.length > attached && b.logStreams.length > attached
    )
    const [atA, atB] = [a.logStreams[attached]?.stream, b.logStreams[attached]?.stream]
    if (!atA || !atB) throw new Error('no streams')
    stores[0].replicate(atA)
    stores[1].replicate(atB)
    attached += 1
    return atA
  }
  const stream = await attach()
  await core.append([Buffer.alloc(1000, 1), Buffer.alloc(1024 * 1024, 2)])
  await until('two blocks', () => copy.contiguousLength === 2)
  stream.destroy()
  await core.append([Buffer.alloc(1000, 3)])
  await attach()
  await until('the third block', () => copy.contiguousLength === 3)
  t.is((await copy.get(2))?.length, 1000)
  await volume.stop()
  await Promise.all(stores.map((store) => store.close()))
})
