import root, { test } from 'tap'
import type { Test } from 'tap'
import { connect as connectHttp2, createSecureServer, createServer } from 'node:http2'
import type { Http2Server, ServerHttp2Stream } from 'node:http2'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import type tls from 'node:tls'
import { authority } from '../support/certificates.ts'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { echoBack, tlsConnect, tlsUpstream } from '../support/tls-peers.ts'
import type { TlsUpstream } from '../support/tls-peers.ts'

root.setTimeout(120_000)
/** One for all tests: openssl takes longer than they do. */
const ca = authority(root)
const app = ca.issue('app')

const listenerTls = (keys: string): string => `tls: { cert: "${app.cert}", key: "${app.key}" ${keys} }`
const upstreamTls = (port: number, keys = ''): string =>
  `upstream: { addresses: ["localhost:${port}"], tls: { ca: "${ca.cert}" ${keys} } }`

/** Sends the name of the protocol negotiated with it, then echoes. */
function namingUpstream(t: Test, protocols: string[] | undefined): Promise<TlsUpstream> {
  const name = (wire: Parameters<typeof echoBack>[0]): void => {
    void wire.write(`${String((wire.socket as tls.TLSSocket).alpnProtocol)}\n`)
    echoBack(wire)
  }
  return tlsUpstream(
    t,
    app,
    name,
    protocols === undefined ? { ALPNProtocols: undefined } : { ALPNProtocols: protocols },
  )
}

test('what a client chooses by ALPN is what the upstream is offered, and nothing else', async (t) => {
  watchLeaks(t)
  const upstream = await namingUpstream(t, ['http/1.1', 'h2', 'mqtt'])
  const gate = await startGate(t, [
    `protocol: tcp, ${listenerTls(', alpn: [h2, mqtt]')}, ${upstreamTls(upstream.port, ', alpn: [http/1.1]')}`,
  ])
  for (const [nth, [offered, chosen]] of [
    [['mqtt', 'h2'], 'h2'],
    [['x', 'mqtt'], 'mqtt'],
  ].entries() as unknown as Iterable<[number, [string[], string]]>) {
    const client = await tlsConnect(t, gate.port, { ca: ca.cert, options: { ALPNProtocols: offered } })
    t.equal(client.tls.alpnProtocol, chosen)
    t.equal((await client.readUntil('\n')).toString(), `${chosen}\n`)
    client.end()
    t.match((await gate.end(nth)).line, { close: 'eof', alpn: chosen })
  }
  const silent = await tlsConnect(t, gate.port, { ca: ca.cert })
  t.equal(
    (await silent.readUntil('\n')).toString(),
    'http/1.1\n',
    'of who chooses nothing upstream.tls.alpn speaks',
  )
})

test('a client that wants none of tls.alpn is told so by an alert; one that says nothing is let in', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, ${listenerTls(', alpn: [h2]')}, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  await t.rejects(tlsConnect(t, gate.port, { ca: ca.cert, options: { ALPNProtocols: ['x'] } }), {
    code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
  })
  const client = await tlsConnect(t, gate.port, { ca: ca.cert })
  void client.write('x')
  t.equal((await client.read(1)).toString(), 'x')
})

test('an upstream that speaks no ALPN is served what its client chose; one that refuses it is connect_failed', async (t) => {
  watchLeaks(t)
  const silent = await namingUpstream(t, undefined)
  const stubborn = await namingUpstream(t, ['other'])
  const gate = await startGate(
    t,
    [silent, stubborn].map(
      ({ port }) => `protocol: tcp, ${listenerTls(', alpn: [h2]')}, ${upstreamTls(port)}`,
    ),
  )
  const client = await tlsConnect(t, gate.port, { ca: ca.cert, options: { ALPNProtocols: ['h2'] } })
  t.equal((await client.readUntil('\n')).toString(), 'false\n')
  client.end()
  await gate.end()
  const other = await tlsConnect(t, gate.ports[1]!, { ca: ca.cert, options: { ALPNProtocols: ['h2'] } })
  await within(other.closed)
  t.match(await gate.end(1), {
    reason: 'connect_failed',
    side: 'upstream',
    detail: /NO_APPLICATION_PROTOCOL/,
  })
})

test('from a client in the clear the upstream is offered upstream.tls.alpn, and without that nothing', async (t) => {
  watchLeaks(t)
  const upstream = await namingUpstream(t, ['h2', 'mqtt'])
  const gate = await startGate(t, [
    `protocol: tcp, ${upstreamTls(upstream.port, ', alpn: [mqtt]')}`,
    `protocol: tcp, ${upstreamTls(upstream.port)}`,
  ])
  for (const [port, named] of [
    [gate.port, 'mqtt\n'],
    [gate.ports[1]!, 'false\n'],
  ] as const) {
    const client = await connect(t, port)
    t.equal((await client.readUntil('\n')).toString(), named)
  }
})

test('HTTP/2 goes through a tcp listener over TLS, to an upstream behind TLS', async (t) => {
  watchLeaks(t)
  const server = createServer()
  const secure = createSecureServer({
    cert: readFileSync(app.cert),
    key: readFileSync(app.key),
    allowHTTP1: false,
  })
  for (const one of [server, secure] as Http2Server[]) {
    one.on('stream', (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 200 })
      stream.pipe(stream)
    })
    one.listen(0, '127.0.0.1')
    await once(one, 'listening')
    t.teardown(() => new Promise((resolve) => one.close(resolve)))
  }
  const portOf = (one: { address(): unknown }): number => (one.address() as AddressInfo).port
  const gate = await startGate(t, [
    `protocol: tcp, ${listenerTls(', alpn: [h2]')}, ${upstreamTls(portOf(secure))}`,
    `protocol: tcp, ${listenerTls(', alpn: [h2]')}, upstream: "127.0.0.1:${portOf(server)}"`,
  ])
  for (const port of gate.ports) {
    const session = connectHttp2(`https://localhost:${port}`, { ca: readFileSync(ca.cert) })
    const stream = session.request({ ':method': 'POST', ':path': '/' })
    stream.end('hello')
    let body = ''
    for await (const chunk of stream) body += String(chunk)
    t.equal(body, 'hello')
    await new Promise<void>((resolve) => session.close(() => resolve()))
  }
  t.match((await gate.end()).line, { alpn: 'h2' })
  await gate.end(1)
})

test('a reload changes what is offered to new clients, and open connections go on', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const listener = (keys: string): string =>
    `protocol: tcp, ${listenerTls(keys)}, upstream: "127.0.0.1:${upstream.port}"`
  const gate = await startGate(t, [listener(', alpn: [one]')])
  const open = await tlsConnect(t, gate.port, { ca: ca.cert, options: { ALPNProtocols: ['one'] } })
  t.match(await gate.reload([listener(', alpn: [two]')]), { result: 'success' })
  await t.rejects(tlsConnect(t, gate.port, { ca: ca.cert, options: { ALPNProtocols: ['one'] } }))
  t.equal(
    (await tlsConnect(t, gate.port, { ca: ca.cert, options: { ALPNProtocols: ['two'] } })).tls.alpnProtocol,
    'two',
  )
  void open.write('x')
  t.equal((await open.read(1)).toString(), 'x')
})
