import { test } from 'tap'
import type http from 'node:http'
import { nodeHttp } from '../../src/core/node-http.ts'
import { parseConfig } from '../../src/config/load.ts'
import { Sweep, systemClock } from '../../src/core/clock.ts'
import { LiveValue } from '../../src/core/live.ts'
import { silentObserver } from '../../src/core/connection.ts'
import { deadlinesOf, httpOptions, upstreamOptions } from '../../src/gate/options.ts'
import { calm } from '../../src/core/strain.ts'
import { HttpFront } from '../../src/exchange/serve.ts'
import { Names, systemNames } from '../../src/upstream/names.ts'
import { Upstream } from '../../src/upstream/upstream.ts'

test("Node's own timer for a head stays ten seconds behind deadlines.handshake, also when a reload changes that", async (t) => {
  const servers: http.Server[] = []
  const { createServer } = nodeHttp
  nodeHttp.createServer = ((...args: Parameters<typeof createServer>) => {
    const server = createServer(...args)
    servers.push(server)
    return server
  }) as typeof createServer
  t.teardown(() => (nodeHttp.createServer = createServer))
  const { listeners } = parseConfig('listeners: [{ address: ":1", protocol: http, upstream: "127.0.0.1:2", deadlines: { handshake: 5s } }]', 'f')
  const config = listeners[0]!
  const deadlines = new LiveValue(deadlinesOf(config))
  const sweep = new Sweep(systemClock)
  const upstream = new Upstream(upstreamOptions(config, deadlines, null), { clock: systemClock, sweep, random: Math.random, names: new Names(systemNames, systemClock, Math.random), connections: [], observer: { onHealthCheck() {}, onTurned() {}, onResolved() {} } })
  const context = { clock: systemClock, sweep, random: Math.random, strain: calm(), observer: silentObserver, onClosed() {}, onExchange() {}, leaving: () => null }
  const front = new HttpFront(httpOptions(config, deadlines), context, upstream, () => {})
  t.teardown(() => front.close())
  t.equal(servers[0]!.headersTimeout, 15_000)
  deadlines.set({ ...deadlines.current, handshakeMs: 60_000 })
  front.retime()
  t.equal(servers[0]!.headersTimeout, 70_000)
  deadlines.set({ ...deadlines.current, handshakeMs: Number.POSITIVE_INFINITY })
  front.retime()
  t.equal(servers[0]!.headersTimeout, 0, 'off')
})
