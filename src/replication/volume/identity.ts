/**
 * The key pair a member is known by. Kept in a file of mode 0600 in the state directory; it never
 * leaves the machine.
 */
import { statSync } from 'node:fs'
import type { KeyPair } from '@hyperswarm/secret-stream'
import crypto from 'hypercore-crypto'
import { type CheckedFormat, readChecked, writeChecked } from '../storage/atomic-file.ts'
import { readObject, readText, ShapeError } from './shape.ts'
import { VolumeError } from './volume-error.ts'

const FORMAT: CheckedFormat<KeyPair> = {
  kind: 'identity',
  version: 1,
  validate: (value) => {
    const from = readObject(value, 'identity', ['publicKey', 'secretKey'])
    const keyPair = {
      publicKey: Buffer.from(readHex(from['publicKey'], 'publicKey', 32), 'hex'),
      secretKey: Buffer.from(readHex(from['secretKey'], 'secretKey', 64), 'hex')
    }
    if (!crypto.validateKeyPair(keyPair)) throw new ShapeError('the two keys are not a pair')
    return keyPair
  }
}

function readHex(value: unknown, what: string, bytes: number): string {
  return readText(value, what, new RegExp(`^[0-9a-f]{${bytes * 2}}$`), bytes * 2)
}

/** Makes a new key pair and writes it to `path`; durable on return. */
export function createIdentity(path: string): KeyPair {
  const keyPair = crypto.keyPair()
  const hex = {
    publicKey: keyPair.publicKey.toString('hex'),
    secretKey: keyPair.secretKey.toString('hex')
  }
  writeChecked<unknown>(path, FORMAT, hex)
  return keyPair
}

/** Throws VolumeError 'not-found' or 'damaged' (also when others may read the file). */
export function loadIdentity(path: string): KeyPair {
  const keyPair = readIdentity(path)
  if (keyPair === undefined) throw new VolumeError('not-found', `${path}: no identity file`)
  const mode = statSync(path).mode & 0o777
  if ((mode & 0o077) !== 0) {
    throw new VolumeError(
      'damaged',
      `${path}: mode ${mode.toString(8)} lets others read the secret key: chmod 600 it`
    )
  }
  return keyPair
}

function readIdentity(path: string): KeyPair | undefined {
  try {
    return readChecked(path, FORMAT)
  } catch (error) {
    throw new VolumeError('damaged', error instanceof Error ? error.message : String(error), {
      cause: error
    })
  }
}
