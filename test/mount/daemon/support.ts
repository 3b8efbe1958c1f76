/** What the tests of the daemon shell share. */

import type { Logger } from '../../../src/fs/ports/logger.ts'
import { createLogger } from '../../../src/mount/daemon/log-file.ts'
import type { NodeStatus } from '../../../src/mount/daemon/node-api.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'

export function collectingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = []
  const write = (line: string) => lines.push(line)
  return { logger: createLogger({ write }, { level: 'debug' }), lines }
}

/** Exit code of the UserError that the promise rejects with; -1 when it does not. */
export async function exitCodeOf(promise: Promise<unknown>): Promise<number> {
  try {
    await promise
    return -1
  } catch (error) {
    if (error instanceof UserError) return error.exitCode
    throw error
  }
}

export function exampleStatus(changes: Partial<NodeStatus> = {}): NodeStatus {
  const members = [
    {
      id: 1,
      name: 'alpha',
      role: 'data' as const,
      self: true,
      authority: true,
      live: true,
      inSync: true,
      connection: 'self' as const,
      address: null,
      lag: null,
      roundTripMs: null
    },
    {
      id: 2,
      name: 'beta',
      role: 'data' as const,
      self: false,
      authority: false,
      live: true,
      inSync: false,
      connection: 'connected' as const,
      address: '192.0.2.2:4907',
      lag: { entries: 12, bytes: 3072, seconds: 1.5 },
      roundTripMs: 0.25
    }
  ]
  return {
    version: 1,
    role: 'data',
    phase: 'live',
    volume: { id: 'ab'.repeat(16), name: 'mail' },
    member: { id: 1, name: 'alpha', incarnation: 3 },
    mountPoint: '/srv/mail',
    mounted: true,
    stateDir: '/var/lib/tandemfs/mail',
    pid: 4711,
    uptimeMs: 3_720_000,
    channel: { kind: 'native', reason: null },
    epoch: 4,
    authority: { id: 1, name: 'alpha', reachable: true },
    quorum: {
      voters: [
        { id: 1, name: 'alpha', weight: 2, reachable: true },
        { id: 2, name: 'beta', weight: 1, reachable: false }
      ],
      have: 2,
      need: 2,
      total: 3
    },
    leaseLeftMs: 1200,
    lastFailover: {
      epoch: 4,
      reason: 'beta lost or left',
      durationMs: 2100,
      at: '2026-01-01T00:00:00.000Z'
    },
    catchUp: null,
    members,
    locks: { held: 3, waiting: 1 },
    tokens: { exclusive: 5, notes: 2, waiting: 0 },
    space: { totalBytes: 40 * 2 ** 30, availableBytes: 12.5 * 2 ** 30, inodes: 1234 },
    damage: [],
    warnings: [],
    ...changes
  }
}
