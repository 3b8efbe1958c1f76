/**
 * How many requests a second the FUSE layer serves in one thread without a kernel: decode, dispatch,
 * an empty filesystem, encode. Usage: node .../bench/micro/fuse-codec.js [COUNT]
 */
import type { Attr } from '../../src/fs/attr.ts'
import type { Clock } from '../../src/fs/ports/clock.ts'
import type { FuseChannel, FuseChannelEvents } from '../../src/mount/channel/channel.ts'
import { Opcode } from '../../src/mount/fuse/abi.ts'
import { FuseDispatcher } from '../../src/mount/fuse/dispatch.ts'
import { openGate } from '../../src/mount/fuse/gate.ts'
import { uncachedPolicy } from '../../src/mount/fuse/policy.ts'
import {
  initMessage,
  MemoryLogger,
  message,
  readBody,
  strings,
  writeBody
} from '../../test/mount/fuse/kernel-side.ts'
import { NaiveFilesystem } from '../../test/mount/fuse/naive-filesystem.ts'

const count = Number(process.argv[2] ?? 300_000)

class CountingChannel implements FuseChannel {
  readonly kind = 'native'
  events: FuseChannelEvents | undefined
  answered = 0

  start(events: FuseChannelEvents): void {
    this.events = events
  }

  reply(): void {
    this.answered += 1
  }

  async notify(): Promise<boolean> {
    return true
  }
  notifyNow(): boolean {
    return true
  }
  async close(): Promise<void> {}
}

const clock: Clock = {
  wall: () => ({ sec: 0, nsec: 0 }),
  monotonicMs: () => 0,
  setTimer: () => ({ cancel: () => {} })
}

async function measure(name: string, request: Buffer): Promise<void> {
  const fs = new NaiveFilesystem()
  const context = { uid: 0, gid: 0, pid: 1 }
  const attr: Attr = await fs.getattr(context, 1 as Attr['ino'])
  fs.lookup = async () => attr
  fs.write = async (_ctx, _ino, _handle, _offset, data) => data.length
  const channel = new CountingChannel()
  const dispatcher = new FuseDispatcher({
    channel,
    fs,
    policy: uncachedPolicy,
    gate: openGate,
    clock,
    logger: new MemoryLogger(),
    killPending: () => false
  })
  dispatcher.start()
  channel.events?.onRequest(initMessage(), () => {})
  const release = (): void => {}
  const started = performance.now()
  for (let i = 0; i < count; i += 1) {
    request.writeUInt32LE(i * 2, 8)
    channel.events?.onRequest(request, release)
    // As with the kernel: the next request comes when the answer is out.
    if (dispatcher.inFlight > 0) await dispatcher.idle()
  }
  const seconds = (performance.now() - started) / 1000
  const rate = Math.round(count / seconds)
  console.log(`${name.padEnd(12)} ${rate} requests/s  ${((seconds * 1e6) / count).toFixed(2)} us`)
}

const page = Buffer.alloc(4096)
await measure('GETATTR', message(Opcode.GETATTR, Buffer.alloc(16)))
await measure('LOOKUP', message(Opcode.LOOKUP, strings('some-file-name.txt')))
await measure('READ', message(Opcode.READ, readBody(1, 0, 4096)))
await measure('WRITE 4 KiB', message(Opcode.WRITE, writeBody({ handle: 1, offset: 0, data: page })))
