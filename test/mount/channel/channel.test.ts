import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { NativeChannel } from '../../../src/mount/channel/native-channel.ts'
import { ThreadpoolChannel } from '../../../src/mount/channel/threadpool-channel.ts'
import { findMount } from '../../../src/mount/mounting/mountinfo.ts'
import { mountTiny, run } from './mounts.ts'
import { invalEntry, invalInode, Opcode } from './tiny-responder.ts'

const KINDS = ['native', 'threadpool'] as const
const BUDGET_BYTES = 8 * 1024 * 1024

function openDevices(pid: number | string): string[] {
  const directory = `/proc/${pid}/fd`
  return readdirSync(directory).filter((fd) => {
    try {
      return readlinkSync(join(directory, fd)) === '/dev/fuse'
    } catch {
      return false // the descriptor of this very listing
    }
  })
}

for (const kind of KINDS) {
  test(`${kind} channel - a child sees the mounted root and file`, async (t) => {
    const { path, volume, responder } = await mountTiny(t, { channel: kind })
    t.is(volume.channel.kind, kind)
    const seen = await run('stat', ['-c', '%F %a %i', path, join(path, 'f')])
    t.is(seen.said, 'directory 755 1\nregular empty file 666 2\n')
    const missing = await run('stat', [join(path, 'nothing')])
    t.ok(missing.said.includes('No such file'), missing.said)
    await volume.unmount()
    t.is(await responder.closed, undefined, 'an unmount is an orderly end')
    t.is(findMount(path), undefined)
    await volume.channel.close()
    await volume.channel.close()
    t.alike(openDevices('self'), [], 'the descriptor is closed')
  })

  test(`${kind} channel - the device is close-on-exec`, async (t) => {
    await mountTiny(t, { channel: kind })
    const fds = openDevices('self')
    t.is(fds.length, 1)
    const flags = /flags:\s*([0-7]+)/.exec(readFileSync(`/proc/self/fdinfo/${fds[0]}`, 'utf8'))?.[1]
    t.ok((Number.parseInt(flags ?? '', 8) & 0o2000000) !== 0, `flags ${flags}`)
  })

  test(`${kind} channel - a notification makes the kernel ask again`, async (t) => {
    const { path, volume, responder } = await mountTiny(
      t,
      { channel: kind },
      { attrValidSeconds: 3600 }
    )
    const asked = (): number => responder.opcodes.get(Opcode.GETATTR) ?? 0
    await run('stat', [path])
    const once = asked()
    await run('stat', [path])
    t.is(asked(), once, 'answered from the attribute cache')
    await volume.channel.notify(invalInode(1n))
    await run('stat', [path])
    t.is(asked(), once + 1)
    await volume.channel.notify(invalInode(77n))
    t.pass('an inode the kernel does not know is no error')
    await t.exception(volume.channel.notify(Buffer.alloc(20)), /notify: EINVAL/)
  })

  test(`${kind} channel - many notifications at once all return`, async (t) => {
    const { volume } = await mountTiny(t, { channel: kind })
    const all = Array.from({ length: 500 }, () => volume.channel.notify(invalInode(1n)))
    await Promise.all(all)
    t.pass()
  })

  test(`${kind} channel - a malformed reply is reported, an unknown one is not`, async (t) => {
    const { volume } = await mountTiny(t, { channel: kind })
    await t.exception(() => volume.channel.reply([Buffer.alloc(16)]), /reply: EINVAL/)
    const unknown = Buffer.alloc(16)
    unknown.writeUInt32LE(16, 0)
    unknown.writeBigUInt64LE(0x7777_0000n, 8)
    volume.channel.reply([unknown])
    t.pass('a request nobody waits for')
  })

  test(`${kind} channel - requests held up stay within the memory budget`, async (t) => {
    let held = 0
    let heldMax = 0
    const waiting: (() => void)[] = []
    const onWrite = (payload: Buffer): Promise<void> => {
      held += payload.length
      heldMax = Math.max(heldMax, held)
      return new Promise((resolve) => {
        waiting.push(() => {
          held -= payload.length
          resolve()
        })
        setTimeout(() => waiting.shift()?.(), 5)
      })
    }
    const channelOptions = { budgetBytes: BUDGET_BYTES }
    const { path, volume, responder } = await mountTiny(
      t,
      { channel: kind, channelOptions },
      { onWrite }
    )
    const fileSizeBytes = 128 * 1024 * 1024
    responder.fileSizeBytes = fileSizeBytes // inside the file the kernel lets writers run at once
    const writers = Array.from({ length: 16 }, (_, i) =>
      run('dd', [
        'if=/dev/zero',
        `of=${path}/f`,
        'bs=1M',
        'count=8',
        `seek=${i * 8}`,
        'conv=notrunc',
        'status=none'
      ])
    )
    for (const { status, said } of await Promise.all(writers)) t.is(status, 0, said)
    t.is(responder.fileSizeBytes, fileSizeBytes)
    t.is(responder.opcodes.get(Opcode.WRITE), 128)
    t.ok(heldMax > 2 * 1024 * 1024, `${heldMax} bytes held at once`)
    t.ok(heldMax <= BUDGET_BYTES, `${heldMax} bytes held at once`)
    const { channel } = volume
    if (channel instanceof NativeChannel || channel instanceof ThreadpoolChannel) {
      t.ok(channel.heldBytes <= BUDGET_BYTES)
    }
  })

  test(`${kind} channel - closing without unmounting ends the connection`, async (t) => {
    const { path, volume } = await mountTiny(t, { channel: kind })
    await volume.channel.close()
    t.alike(openDevices('self'), [])
    const mounted = findMount(path) !== undefined
    t.comment(`mount point ${mounted ? 'still there' : 'gone'}`)
    if (mounted) {
      const { said } = await run('stat', [path])
      t.ok(/not connected|aborted/i.test(said), said)
    }
    await volume.unmount({ lazy: true })
    t.is(findMount(path), undefined)
    await volume.unmount()
    t.pass('unmounting what is gone does nothing')
  })

  test(`${kind} channel - closing frees a process whose request is unanswered`, async (t) => {
    const { path, volume, responder } = await mountTiny(
      t,
      { channel: kind },
      { onWrite: () => new Promise(() => {}) }
    )
    const writer = run('dd', ['if=/dev/zero', `of=${path}/f`, 'bs=4k', 'count=1', 'conv=notrunc'])
    while (!responder.opcodes.has(Opcode.WRITE)) await turn()
    await volume.channel.close()
    const { status } = await writer
    t.not(status, 0)
  })

  test(`${kind} channel - a notification that blocks keeps nobody else waiting`, async (t) => {
    const { path, volume, responder } = await mountTiny(
      t,
      { channel: kind, channelOptions: { closeWaitMs: 200 } },
      { unanswered: [Opcode.MKDIR] }
    )
    const maker = run('mkdir', [join(path, 'new')])
    while (!responder.opcodes.has(Opcode.MKDIR)) await turn()
    // The kernel holds the directory's lock for MKDIR, and the notification wants it.
    let settled = false
    const blocked = volume.channel.notify(invalEntry(1n, 'new')).finally(() => {
      settled = true
    })
    const ended = blocked.then(
      () => 'resolved',
      (error: Error) => error.message
    )
    const before = responder.opcodes.get(Opcode.GETATTR) ?? 0
    t.is((await run('stat', ['-c', '%i', path])).said, '1\n')
    t.ok((responder.opcodes.get(Opcode.GETATTR) ?? 0) > before)
    t.is(settled, false, 'still in the kernel')
    await volume.channel.close()
    t.comment(await ended)
    t.ok((await maker).status !== 0, 'the blocked process got an error')
    t.alike(openDevices('self'), [])
  })
}

test('native channel - statistics count the requests', async (t) => {
  const { path, volume } = await mountTiny(t, { channel: 'native', channelOptions: { spinUs: 0 } })
  await run('stat', [path])
  if (!(volume.channel instanceof NativeChannel)) throw new Error('not the native channel')
  const statistics = volume.channel.statistics()
  t.ok(statistics.requests >= 2, 'INIT and GETATTR')
  t.is(statistics.spinHits + statistics.spinMisses, 0, 'spinning is off')
})

const STATS = 2000
const STAT_SCRIPT = `for (let i = 0; i < ${STATS}; i++) require("fs").statSync(process.argv[1])`

test('native channel - the next request is looked out for', async (t) => {
  const options = { spinUs: 0, lookUs: 10_000, batch: 16 }
  const { path, volume } = await mountTiny(t, { channel: 'native', channelOptions: options })
  if (!(volume.channel instanceof NativeChannel)) throw new Error('not the native channel')
  let ended = false
  const client = run(process.execPath, ['-e', STAT_SCRIPT, path]).finally(() => {
    ended = true
  })
  let before = volume.channel.statistics().requests
  let most = 0
  while (!ended) {
    await turn()
    const { requests } = volume.channel.statistics()
    most = Math.max(most, requests - before)
    before = requests
  }
  t.is((await client).status, 0)
  const { requests, lookoutHits, lookoutMisses } = volume.channel.statistics()
  t.ok(requests >= STATS, `${requests} requests`)
  t.ok(lookoutHits + lookoutMisses > 0, `${lookoutHits} of them were waited for`)
  t.ok(most <= 16, `at most ${most} in a turn of the loop`)
})

test('native channel - where nothing comes soon, little is looked for', async (t) => {
  const options = { spinUs: 0, lookUs: 10_000 }
  const { path, volume } = await mountTiny(t, { channel: 'native', channelOptions: options })
  if (!(volume.channel instanceof NativeChannel)) throw new Error('not the native channel')
  for (let i = 0; i < 3; i++) {
    await run('stat', [path])
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const { requests, lookoutMisses } = volume.channel.statistics()
  t.ok(lookoutMisses <= requests / 4, `${lookoutMisses} looks in vain, ${requests} requests`)
})

test('native channel - nothing is looked for where that is off', async (t) => {
  const options = { lookUs: 0 }
  const { path, volume } = await mountTiny(t, { channel: 'native', channelOptions: options })
  if (!(volume.channel instanceof NativeChannel)) throw new Error('not the native channel')
  t.is((await run(process.execPath, ['-e', STAT_SCRIPT, path])).status, 0)
  const { requests, lookoutHits, lookoutMisses } = volume.channel.statistics()
  t.ok(requests >= STATS)
  t.is(lookoutHits + lookoutMisses, 0)
})

test('native channel - timers and immediates run while it spins', async (t) => {
  const { path } = await mountTiny(t, {
    channel: 'native',
    channelOptions: { spinUs: 10_000, lookUs: 0 }
  })
  let busy = true
  const client = run(process.execPath, ['-e', STAT_SCRIPT, path]).finally(() => {
    busy = false
  })
  let turns = 0
  while (busy) {
    await turn()
    turns++
  }
  t.is((await client).status, 0)
  t.ok(turns > 2000, `${turns} turns of the loop`)
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
