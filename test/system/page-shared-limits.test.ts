// The page's view of limits shared with other gates, with a real Redis that comes, goes and comes back.

import t, { test } from 'tap'
import { barriers, openBrowser, openTab, shows } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { redisServer } from './redis-server.ts'

t.setTimeout(120_000)

test(
  'the overview tells whether limits of a fleet are leased, by how many gates, and how Redis answers',
  { ...needs('redis-server'), ...needs(CHROMIUM) },
  async (t) => {
    const redis = await redisServer(t)
    const upstream = await echo(t)
    const listener = (scope: string): string =>
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connectionsPerClient: { max: 9, scope: ${scope} } }`
    const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 500ms } }`
    const gate = await startGate(t, [listener('fleet')], {}, top)
    const other = await startGate(t, [listener('fleet')], {}, top)
    const client = await connect(t, gate.port)
    await client.write('hello')
    await client.read(5)
    const { page, complaints } = await openTab(await openBrowser(t), gate.adminPort)
    const card = page.getByRole('region', { name: 'Shared limits' })
    const says = (text: RegExp): Promise<void> => shows(t, card, text)
    await says(new RegExp(`Redis 127\\.0\\.0\\.1:${redis.port} is up`))
    await says(/Limits leased from Redis Gates 2 Leases here 1 /)
    await says(/Requests, last minute [1-9]\d* answered Answers took [\d.]+ ms in the mean Up since/)
    t.same(await barriers(page), [])
    await redis.signal('SIGKILL')
    await says(/ is away Limits each gate enforces its share Gates 2 /)
    await says(/ not .*Away since .*Last problem \S/)
    // In the color of what is odd.
    await shows(t, card.locator('.odd'), /is away each gate enforces its share/)
    t.same(await barriers(page), [])
    await redis.start()
    await says(/ is up Limits leased from Redis .*Up since(?!.*Last problem)/)
    await other.operator.stop()
    await says(/Gates 1 /)
    await gate.reloadText(yamlOf([listener('process')]))
    await card.waitFor({ state: 'detached' })
    t.same(complaints, [])
  },
)
