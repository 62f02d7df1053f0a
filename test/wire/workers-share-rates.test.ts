// Rates of three workers under 200 clients at once: the bytes and messages that pass stay within the burst
// and the tokens since, for all workers together, at every moment; the excess is delayed, ended or dropped,
// never lost otherwise.

import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { WebSocketServer } from 'ws'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { wsClient } from '../support/websocket.ts'
import type { WsClient } from '../support/websocket.ts'
import { readSamples } from '../metrics/samples.ts'

const WORKERS = 3
const CLIENTS = 200
const KIB = 1024
const LONG = { withinMs: 60_000 }
/** A connection gets its turn when the bucket has a token; by the time of the draw another worker may have taken it, which makes a debt. */
const AT_ONCE = WORKERS - 1
/** The difference of the threads' clocks, which are read to the millisecond. */
const CLOCKS_MS = 5

/** The arrivals, judged as they come: the excess over `burst` and over the tokens since the first was sent. */
class Arrivals {
  count = 0
  worst = Number.NEGATIVE_INFINITY
  readonly #rate: { perSec: number; burst: number }
  #since: number | null = null

  constructor(rate: { perSec: number; burst: number }) {
    this.#rate = rate
  }

  /** From here on clients send. */
  begin(): void {
    this.#since = performance.now() - CLOCKS_MS
  }

  add(amount: number): void {
    this.count += amount
    const { perSec, burst } = this.#rate
    const flowed = ((performance.now() - (this.#since ?? 0)) / 1000) * perSec
    this.worst = Math.max(this.worst, this.count - burst - flowed)
  }
}

async function collector(t: Test, onMessage: (text: string) => void): Promise<number> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  server.on('connection', (socket) => {
    socket.on('error', () => {})
    socket.on('message', (data: Buffer) => onMessage(data.toString()))
  })
  t.teardown(async () => {
    for (const client of server.clients) client.terminate()
    await new Promise((resolve) => server.close(resolve))
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function messageGate(
  t: Test,
  limits: string,
  onMessage: (text: string) => void,
  rest = '',
): Promise<Gate> {
  watchLeaks(t, LONG)
  const port = await collector(t, onMessage)
  const listener = `protocol: http, upstream: "127.0.0.1:${port}", limits: { messages: { ${limits} } }${rest}`
  return startGate(t, [listener], { workers: WORKERS })
}

/** Half of them come from another address than the other half. */
const addressOf = (nth: number) => `127.0.0.${1 + (nth % 2)}`

async function webClients(t: Test, gate: Gate): Promise<WsClient[]> {
  const url = `ws://127.0.0.1:${gate.port}`
  const clients: WsClient[] = []
  // A few at a time, so that no backlog overflows.
  while (clients.length < CLIENTS)
    clients.push(
      ...(await Promise.all(
        Array.from({ length: 50 }, (_, nth) => wsClient(t, url, { localAddress: addressOf(nth) })),
      )),
    )
  return clients
}

async function limited(gate: Gate, limit: string, action: string): Promise<number> {
  return readSamples(await gate.metrics()).sum('sidegate_rate_limited_total', { limit, action })
}

test('limits.messages per listener: 200 clients of 3 workers pass at the rate, and nothing is lost', async (t) => {
  const arrivals = new Arrivals({ perSec: 200, burst: 50 })
  const gate = await messageGate(t, 'rate: 200, burst: 50, per: listener', () => arrivals.add(1))
  const clients = await webClients(t, gate)
  arrivals.begin()
  for (const client of clients) for (let nth = 0; nth < 3; nth++) void client.send('x')
  await eventually(() => arrivals.count === 3 * CLIENTS, LONG)
  t.ok(arrivals.worst <= AT_ONCE, `${arrivals.worst.toFixed(1)} too many at the worst moment`)
  t.ok((await limited(gate, 'messages', 'delay')) > 0)
  t.equal(gate.lines.length, 0)
})

test('limits.messages per client: each of two clients with 100 connections has its rate', async (t) => {
  const arrivals = new Map<string, Arrivals>(
    [0, 1].map((nth) => [addressOf(nth), new Arrivals({ perSec: 100, burst: 30 })]),
  )
  const gate = await messageGate(t, 'rate: 100, burst: 30, per: client', (from) => arrivals.get(from)!.add(1))
  const clients = await webClients(t, gate)
  for (const one of arrivals.values()) one.begin()
  for (const [nth, client] of clients.entries())
    for (let sent = 0; sent < 2; sent++) void client.send(addressOf(nth))
  for (const [address, one] of arrivals) {
    await eventually(() => one.count === CLIENTS, LONG)
    t.ok(one.worst <= AT_ONCE, `${one.worst.toFixed(1)} too many of ${address} at the worst moment`)
  }
})

test('limits.messages that end what is over: so many pass as there are tokens, each other client is told 1008', async (t) => {
  const arrivals = new Arrivals({ perSec: 1, burst: 80 })
  const gate = await messageGate(t, 'rate: 1, burst: 80, per: listener, onExceed: close', () =>
    arrivals.add(1),
  )
  const clients = await webClients(t, gate)
  arrivals.begin()
  for (const client of clients) void client.send('x')
  await eventually(() => arrivals.count + gate.lines.length === CLIENTS, LONG)
  t.ok(arrivals.worst <= 0, `${arrivals.count} passed, ${arrivals.worst.toFixed(1)} too many`)
  t.ok(arrivals.count >= 80, 'and not less than the burst')
  t.same(
    gate.lines.filter(({ close }) => close !== 'rate_limited'),
    [],
  )
})

test('limits.messages that drop what is over: so many pass as there are tokens, and nobody is ended', async (t) => {
  const arrivals = new Arrivals({ perSec: 1, burst: 80 })
  const gate = await messageGate(
    t,
    'rate: 1, burst: 80, per: listener, onExceed: drop',
    () => arrivals.add(1),
    ', websocket: { mode: messages }',
  )
  const clients = await webClients(t, gate)
  arrivals.begin()
  for (const client of clients) void client.send('x')
  await eventually(async () => arrivals.count + (await limited(gate, 'messages', 'drop')) === CLIENTS, LONG)
  t.ok(arrivals.worst <= 0, `${arrivals.count} passed, ${arrivals.worst.toFixed(1)} too many`)
  t.ok(arrivals.count >= 80, 'and not less than the burst')
  t.same([gate.lines.length, gate.operator.open], [0, CLIENTS])
})

/** Reads all bytes, and returns their number. */
async function taker(t: Test, onBytes: (bytes: number) => void): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {}).on('data', (bytes) => onBytes(bytes.length))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

for (const per of ['listener', 'client'])
  test(`limits.bytes per ${per}: 200 clients of 3 workers send no faster than one may`, async (t) => {
    watchLeaks(t, LONG)
    const [each, read, perSec] = [128 * KIB, 64 * KIB, 8 * KIB * KIB]
    // One read of each connection may be a debt.
    const arrivals = new Arrivals({ perSec, burst: 256 * KIB + CLIENTS * read })
    const port = await taker(t, (bytes) => arrivals.add(bytes))
    const gate = await startGate(
      t,
      [
        `protocol: tcp, upstream: "127.0.0.1:${port}", limits: { bytes: { rate: 8MiB, burst: 256KiB, per: ${per} } }`,
      ],
      { workers: WORKERS },
    )
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(t, gate.port)))
    arrivals.begin()
    const from = performance.now()
    for (const client of clients) void client.write(Buffer.alloc(each))
    await eventually(() => arrivals.count === CLIENTS * each, LONG)
    t.ok(arrivals.worst <= 0, `${Math.round(arrivals.worst / KIB)} KiB too many at the worst moment`)
    const leastMs = ((CLIENTS * (each - read) - 256 * KIB) / perSec) * 1000
    const tookMs = performance.now() - from
    // Each worker for itself would be three times as fast.
    t.ok(tookMs >= leastMs, `${Math.round(tookMs)} of at least ${Math.round(leastMs)} ms`)
    for (const client of clients) client.reset()
  })

test('limits.newConnections that delay: 200 clients are let on at the rate, and all of them', async (t) => {
  watchLeaks(t, LONG)
  const arrivals = new Arrivals({ perSec: 100, burst: 40 })
  const server = net.createServer((socket) => {
    arrivals.add(1)
    socket.on('error', () => {}).pipe(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${port}", limits: { newConnections: { rate: 100, burst: 40 } }`],
    { workers: WORKERS },
  )
  arrivals.begin()
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(t, gate.port)))
  for (const client of clients) void client.write('x')
  for (const client of clients) await within(client.read(1, LONG), LONG)
  t.equal(arrivals.count, CLIENTS)
  t.ok(arrivals.worst <= AT_ONCE, `${arrivals.worst.toFixed(1)} too many at the worst moment`)
  for (const client of clients) client.reset()
})
