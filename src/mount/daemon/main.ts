/** Entry point of the daemon process; `tandemfs mount` starts it. */
import { setFlagsFromString } from 'node:v8'
import { composeNode } from './compose.ts'
import { runDaemon } from './run-daemon.ts'

// Before the heap has grown: it is to grow by this much over what lives, not to several times that.
setFlagsFromString('--heap-growing-percent=40')

await runDaemon(composeNode, process.argv.slice(2))
