import { test } from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { parseConfig } from '../../src/config/load.ts'
import { Log } from '../../src/log/log.ts'
import { Operator } from '../../src/operator/operator.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
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

interface Logging {
  port: number
  requests: () => Array<Record<string, unknown>>
  all: () => string
}

/** A gate with `log.requests` in front of a service. */
async function logging(t: Test, port: number, keys = ''): Promise<Logging> {
  const lines: Array<Record<string, unknown>> = []
  const writer = {
    dropped: 0,
    write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>),
  }
  const config = parseConfig(
    `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlog: { requests: true }\nlisteners: [{ name: l0, address: "127.0.0.1:0", protocol: http, upstream: "127.0.0.1:${port}", http: { trustForwarded: [private], h2c: on }${keys} }]`,
    'test.yaml',
  )
  const operator = await Operator.start(config, {
    log: new Log({ writer, clock: systemClock }),
    logWriter: writer,
  })
  t.teardown(() => operator.stop())
  return {
    port: operator.ports[0]!,
    requests: () => lines.filter(({ msg }) => msg === 'request'),
    all: () => JSON.stringify(lines),
  }
}

test('with log.requests each request has a line, without its query', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await logging(t, upstream.port)
  const client = await httpClient(t, gate.port)
  await client.get(get('/a/b?token=secret', 'X-Forwarded-For: 203.0.113.7\r\n', 'DELETE'))
  const line = await eventually(() => gate.requests()[0])
  t.match(line, { listener: 'l0', method: 'DELETE', path: '/a/b', status: 200, close: undefined })
  t.match(line, { client: '203.0.113.7', peer: /^127\.0\.0\.1:\d+$/ })
  t.equal(typeof line['durationMs'], 'number')
  t.notMatch(gate.all(), 'secret')
})

test('the line of a request has no user information and no fragment, in whatever form of target they come', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await logging(t, upstream.port)
  for (const [target, path] of [
    ['http://u:secret@a/x?secret', 'http://a/x'],
    ['http://u:secret@a', 'http://a'],
    ['u:secret@a:443', 'a:443'],
    ['/x#secret', '/x'],
    ['/u:p@a/x', '/u:p@a/x'],
    ['http://a/u@b', 'http://a/u@b'],
  ] as const) {
    const client = await httpClient(t, gate.port)
    const before = gate.requests().length
    await client.get(get(target, '', path === 'a:443' ? 'CONNECT' : 'GET'))
    t.match(await eventually(() => gate.requests()[before]), { path })
  }
  t.notMatch(gate.all(), 'secret')
})

test('the line of a request whose answer is cut, or is ours, says why', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, async ({ wire, target }) => {
    if (target === '/never') return undefined
    await wire.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
    wire.reset()
    return undefined
  })
  const gate = await logging(t, upstream.port, ', deadlines: { response: 100ms }')
  const session = await h2Connect(t, gate.port)
  const ways = {
    'HTTP/1.1': async (path: string) => {
      const client = await httpClient(t, gate.port)
      await client.send(get(path))
      await client.wire.closed
    },
    'HTTP/2': (path: string) => h2Ask(session, { ':path': path }),
  }
  for (const [name, ask] of Object.entries(ways))
    for (const [path, why] of [
      ['/never', { status: 504, close: 'response_timeout', side: 'upstream' }],
      ['/cut', { status: 200, close: 'reset', side: 'upstream' }],
    ] as const) {
      const before = gate.requests().length
      await ask(path)
      t.match(await eventually(() => gate.requests()[before]), { path, ...why }, name)
    }
})
