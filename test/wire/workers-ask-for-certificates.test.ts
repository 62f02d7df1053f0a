// `tls.clientCa` with several workers, each of which makes its own handshakes and reads its own files: whichever worker a
// client meets, with a certificate it is let in, and without one it is not; so it is after other authorities have come, and
// for a client with a ticket that another worker, or the same one before, has given it.

import root, { test } from 'tap'
import type { Test } from 'tap'
import type tls from 'node:tls'
import { readSamples } from '../metrics/samples.ts'
import { authority, mountedSecret } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get, HttpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { threadFile } from '../support/threads.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import type { TlsConnectOptions } from '../support/tls-peers.ts'

root.setTimeout(180_000)
const WORKERS = 3
/** The kernel spreads them by a hash of their ports: each worker gets some. */
const CLIENTS = 24
const LONG = { withinMs: 60_000 }
const ca = authority(root)
const app = ca.issue('app')
const [clients, others] = [authority(root, 'clients'), authority(root, 'others')]
const [known, other] = [clients.issue('known'), others.issue('other')]

/** The answer to a request of that client; null where its handshake fails, or its first bytes. */
async function ask(t: Test, { port }: Gate, options: Partial<TlsConnectOptions>): Promise<string | null> {
  const wire = await tlsConnect(t, port, { ca: ca.cert, ...options }).catch(() => null)
  if (wire === null) return null
  const answer = await new HttpClient(wire).get(get('/', 'Connection: close\r\n'), {}, LONG).catch(() => null)
  wire.end()
  return answer === null ? null : String(answer.status)
}

const all = (t: Test, gate: Gate, options: Partial<TlsConnectOptions>): Promise<Set<string | null>> =>
  within(
    Promise.all(Array.from({ length: CLIENTS }, () => ask(t, gate, options))).then(
      (answers) => new Set(answers),
    ),
    LONG,
  )

test('a client certificate counts with each worker, and so does the lack of one, before and after its authority is replaced', async (t) => {
  watchLeaks(t, LONG)
  const upstream = await recordingUpstream(t)
  const trusted = mountedSecret(t, clients)
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { clientCertificate: forward }, tls: { cert: "${app.cert}", key: "${app.key}", clientCa: "${trusted.cert}" }`,
    ],
    { workers: WORKERS, threadFile: threadFile('thread') },
  )
  const tickets: Buffer[] = []
  const keep = await tlsConnect(t, gate.port, { ca: ca.cert, client: known })
  keep.tls.on('session', (ticket) => tickets.push(ticket))
  t.equal((await new HttpClient(keep).get(get())).status, 200)
  await eventually(() => tickets.length > 0, { what: 'a ticket' })
  const resuming: tls.ConnectionOptions = { session: tickets[0]! }
  t.same([...(await all(t, gate, { client: known }))], ['200'])
  t.same([...(await all(t, gate, { client: known, options: resuming }))], ['200'])
  t.same([...(await all(t, gate, {}))], [null], 'without a certificate')
  t.same([...(await all(t, gate, { client: other }))], [null], 'of another authority')
  const told = new Set(
    upstream.requests.map(
      ({ header }) => /Subject="([^"]*)"/.exec(header('x-forwarded-client-cert') ?? '')?.[1],
    ),
  )
  t.same([...told], ['CN=known'], 'a resumed session too')
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_connections_rejected_total', { reason: 'denied' }),
    2 * CLIENTS,
  )

  trusted.swap(others)
  await eventually(async () => [...(await all(t, gate, { client: other }))].join() === '200', {
    ...LONG,
    what: 'other authorities with each worker',
  })
  const { length } = upstream.requests
  t.same([...(await all(t, gate, { client: known }))], [null], 'whose authority is not trusted any more')
  t.same([...(await all(t, gate, { options: resuming }))], [null], 'nor by its ticket')
  t.equal(upstream.requests.length, length, 'not a request of theirs came through')
  t.equal((await new HttpClient(keep).get(get())).status, 200, 'a connection that stands goes on')
  keep.end()
})
