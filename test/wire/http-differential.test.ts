// The same exchange through a gate and through http-proxy-3 behind Node's http.Server: the service must get
// the same request, and the client the same answer, except for the differences named here.

import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { createProxyServer } from 'http-proxy-3'
import { compare, exchanges } from '../support/exchanges.ts'
import type { Differences } from '../support/exchanges.ts'
import { startGate } from '../support/gate.ts'
import { watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const differences: Differences = {
  /**
   * Connection and the framing of the body belong to each hop; the gate writes X-Forwarded-* and Sidegate-Hops; TE (but for trailers) and Keep-Alive end at a hop,
   * and http-proxy-3 passes them on.
   */
  request:
    /^(connection|transfer-encoding|content-length|x-forwarded-.*|sidegate-hops|te|keep-alive|proxy-.*|upgrade)$/,
  /** Node adds Date and Keep-Alive where the service sent none. */
  answer: /^(connection|transfer-encoding|content-length|date|keep-alive)$/,
}

async function baseline(t: Test, target: string): Promise<number> {
  const proxy = createProxyServer({ target, xfwd: false })
  const server = http.createServer((incoming, response) => {
    proxy.web(incoming, response)
  })
  proxy.on('error', (_error, _incoming, response) => void (response as http.ServerResponse).destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

test('a gate and http-proxy-3 make the same of any exchange, but for what is named', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const both = await exchanges(t, differences)
  const { port } = both.upstream
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${port}"`])
  await compare(both, { ours: gate.port, theirs: await baseline(t, `http://127.0.0.1:${port}`) }, 200)
  t.same(both.upstream.problems, [])
})
