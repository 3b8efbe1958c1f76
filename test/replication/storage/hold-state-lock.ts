/** Child of the state directory tests: takes the lock, says so, and holds it until it is killed. */
import { StateDirectory } from '../../../src/replication/storage/state-directory.ts'

new StateDirectory(process.argv[2] ?? '').lock()
process.stdout.write('locked\n')
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
