import test from 'brittle'
import { FsError } from '../../../src/fs/errno.ts'
import type { MemberId } from '../../../src/fs/primitives.ts'
import { ClusterSpace } from '../../../src/replication/replica/cluster-space.ts'

const MIB = 1024 * 1024
const B = 2 as MemberId
const TOTAL = 1000 * MIB
/** A tenth of the disk. */
const RESERVE = 100 * MIB

class Desk {
  readonly space: ClusterSpace
  available: number
  asked = 0
  nowMs = 0

  constructor(available: number) {
    this.available = available
    this.space = new ClusterSpace({
      local: () => {
        this.asked++
        return { totalBytes: TOTAL, availableBytes: this.available }
      },
      nowMs: () => this.nowMs
    })
  }

  takes(bytes: number): boolean {
    try {
      this.space.assertRoom(bytes)
      return true
    } catch (error) {
      if (error instanceof FsError && error.code === 'ENOSPC') return false
      throw error
    }
  }
}

test('cluster space - data stops at the reserve, names at half of it', (t) => {
  const desk = new Desk(RESERVE + MIB)
  t.ok(desk.takes(MIB))
  desk.available = RESERVE
  desk.nowMs += 1000
  t.absent(desk.takes(MIB))
  t.absent(desk.takes(64 * 1024), 'small data is data')
  t.ok(desk.takes(4096), 'a name')
  desk.available = RESERVE / 2
  desk.nowMs += 1000
  t.absent(desk.takes(4096))
  desk.available = RESERVE * 2
  desk.nowMs += 1000
  t.ok(desk.takes(MIB), 'it recovers when space returns')
})

test('cluster space - small data counts twice, it stands in the journal as well', (t) => {
  const small = 64 * 1024
  t.absent(new Desk(RESERVE + small * 2 - 1).takes(small))
  t.ok(new Desk(RESERVE + small * 2).takes(small))
  t.ok(new Desk(RESERVE + small + 1).takes(small + 1), 'large data goes to its segment alone')
})

test('cluster space - what was written since the last look counts', (t) => {
  const desk = new Desk(RESERVE + 1.5 * MIB)
  t.ok(desk.takes(MIB))
  t.absent(desk.takes(MIB), 'the disk was not asked again yet')
  t.is(desk.asked, 1)
  desk.nowMs += 50
  t.ok(desk.takes(MIB))
  t.is(desk.asked, 2)
  t.absent(desk.takes(4 * MIB))
  t.is(desk.asked, 3, 'much data: asked at once')
})

test('cluster space - the fullest member decides', (t) => {
  const desk = new Desk(800 * MIB)
  desk.space.heard(B, { totalBytes: TOTAL, availableBytes: RESERVE + MIB })
  t.alike(desk.space.space(), { totalBytes: TOTAL, availableBytes: MIB })
  t.ok(desk.takes(MIB))
  t.absent(desk.takes(MIB), 'what it gets from here fills its disk too')
  t.is(desk.space.space().availableBytes, 0)
  desk.space.heard(B, { totalBytes: TOTAL, availableBytes: RESERVE + 2 * MIB })
  t.ok(desk.takes(2 * MIB))
  t.absent(desk.takes(MIB))
  desk.space.keepOnly([])
  t.ok(desk.takes(MIB), 'who is out of the record does not count')
})

test('cluster space - short when the reserve is near', (t) => {
  const desk = new Desk(3 * RESERVE)
  t.is(desk.space.isShort, false)
  desk.nowMs += 50
  desk.available--
  t.is(desk.space.isShort, true)
  t.is(desk.space.local.availableBytes, 3 * RESERVE - 1)
})

test('cluster space - room on the own disk is what is there beside the reserve', (t) => {
  const desk = new Desk(RESERVE + 50 * MIB)
  desk.space.heard(B, { totalBytes: TOTAL, availableBytes: 0 })
  t.ok(desk.space.hasLocalRoom(50 * MIB))
  t.absent(desk.space.hasLocalRoom(50 * MIB + 1))
})
