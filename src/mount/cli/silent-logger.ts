/** Commands answer with their result or one error line; what happens on the way is not logged. */
import type { Logger } from '../../fs/ports/logger.ts'

export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger
}
