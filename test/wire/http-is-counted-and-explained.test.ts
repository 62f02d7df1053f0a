import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { parseConfig } from '../../src/config/load.ts'
import { Log } from '../../src/log/log.ts'
import { Operator } from '../../src/operator/operator.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

test('every request is counted by method and code, every connection once, bytes on both sides', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, ({ target }) =>
    target === '/missing' ? 'HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n' : OK,
  )
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  let sent = 0
  let got = 0
  for (const request of [
    get(),
    get(),
    get('/missing'),
    get('/', '', 'PROPFIND'),
    get('/', 'Content-Length: 2\r\n', 'POST') + 'ab',
  ]) {
    sent += request.length
    await client.get(request)
  }
  got = client.wire.bytes
  client.wire.end()
  const { line } = await gate.end()
  t.match(line, {
    protocol: 'http',
    close: 'eof',
    side: 'client',
    phase: 'relay',
    upstream: `127.0.0.1:${upstream.port}`,
    bytesToUpstream: sent,
    sentToClient: got,
  })
  t.equal(line['sentToUpstream'], upstream.connections[0]!.bytes)
  t.equal(line['bytesToClient'], OK.length * 4 + 'HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n'.length)
  const bad = await httpClient(t, gate.port)
  await bad.get(get('/', 'Content-Length: 1\r\nConnection: Host\r\n'))
  bad.wire.end()
  await gate.end(1)
  const metrics = await gate.metrics()
  for (const series of [
    'http_requests_total{listener="l0",method="GET",code="200"} 2',
    'http_requests_total{listener="l0",method="GET",code="404"} 1',
    'http_requests_total{listener="l0",method="other",code="200"} 1',
    'http_requests_total{listener="l0",method="POST",code="200"} 1',
    'http_requests_total{listener="l0",method="GET",code="400"} 1',
    'http_request_duration_seconds_count{listener="l0"} 6',
    'connections_opened_total{listener="l0",protocol="http"} 2',
    'connections_closed_total{listener="l0",protocol="http",side="client",reason="eof"} 1',
    'connections_closed_total{listener="l0",protocol="http",side="client",reason="protocol_error"} 1',
    'connections{listener="l0",protocol="http",side="client"} 0',
    'upstream_connect_duration_seconds_count{listener="l0"} 1',
    `receive_bytes_total{listener="l0",side="upstream"} ${String(line['bytesToClient'])}`,
  ])
    t.ok(metrics.includes(`sidegate_${series}\n`), series)
})

test('with log.requests each request has a line, without its query', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const lines: Array<Record<string, unknown>> = []
  const writer = {
    dropped: 0,
    write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>),
  }
  const config = parseConfig(
    `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlog: { requests: true }\nlisteners: [{ name: l0, address: "127.0.0.1:0", protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { trustForwarded: [private] } }]`,
    'test.yaml',
  )
  const operator = await Operator.start(config, {
    log: new Log({ writer, clock: systemClock }),
    logWriter: writer,
  })
  t.teardown(() => operator.stop())
  const client = await httpClient(t, operator.ports[0]!)
  await client.get(get('/a/b?token=secret', 'X-Forwarded-For: 203.0.113.7\r\n', 'DELETE'))
  const line = await eventually(() => lines.find(({ msg }) => msg === 'request'))
  t.match(line, { listener: 'l0', method: 'DELETE', path: '/a/b', status: 200 })
  t.match(line, { client: '203.0.113.7', peer: /^127\.0\.0\.1:\d+$/ })
  t.equal(typeof line['durationMs'], 'number')
  t.notMatch(JSON.stringify(lines), 'secret')
})
