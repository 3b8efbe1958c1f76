/** Loaded only when it was asked for: a member with static addresses knows nothing of a DHT. */
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { AlternativeRoute } from '../../replication/transport/connections.ts'
import type { OpenedVolume } from '../../replication/volume/open-volume.ts'

export async function discoveryRoute(
  volume: OpenedVolume,
  clock: Clock,
  logger: Logger
): Promise<AlternativeRoute | undefined> {
  const { discovery } = volume.settings
  if (!discovery) return undefined
  const { DhtRoute } = await import('../../replication/transport/discovery.ts')
  const { volumeId } = volume.record
  const { bootstrap } = discovery
  return new DhtRoute({ keyPair: volume.keyPair, clock, logger }, { volumeId, bootstrap })
}
