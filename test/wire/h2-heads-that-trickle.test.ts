// A header block over HTTP/2 has `deadlines.handshake` as the head of a request over HTTP/1.1 has: nothing else can come on its
// connection meanwhile, and bytes that trickle do not extend it.

import { test } from 'tap'
import type { Test } from 'tap'
import { someServer } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import {
  continuation,
  data,
  END_HEADERS,
  END_STREAM,
  GET,
  headers,
  literals,
  request,
} from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import type { RawH2 } from '../support/h2-raw.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'

async function begin(
  t: Test,
  isSecure: boolean,
  keys = '',
): Promise<{ gate: Gate; client: RawH2; seen: string[] }> {
  watchLeaks(t)
  const seen: string[] = []
  const port = await httpService(t, (asked, response) => {
    seen.push(asked.url!)
    asked.resume()
    if (asked.url !== '/wait') response.end('ok')
  })
  const { ca, cert, key } = someServer()
  const tls = isSecure ? `, tls: { cert: "${cert}", key: "${key}" }` : ''
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${port}", http: { h2c: on, keepAlive: 1h }${tls}${keys === '' ? ', deadlines: { handshake: 400ms, close: 200ms }' : keys}`,
  ])
  const client = await rawH2(t, gate.port, isSecure ? { ca } : {})
  // It has answered the SETTINGS of the gate: it sends nothing more by itself.
  t.ok(await client.ping())
  return { gate, client, seen }
}

/** A piece at a time, for as long as the gate takes them; returns how many there were. */
async function trickle(client: RawH2, pieces: Iterable<Uint8Array>): Promise<number> {
  let sent = 0
  for (const piece of pieces) {
    if (client.wire.outcome !== null || client.goaway !== null) break
    void client.send(piece)
    sent++
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  return sent
}

const large = literals(...request({ 'x-large': 'x'.repeat(300) }))
const byBytes = (bytes: Uint8Array): Uint8Array[] => [...bytes].map((byte) => Uint8Array.of(byte))

const trickles: Record<string, (client: RawH2) => Uint8Array[]> = {
  'HEADERS, byte by byte': (client) => byBytes(headers(client.next(), large)),
  'CONTINUATION, byte by byte': (client) => {
    const id = client.next()
    const rest = [0, 1, 2, 3].map((nth) => continuation(id, large.subarray(50 + nth * 60, 110 + nth * 60), 0))
    return [headers(id, large.subarray(0, 50), END_STREAM), ...byBytes(Buffer.concat(rest))]
  },
  trailers: (client) => {
    const id = client.request(request({ ':method': 'POST' }), null)
    void client.send(data(id, 'body'))
    return byBytes(headers(id, literals(['x-sum', 'x'.repeat(300)]), END_HEADERS | END_STREAM))
  },
}

for (const isSecure of [false, true])
  for (const [name, piecesOf] of Object.entries(trickles))
    for (const [beside, before] of [
      ['alone', null],
      ['beside a stream that waits', '/wait'],
    ] as const)
      test(`${name}, ${beside}, ${isSecure ? 'over TLS' : 'in the clear'}: the connection ends with handshake_timeout`, async (t) => {
        const { gate, client, seen } = await begin(t, isSecure)
        if (before !== null) {
          client.request(request({ ':path': before }))
          await eventually(() => seen.length === 1)
        }
        const pieces = piecesOf(client)
        const sent = await trickle(client, pieces)
        t.ok(sent < pieces.length, `${sent} of ${pieces.length} pieces`)
        await client.goodbye()
        t.match(client.goaway, { debug: 'handshake_timeout' })
        const line = (): Record<string, unknown> | undefined =>
          gate.lines.find(({ protocol }) => protocol === 'h2')
        await eventually(() => line() !== undefined)
        t.match(line(), { close: 'handshake_timeout', side: 'client', detail: /rest of a head/ })
      })

test('whole heads that follow each other for longer are served, each in two pieces', async (t) => {
  const { gate, client, seen } = await begin(t, false, ', deadlines: { handshake: 2s }')
  let rest: Uint8Array = Buffer.alloc(0)
  for (let nth = 0; nth < 90; nth++) {
    const block = headers(client.next(), GET)
    // The end of one and the begin of the next come together: a block is always on its way.
    await trickle(client, [Buffer.concat([rest, block.subarray(0, 12)])])
    rest = block.subarray(12)
  }
  void client.send(rest)
  await eventually(() => seen.length === 90)
  t.equal(client.goaway, null)
  await eventually(() => gate.registry.size === 1)
})

test('a head that a limit delays is not late', async (t) => {
  // A read is 64 KiB, and the next one has to wait a second for as many tokens.
  const READ = 65_536
  const keys = ', deadlines: { handshake: 400ms }, limits: { bytes: { rate: 64KiB, burst: 64KiB } }'
  const { gate, client } = await begin(t, false, keys)
  const post = (id: number): Buffer => headers(id, literals(...request({ ':method': 'POST' })), END_HEADERS)
  const [first, second, asked] = [client.next(), client.next(), client.next()]
  const open = [...gate.registry].find(({ protocol }) => protocol === 'h2')!
  const spent = [post(first), ...Array.from({ length: 4 }, () => data(first, Buffer.alloc(15_000)))]
  void client.send(...spent)
  t.ok(await client.ping())
  const before = open.toUpstream.received
  const head = headers(asked, large)
  const body = [post(second), ...Array.from({ length: 4 }, () => data(second, Buffer.alloc(16_000)))]
  const last = READ - Buffer.concat(body).length - 9 - Math.floor(head.length / 2)
  const since = performance.now()
  void client.send(...body, data(second, Buffer.alloc(last)), head)
  await eventually(() => open.toUpstream.received === before + READ)
  t.equal((await client.answer(asked)).status, 200)
  t.ok(performance.now() - since > 1400, 'its rest came later than the deadline')
  t.equal(client.goaway, null)
})
