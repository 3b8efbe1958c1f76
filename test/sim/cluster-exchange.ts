/** A toy of whole states on their way: an image as text, in parts of a few bytes. */
import { hash } from 'node:crypto'
import type { Slice } from '../../src/fs/op.ts'
import type { Epoch, Ino, Seq, WriterId } from '../../src/fs/primitives.ts'
import type { ReplicaPorts } from '../../src/replication/replica/replica-ports.ts'
import type { StateCopy, StateReceiver } from '../../src/replication/storage/state-exchange.ts'
import type { DiskUser } from './cluster-disk.ts'
import type { Image, Register } from './cluster-state.ts'

const PART_BYTES = 500

interface ImageText {
  readonly epoch: Epoch
  readonly applied: [WriterId, Seq][]
  readonly registers: [Ino, Omit<Register, 'slice'> & { slice?: SliceText }][]
  readonly orphans: Ino[]
}

type SliceText = Omit<Slice, 'sha256'> & { readonly sha256: string }

export class ToyExchange implements Pick<ReplicaPorts['exchange'], keyof ReplicaPorts['exchange']> {
  readonly #user: DiskUser

  constructor(user: DiskUser) {
    this.#user = user
  }

  copyBytesMax(): number {
    return 0
  }

  async copy(): Promise<StateCopy> {
    const { disk, process, random } = this.#user
    const bytes = Buffer.from(textOf(disk.state.newest))
    await process.sleep(random.below(disk.options.syncMaxUs))
    return {
      totalBytes: bytes.length,
      sha256: hash('sha256', bytes, 'buffer'),
      read: async (offset, length) => {
        return bytes.subarray(offset, offset + Math.min(length, PART_BYTES))
      },
      discard: () => {}
    }
  }

  receive(): StateReceiver {
    const { disk, process, random } = this.#user
    const parts: Uint8Array[] = []
    let isWanted = true
    return {
      write: (data) => {
        parts.push(Uint8Array.from(data))
      },
      finish: async (sha256, unfit) => {
        const bytes = Buffer.concat(parts)
        if (!hash('sha256', bytes, 'buffer').equals(sha256)) throw new Error('other bytes')
        const image = imageOf(bytes.toString())
        const reason = unfit(image.position)
        if (reason !== undefined) throw new Error(reason)
        await process.sleep(random.below(disk.options.syncMaxUs * 3))
        if (!isWanted) throw new Error('not wanted any more')
        disk.received = image
        return image.position
      },
      discard: () => {
        isWanted = false
      }
    }
  }
}

function textOf({ position, registers, orphans }: Image): string {
  const text: ImageText = {
    epoch: position.epoch as Epoch,
    applied: [...position.applied],
    registers: [...registers].map(([ino, { slice, ...rest }]) => {
      if (!slice) return [ino, rest]
      const sha256 = Buffer.from(slice.sha256).toString('hex')
      return [ino, { ...rest, slice: { ...slice, sha256 } }]
    }),
    orphans: [...orphans]
  }
  return JSON.stringify(text)
}

function imageOf(text: string): Image {
  const { epoch, applied, registers, orphans } = JSON.parse(text) as ImageText
  const due: Slice[] = []
  const found = registers.map(([ino, { slice, ...rest }]): [Ino, Register] => {
    if (!slice) return [ino, { ...rest, slice: undefined }]
    const whole = { ...slice, sha256: Buffer.from(slice.sha256, 'hex') }
    due.push(whole)
    return [ino, { ...rest, slice: whole }]
  })
  due.sort((a, b) => a.segment - b.segment || a.offset - b.offset)
  return {
    position: { epoch, applied: new Map(applied) },
    registers: new Map(found),
    orphans: new Set(orphans),
    freed: [],
    shelf: new Map(),
    due
  }
}
