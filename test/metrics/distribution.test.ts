import { test } from 'tap'
import { createRequire } from 'node:module'
import type * as PromClient from 'prom-client'
import { Distribution } from '../../src/metrics/distribution.ts'
import { Registry } from '../../src/metrics/prom-client.ts'

const { Histogram } = createRequire(import.meta.url)('prom-client') as typeof PromClient

const about = { name: 'seconds', help: 'How long.' }
const buckets = [0.1, 1, 5]

/** The lines of a registry, whose order within a pair of braces means nothing. */
const shown = async (registry: Registry): Promise<string[]> =>
  (await registry.metrics())
    .trim()
    .split('\n')
    .map((line) =>
      line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(',').toSorted().join(',')}}`),
    )

test('it shows what a histogram of prom-client shows', async (t) => {
  const [ours, theirs] = [new Registry(), new Registry()]
  const labelNames = ['listener', 'protocol'] as const
  const distribution = new Distribution({ ...about, labelNames, buckets, registry: ours })
  const histogram = new Histogram({ ...about, labelNames, buckets, registers: [theirs] })
  const standing = { listener: 'idle', protocol: 'tcp' }
  distribution.zero(standing)
  histogram.zero(standing)
  for (const protocol of ['http', 'tcp', 'http'])
    for (const value of [0, 0.1, 0.11, 1, 4.9, 5, 5.1, 1000]) {
      distribution.observe({ listener: 'app', protocol }, value)
      histogram.observe({ listener: 'app', protocol }, value)
    }
  t.strictSame(await shown(ours), await shown(theirs))
})

test('one without labels stands from the start', async (t) => {
  const [ours, theirs] = [new Registry(), new Registry()]
  const distribution = new Distribution({ ...about, buckets, registry: ours })
  const histogram = new Histogram({ ...about, buckets, registers: [theirs] })
  t.strictSame(await shown(ours), await shown(theirs))
  distribution.observe({}, 2)
  histogram.observe(2)
  t.strictSame(await shown(ours), await shown(theirs))
})

test('zero leaves what was counted', async (t) => {
  const registry = new Registry()
  const distribution = new Distribution({ ...about, labelNames: ['listener'], buckets, registry })
  distribution.observe({ listener: 'app' }, 2)
  distribution.zero({ listener: 'app' })
  t.match(await registry.metrics(), 'seconds_sum{listener="app"} 2')
})
