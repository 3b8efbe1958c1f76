/** Entry point of the daemon process; `tandemfs mount` starts it. */
import { composeNode } from './compose.ts'
import { runDaemon } from './run-daemon.ts'

await runDaemon(composeNode, process.argv.slice(2))
