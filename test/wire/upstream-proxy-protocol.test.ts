import root, { test } from 'tap'
import { proxyHeader } from '../../src/upstream/proxy-header.ts'
import { ProxyHeaderReader } from '../../src/admission/proxy-header.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, OK, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { rawClient } from '../support/websocket.ts'
import { switchingProtocols } from '../support/handshake.ts'
import { parseHead } from '../support/http.ts'
import { addressOf } from '../support/addresses.ts'

root.setTimeout(120_000)

const upstreamOf = (port: number, version: string, more = ''): string =>
  `upstream: { addresses: ["localhost:${port}"], proxyProtocol: ${version} ${more} }`

/** Reads the header at the start of a connection, and leaves the bytes after it unread. */
async function header(wire: Wire): Promise<{ client: string | undefined; local: string | null }> {
  const reader = new ProxyHeaderReader('any')
  for (;;) {
    const byte = await wire.read(1)
    const read = reader.read(byte, 1)
    if (read === 'more') continue
    if ('problem' in read) throw new Error(read.problem)
    return { client: read.header.client?.text, local: read.header.local?.text ?? null }
  }
}

for (const version of ['v1', 'v2']) {
  test(`each tcp connection begins with a header of ${version} that names its client`, async (t) => {
    watchLeaks(t)
    const upstream = await listen(t, async (wire) => {
      await header(wire).then((said) => wire.write(JSON.stringify(said)))
      await wire.readUntil('.')
      wire.end('done')
    })
    const gate = await startGate(t, [`protocol: tcp, ${upstreamOf(upstream.port, version)}`])
    const client = await connect(t, gate.port, { from: '127.0.0.9' })
    const { localPort } = client.socket
    client.end('data.')
    t.equal(
      (await within(client.received)).toString(),
      `{"client":"127.0.0.9:${localPort}","local":"127.0.0.1:${gate.port}"}done`,
    )
  })
}

test('the client that came by a PROXY header is the one that goes on', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: tcp, ${upstreamOf(upstream.port, 'v2')}, proxyProtocol: { accept: v1, trusted: [127.0.0.1] }`,
  ])
  const client = await connect(t, gate.port)
  void client.write('PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n')
  t.same(await header(await upstream.connection()), { client: '[2001:db8::1]:1', local: '[2001:db8::2]:2' })
})

test('requests of plain HTTP do not share a connection, not even those of one client', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const clients: Array<string | undefined> = []
  const upstream = await listen(t, async (wire) => {
    clients.push((await header(wire)).client)
    while (await wire.readUntil('\r\n\r\n').catch(() => null)) await wire.write(OK)
    wire.end()
  })
  const gate = await startGate(t, [`protocol: http, ${upstreamOf(upstream.port, 'v1')}`])
  const [one, other] = [
    await httpClient(t, gate.port, { from: '127.0.0.8' }),
    await httpClient(t, gate.port, { from: '127.0.0.9' }),
  ]
  for (const client of [one, other, one]) t.equal((await client.get(get())).status, 200)
  t.same(
    clients,
    [one, other, one].map(({ wire }) => `${wire.socket.localAddress}:${wire.socket.localPort}`),
  )
  await eventually(() => upstream.connections.every((wire) => wire.hasEnded))
})

test('a WebSocket begins with the header, before its request', async (t) => {
  watchLeaks(t)
  let said: unknown
  const upstream = await listen(t, async (wire) => {
    said = await header(wire)
    await wire.write(switchingProtocols(parseHead(await wire.readUntil('\r\n\r\n'))!))
  })
  const gate = await startGate(t, [`protocol: http, ${upstreamOf(upstream.port, 'v2')}`])
  const client = await rawClient(t, gate.port)
  t.same(said, { client: `127.0.0.1:${client.wire.socket.localPort}`, local: `127.0.0.1:${gate.port}` })
})

test('with TLS the header goes first, in the clear', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const ca = authority(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: tcp, ${upstreamOf(upstream.port, 'v1', `, tls: { ca: "${ca.cert}" }`)}`,
    `protocol: http, ${upstreamOf(upstream.port, 'v1', `, tls: { ca: "${ca.cert}" }`)}`,
  ])
  await connect(t, gate.port)
  const client = await httpClient(t, gate.ports[1]!)
  void client.send(get())
  for (const nth of [0, 1]) {
    const wire = await upstream.connection(nth)
    t.match((await header(wire)).client, /^127\.0\.0\.1:/)
    t.equal((await wire.read(1))[0], 0x16, 'a ClientHello')
  }
})

test('what is written for a client on a unix socket is UNKNOWN, or LOCAL', async (t) => {
  t.equal(
    proxyHeader('v1', { client: addressOf('unix'), localAddress: null }).toString(),
    'PROXY UNKNOWN\r\n',
  )
  t.equal(proxyHeader('v2', { client: addressOf('unix'), localAddress: null })[12], 0x20)
})
