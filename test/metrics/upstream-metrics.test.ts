import { test } from 'tap'
import { Registry } from 'prom-client'
import { UpstreamMetrics } from '../../src/metrics/upstream-metrics.ts'
import { readSamples } from './samples.ts'

test('addresses and names are counted by their state; those of a listener that is gone leave no series', async (t) => {
  const registry = new Registry()
  const metrics = new UpstreamMetrics(registry)
  const none = { unknown: 0, healthy: 0, unhealthy: 0, gone: 0 }
  const names = { resolved: 1, stale: 2, absent: 3, unresolved: 4 }
  metrics.show([
    { listener: 'a', targets: { unknown: 1, healthy: 2, unhealthy: 3, gone: 5 }, gone: [], names, queued: 4 },
    { listener: 'b', targets: none, gone: [], names: null, queued: 0 },
  ])
  const first = readSamples(await registry.metrics())
  t.same(
    ['unknown', 'healthy', 'unhealthy', 'gone'].map((state) =>
      first.get('sidegate_upstream_targets', { listener: 'a', state }),
    ),
    [1, 2, 3, 5],
  )
  t.same(
    Object.keys(names).map((state) => first.get('sidegate_upstream_names', { listener: 'a', state })),
    [1, 2, 3, 4],
  )
  t.equal(first.count('sidegate_upstream_names', { listener: 'b' }), 0, 'it has no names')
  t.same(
    [
      first.get('sidegate_upstream_queued', { listener: 'a' }),
      first.get('sidegate_upstream_queued', { listener: 'b' }),
    ],
    [4, 0],
  )
  metrics.show([{ listener: 'b', targets: { ...none, unknown: 1 }, gone: [], names: null, queued: 0 }])
  const second = readSamples(await registry.metrics())
  t.same(
    [
      second.count('sidegate_upstream_targets', { listener: 'a' }) +
        second.count('sidegate_upstream_names', { listener: 'a' }),
      second.count('sidegate_upstream_queued', { listener: 'a' }),
    ],
    [0, 0],
  )
  t.equal(second.get('sidegate_upstream_targets', { listener: 'b', state: 'unknown' }), 1)
})

test('health checks stand at 0 where there are any, and count by their result', async (t) => {
  const registry = new Registry()
  const metrics = new UpstreamMetrics(registry)
  metrics.announceHealthChecks('a')
  metrics.onHealthCheck('a', true)
  metrics.onHealthCheck('a', true)
  const samples = readSamples(await registry.metrics())
  t.same(
    ['passed', 'failed'].map((result) =>
      samples.get('sidegate_upstream_health_checks_total', { listener: 'a', result }),
    ),
    [2, 0],
  )
  t.equal(samples.count('sidegate_upstream_health_checks_total', { listener: 'b' }), 0)
})
