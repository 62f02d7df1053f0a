// Peers over TLS: a client by hand, and the upstreams of peers.ts behind TLS.

import type { Test } from 'tap'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import tls from 'node:tls'
import type { Signed } from './certificates.ts'
import { eventually, within } from './eventually.ts'
import { connect, echo } from './peers.ts'
import type { Upstream } from './peers.ts'
import { Wire } from './wire.ts'
import type { WireOptions } from './wire.ts'

export interface TlsConnectOptions extends WireOptions {
  /** Path of the authority that is trusted. */
  ca: string
  client?: Signed
  options?: tls.ConnectionOptions
  /** Sent in the clear before the handshake. */
  head?: Uint8Array | string
  /** Milliseconds from the connect until the handshake begins. */
  lateMs?: number
  /** The handshake begins once this resolves. */
  after?: Promise<unknown>
}

export interface TlsWire extends Wire {
  tls: tls.TLSSocket
  /** The socket beneath TLS. */
  raw: Wire['socket']
}

/** A client with TLS; rejects with the error of its handshake. */
export async function tlsConnect(
  t: Test,
  port: number,
  { ca, client, options, head, lateMs = 0, after, ...wireOptions }: TlsConnectOptions,
): Promise<TlsWire> {
  const plain = await connect(t, port, { halfOpen: true, unread: true })
  plain.socket.removeAllListeners('data')
  if (head !== undefined) plain.socket.write(head)
  if (lateMs > 0) await delay(lateMs)
  await after
  const secure = tls.connect({
    socket: plain.socket,
    host: 'localhost',
    servername: 'localhost',
    ca: readFileSync(ca),
    ...(client === undefined ? {} : { cert: readFileSync(client.cert), key: readFileSync(client.key) }),
    ...options,
  })
  t.teardown(() => secure.destroy())
  await within(once(secure, 'secureConnect'), { what: 'a TLS handshake' })
  return Object.assign(new Wire(secure, wireOptions), { tls: secure, raw: plain.socket })
}

/** The subject of the certificate that a new client gets. */
export async function certificateShown(
  t: Test,
  port: number,
  options: TlsConnectOptions,
): Promise<string | undefined> {
  const client = await tlsConnect(t, port, options)
  const { subject } = client.tls.getPeerX509Certificate()!
  client.end()
  return subject
}

export interface TlsUpstream extends Upstream {
  /** The errors of failed handshakes. */
  failures: string[]
}

/** An upstream behind TLS. */
export async function tlsUpstream(
  t: Test,
  { cert, key }: Signed,
  serve: (wire: Wire) => unknown,
  options: tls.TlsOptions = {},
): Promise<TlsUpstream> {
  const connections: Wire[] = []
  const failures: string[] = []
  const raws = new Set<{ destroy(): void }>()
  const server = tls.createServer(
    {
      cert: readFileSync(cert),
      key: readFileSync(key),
      ALPNProtocols: ['http/1.1'],
      ...options,
      allowHalfOpen: true,
    } as tls.TlsOptions,
    (socket) => {
      const wire = new Wire(socket)
      connections.push(wire)
      void serve(wire)
    },
  )
  server.on('connection', (raw) => raws.add(raw))
  server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
    failures.push(error.code ?? error.message)
    socket.destroy()
  })
  t.teardown(async () => {
    for (const raw of raws) raw.destroy()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    failures,
    connection: (nth = 0) =>
      eventually(() => connections[nth], { what: `TLS connection ${nth} at the upstream` }),
    stopAccepting: () => void server.close(),
  }
}

/** The same as `echo` of peers.ts, for a wire of any kind. */
export function echoBack(wire: Wire): void {
  wire.socket.on('data', (chunk) => {
    wire.socket.pause()
    void wire.write(chunk).then(() => wire.socket.resume())
  })
  void wire.ended.then(() => wire.end())
}

/** A whole ClientHello, as the real client of this Node sends it. */
export async function clientHello(t: Test): Promise<Buffer> {
  const peer = await echo(t)
  const socket = tls.connect({ port: peer.port, host: '127.0.0.1', rejectUnauthorized: false })
  socket.on('error', () => {})
  const wire = await peer.connection()
  await eventually(() => wire.bytes > 300)
  const hello = Buffer.from(wire.takeUnread())
  socket.destroy()
  return hello
}
