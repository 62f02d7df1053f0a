// The metrics of limits with `scope: fleet`, in the manner of instruments.ts.

import { Distribution } from './distribution.ts'
import { Counter, Gauge, type Registry } from './prom-client.ts'

/** A Redis in the next rack answers within a millisecond. */
const sharedBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1]
const leaseBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]

export type FleetInstruments = ReturnType<typeof createFleetInstruments>

export function createFleetInstruments(registry: Registry) {
  const registers = [registry]
  return {
    up: new Gauge({
      name: 'sidegate_shared_up',
      help: '1 while limits with scope: fleet are leased from Redis; 0 while it is away and shared.redis.onUnavailable holds.',
      aggregator: 'min',
      registers,
    }),
    gates: new Gauge({
      name: 'sidegate_shared_gates',
      help: 'Gates that share limits, as Redis told last; while it is away each enforces its part of so many.',
      aggregator: 'max',
      registers,
    }),
    requests: new Counter({
      name: 'sidegate_shared_requests_total',
      help: 'Scripts that Redis was asked to run: ok, timeout (no answer within shared.redis.timeout), or error.',
      labelNames: ['result'] as const,
      registers,
    }),
    duration: new Distribution({
      name: 'sidegate_shared_request_duration_seconds',
      help: 'From a batch of requests to Redis to the last of its answers. Nothing on the path waits for it.',
      buckets: sharedBuckets,
      registry,
    }),
    lease: new Distribution({
      name: 'sidegate_shared_lease_seconds',
      help: 'How long the tokens of a lease lasted, until the next were drawn.',
      buckets: leaseBuckets,
      registry,
    }),
  }
}
