/**
 * A real daemon process around a node that only behaves as the file `behave` in its state directory
 * says: the shell's tests are about the process, not about the volume.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { ComposeNode } from '../../../src/mount/daemon/node-api.ts'
import { runDaemon } from '../../../src/mount/daemon/run-daemon.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'
import { exampleStatus } from './support.ts'

const composeFake: ComposeNode = ({ logger }, { stateDir, mountPoint, source, settings }) => {
  const behave = readFileSync(path.join(stateDir, 'behave'), 'utf8')
  const parts = { what: `mount ${mountPoint}`, why: 'the fake says so', remedy: 'do not ask it' }
  let onFatal: (error: Error) => void = () => {}
  let onUnmounted: () => void = () => {}
  let breakOff: (error: Error) => void = () => {}
  let stops = 0
  if (behave === 'throw-in-compose') throw new Error('composing failed')
  return {
    start: async () => {
      const mayCollect = globalThis.gc !== undefined
      logger.info({ source, settings, cwd: process.cwd(), mayCollect }, 'fake started')
      process.stderr.write('raw output\n')
      if (behave === 'fail') throw new UserError('damaged', parts)
      if (behave === 'fault') throw new TypeError('a fault in start')
      if (behave === 'address-in-use') {
        throw Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' })
      }
      if (behave === 'exit') process.exit(77)
      if (behave === 'kill') process.kill(process.pid, 'SIGKILL')
      if (behave === 'hang') {
        await new Promise((_, reject) => {
          breakOff = reject
        })
      }
      if (behave === 'fatal') setTimeout(() => onFatal(new Error('disk gone')), 50)
      if (behave === 'uncaught') {
        setTimeout(() => {
          throw new Error('nobody catches')
        }, 50)
      }
      if (behave === 'rejection') setTimeout(() => void Promise.reject(new Error('lost')), 50)
      if (behave === 'unmounted') setTimeout(() => onUnmounted(), 50)
    },
    status: () => exampleStatus({ mountPoint, stateDir, pid: process.pid }),
    locks: () => {
      const base = { version: 1 as const, volume: 'mail', member: 'alpha', mountPoint }
      return Promise.resolve({ ...base, locks: [], omitted: 0, silent: [] })
    },
    stop: async (reason, { lazy }) => {
      stops += 1
      breakOff(new Error('broken off'))
      if (behave === 'busy' && !lazy) {
        throw Object.assign(new Error('EBUSY: in use'), { code: 'EBUSY' })
      }
      if (behave === 'stop-fails') throw new Error('cannot stop')
      writeFileSync(path.join(stateDir, 'stopped'), `${reason} ${lazy} ${stops}`)
    },
    settings,
    setTieBreaker: () => Promise.resolve(),
    configure: () => Promise.resolve(),
    invite: () => Promise.resolve('tandemfs1-fake'),
    removeMember: () => Promise.resolve(),
    onFatal: (callback) => {
      onFatal = callback
    },
    onUnmounted: (callback) => {
      onUnmounted = callback
    }
  }
}

await runDaemon(composeFake, process.argv.slice(2))
