/**
 * Rates of a bare FUSE channel (no filesystem behind it): getattr and 4 KiB direct writes by one
 * child, for each channel, with and without spinning, and the CPU time the daemon side spent.
 *
 *   node dist/bench/micro/fuse-channel.js [SECONDS]
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NativeChannel } from '../../src/mount/channel/native-channel.ts'
import { type ChannelKind, mountVolume } from '../../src/mount/mounting/mount-volume.ts'
import { serveTiny } from '../../test/mount/channel/tiny-responder.ts'

const seconds = Number(process.argv[2] ?? 2)

const CLIENTS: Readonly<Record<string, string>> = {
  getattr: `
    const end = Date.now() + MS; let n = 0
    while (Date.now() < end) { fs.statSync(path); n++ }`,
  'write 4 KiB': `
    const fd = fs.openSync(path + '/f', 'w'), data = Buffer.alloc(4096)
    const end = Date.now() + MS; let n = 0
    while (Date.now() < end) { fs.writeSync(fd, data, 0, 4096, 0); n++ }`,
  'getattr each 1 ms': `
    const end = Date.now() + MS; let n = 0; const lock = new Int32Array(new SharedArrayBuffer(4))
    while (Date.now() < end) { fs.statSync(path); n++; Atomics.wait(lock, 0, 0, 1) }`
}

interface Setting {
  readonly name: string
  readonly channel: ChannelKind
  readonly spinUs: number
}

const SETTINGS: readonly Setting[] = [
  { name: 'native, spin 50 us', channel: 'native', spinUs: 50 },
  { name: 'native, no spin', channel: 'native', spinUs: 0 },
  { name: 'threadpool', channel: 'threadpool', spinUs: 0 }
]

/** The child counts its own requests; resolves to requests per second. */
function runClient(script: string, path: string): Promise<number> {
  const source = `const fs = require('fs'), path = ${JSON.stringify(path)}, MS = ${seconds * 1000}
    ${script}
    console.log(n)`
  const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => {
      if (status === 0) resolve(Number(said) / seconds)
      else reject(new Error(`client ended with ${status}`))
    })
  })
}

for (const setting of SETTINGS) {
  const mountPoint = mkdtempSync(join(tmpdir(), 'tandemfs-bench-'))
  const mounted = await mountVolume({
    mountPoint,
    source: 'bench',
    channel: setting.channel,
    channelOptions: { spinUs: setting.spinUs }
  })
  const responder = serveTiny(mounted.channel)
  await responder.initialised
  try {
    for (const [client, script] of Object.entries(CLIENTS)) {
      const before = process.cpuUsage()
      const rate = await runClient(script, mountPoint)
      const used = process.cpuUsage(before)
      const cpu = (used.user + used.system) / 1e6 / seconds
      const line = `${setting.name.padEnd(20)} ${client.padEnd(18)}`
      console.log(
        `${line} ${rate.toFixed(0).padStart(8)}/s  daemon CPU ${(cpu * 100).toFixed(0)} %`
      )
      if (mounted.channel instanceof NativeChannel) {
        console.log(JSON.stringify(mounted.channel.statistics()))
      }
    }
  } finally {
    await mounted.unmount({ lazy: true })
    await mounted.channel.close()
    rmdirSync(mountPoint)
  }
}
