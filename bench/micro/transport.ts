/**
 * Two members in two processes over loopback TCP: round trip of a control message idle and beside
 * a busy bulk connection, and the rate of the bulk connection. Prints one line a figure.
 */
import { fork } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import NoiseSecretStream from '@hyperswarm/secret-stream'
import type { Clock } from '../../src/fs/ports/clock.ts'
import type { Logger } from '../../src/fs/ports/logger.ts'
import type { Epoch, MemberId } from '../../src/fs/primitives.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import { Connections } from '../../src/replication/transport/connections.ts'
import type { PeerConnection } from '../../src/replication/transport/peer-connection.ts'

const MIB = 1024 * 1024
const TOTAL_MIB = Number(process.env['BENCH_MIB'] ?? 1024)
const ECHO = 1
const SLICE = 2
const REPORT = 3

const clock: Clock = {
  wall: () => ({ sec: Math.floor(Date.now() / 1000), nsec: 0 }),
  monotonicMs: () => performance.now(),
  setTimer: (delayMs, fn) => {
    const timer = setTimeout(fn, delayMs)
    return { cancel: () => clearTimeout(timer) }
  }
}

const logger: Logger = {
  debug() {},
  info() {},
  warn: (fields, message) => console.error(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => logger
}

const keyPairs = [1, 2].map((id) => NoiseSecretStream.keyPair(Buffer.alloc(32, id)))

function recordWith(port: number): EpochRecord {
  return {
    version: 1,
    volumeId: '00'.repeat(16),
    volumeName: 'bench',
    epoch: 1 as Epoch,
    authority: 1 as MemberId,
    members: keyPairs.map((keyPair, index) => ({
      id: (index + 1) as MemberId,
      name: `node${index + 1}`,
      publicKey: keyPair.publicKey.toString('hex'),
      addresses: index === 0 ? [`127.0.0.1:${port}`] : [],
      role: 'data'
    })),
    live: [],
    inSync: [],
    writers: [],
    history: [],
    forgotten: 0,
    lastWriters: [],
    voters: [[1 as MemberId, 1]],
    votersBefore: [[1 as MemberId, 1]],
    nextMemberId: 3,
    removedKeys: []
  }
}

type OnMessage = (from: PeerConnection, type: number, payload: Uint8Array) => void

async function member(id: number, port: number, onMessage: OnMessage): Promise<Connections> {
  const keyPair = keyPairs[id - 1]
  if (!keyPair) throw new Error('no key pair')
  const connections = new Connections(
    {
      keyPair,
      record: () => recordWith(port),
      clock,
      logger,
      random: Math.random,
      handlers: { onConnection() {}, onClose() {}, onLogStream() {}, onRemoved() {}, onMessage }
    },
    { self: id as MemberId, listen: { host: '127.0.0.1', port: id === 1 ? port : 0 } }
  )
  await connections.start()
  return connections
}

async function get(of: Connections, peer: number, kind: 'control' | 'bulk') {
  for (;;) {
    const connection = of.get(peer as MemberId, kind)
    if (connection) return connection
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function quantiles(sample: number[]): string {
  sample.sort((a, b) => a - b)
  const at = (q: number) => (sample[Math.floor(sample.length * q)] ?? 0).toFixed(3)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, n ${sample.length}`
}

async function answering(port: number): Promise<void> {
  let bytes = 0
  await member(2, port, (from, type, payload) => {
    if (type === ECHO) from.send(ECHO, [payload])
    if (type === SLICE) bytes += payload.length
    if (type === SLICE && bytes === TOTAL_MIB * MIB) {
      bytes = 0
      const { user, system } = process.cpuUsage()
      from.send(REPORT, [Buffer.from(String((user + system) / 1000))])
    }
  })
  process.on('disconnect', () => process.exit(0))
}

async function measuring(port: number): Promise<void> {
  let onEcho = () => {}
  let onReport: (cpuMs: number) => void = () => {}
  const connections = await member(1, port, (_from, type, payload) => {
    if (type === ECHO) onEcho()
    if (type === REPORT) onReport(Number(Buffer.from(payload).toString()))
  })
  const child = fork(fileURLToPath(import.meta.url), [String(port)])
  const control = await get(connections, 2, 'control')
  const bulk = await get(connections, 2, 'bulk')
  const ping = async (payload: Buffer) => {
    const begin = performance.now()
    const answered = new Promise<void>((resolve) => {
      onEcho = resolve
    })
    control.send(ECHO, [payload])
    await answered
    return performance.now() - begin
  }
  const idle = async (sizeBytes: number, rounds: number) => {
    const payload = Buffer.alloc(sizeBytes)
    for (let i = 0; i < 200; i++) await ping(payload)
    const sample: number[] = []
    for (let i = 0; i < rounds; i++) sample.push(await ping(payload))
    console.log(`control round trip, ${sizeBytes} bytes, idle: ${quantiles(sample)}`)
  }
  await idle(100, 5000)
  await idle(64 * 1024, 1000)

  for (const sizeBytes of [128 * 1024, MIB]) {
    const sample: number[] = []
    let busy = true
    const pinging = (async () => {
      while (busy) sample.push(await ping(Buffer.alloc(100)))
    })()
    const cpuBefore = process.cpuUsage()
    const begin = performance.now()
    const reported = new Promise<number>((resolve) => {
      onReport = resolve
    })
    const slice = Buffer.alloc(sizeBytes, 7)
    for (let sent = 0; sent < TOTAL_MIB * MIB; sent += sizeBytes) {
      if (!bulk.send(SLICE, [slice])) await bulk.drained()
    }
    await reported
    const seconds = (performance.now() - begin) / 1000
    busy = false
    await pinging
    const { user, system } = process.cpuUsage(cpuBefore)
    const rate = (TOTAL_MIB * 1.048576) / seconds
    const cpu = ((user + system) / 1000 / (TOTAL_MIB * 1.048576)).toFixed(2)
    console.log(
      `bulk, ${sizeBytes / 1024} KiB messages: ${rate.toFixed(0)} MB/s, sender ${cpu} CPU ms/MB`
    )
    console.log(`control round trip beside it: ${quantiles(sample)}`)
  }
  child.disconnect()
  await connections.stop()
}

const port = Number(process.argv[2] ?? 0)
if (port > 0) await answering(port)
else await measuring(40_000 + Math.floor(Math.random() * 10_000))
