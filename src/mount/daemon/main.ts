/** Entry point of the daemon process; `tandemfs mount` and `tandemfs witness` start it. */
import { setFlagsFromString } from 'node:v8'
import type { ComposeNode } from './node-api.ts'
import { runDaemon } from './run-daemon.ts'

// Before the heap has grown: it is to grow by this much over what lives, not to several times that.
setFlagsFromString('--heap-growing-percent=100')

const compose: ComposeNode = process.argv.includes('--witness')
  ? (await import('./compose-witness.ts')).composeWitness
  : (await import('./compose.ts')).composeNode

await runDaemon(compose, process.argv.slice(2))
