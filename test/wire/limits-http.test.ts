import { test, type Test } from 'tap'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { makeClose } from '../../src/core/close.ts'
import { TURN_MS } from '../../src/limits/token-queue.ts'
import { readSamples } from '../metrics/samples.ts'
import { pattern } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { parseAnswer } from '../support/http.ts'
import { chunked, get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'

const KIB = 1024

async function path(
  t: Test,
  limits: string,
  { respond, rest = '', clock }: { respond?: Respond; rest?: string; clock?: Clock } = {},
) {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  const gate = await startGate(
    t,
    [`protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { ${limits} }${rest}`],
    clock === undefined ? {} : { clock },
  )
  return { gate, upstream, client: await httpClient(t, gate.port) }
}

async function timed<T>(what: Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now()
  const value = await what
  return { ms: performance.now() - start, value }
}

/** Deadlines that a chunk of 64 KiB, delayed for half a second, would miss. */
const short =
  ', deadlines: { request: 300ms, response: 300ms, idle: 300ms, clientIdle: 300ms, upstreamIdle: 300ms, write: 300ms }'

for (const framing of ['with a length', 'in chunks'] as const) {
  test(`the body of a request ${framing} goes on at the rate, whole, and no deadline takes the delay for a stall`, async (t) => {
    const { upstream, client } = await path(t, 'bytes: { rate: 128KiB, burst: 64KiB }', { rest: short })
    const body = pattern(160 * KIB)
    const parts =
      framing === 'with a length'
        ? [get('/', `Content-Length: ${body.length}\r\n`, 'POST'), body]
        : [
            get('/', 'Transfer-Encoding: chunked\r\n', 'POST'),
            Buffer.from(chunked(body.toString('latin1')), 'latin1'),
          ]
    for (const part of parts) void client.send(part)
    const { ms, value } = await timed(client.answer())
    t.equal(value.status, 200)
    t.ok(ms > 600, `${ms.toFixed(0)} ms for what takes 710`)
    t.ok((await upstream.request()).body.equals(body))
  })
}

test('a client that is not read because of its rate owes nothing, and gets no request_timeout', async (t) => {
  const { gate, client } = await path(t, 'bytes: { rate: 16KiB, burst: 64KiB }', { rest: short })
  // More than fits into the streams on the way.
  void client.send(
    Buffer.concat([Buffer.from(get('/', 'Content-Length: 2000000\r\n', 'POST')), Buffer.alloc(1_900_000)]),
  )
  await new Promise((resolve) => setTimeout(resolve, 1000))
  t.equal(gate.lines.length, 0)
  gate.open().owner!.close(makeClose('killed', 'sidegate', 'relay'))
  t.match(await gate.end(), { reason: 'killed' })
})

test('an answer comes at the rate, whole, and no deadline takes the delay for a stall', async (t) => {
  const body = pattern(160 * KIB)
  const { gate, client } = await path(t, 'bytes: { rate: 128KiB, burst: 64KiB }', {
    respond: () =>
      Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body]),
    rest: short,
  })
  const { ms, value } = await timed(client.get(get('/')))
  t.ok(value.body.equals(body))
  t.ok(ms > 600, `${ms.toFixed(0)} ms for what takes 710`)
  t.ok(
    (readSamples(await gate.metrics()).get('sidegate_rate_limited_total', {
      listener: 'l0',
      limit: 'bytes',
      action: 'delay',
    }) ?? 0) > 0,
  )
})

test('small requests within the rate are not delayed, and those beyond it are paced by the bytes of their heads', async (t) => {
  const head = get('/', `X-Large: ${'x'.repeat(8000)}\r\n`)
  const clock = stillClock()
  const { client, upstream } = await path(t, 'bytes: { rate: 64KiB, burst: 64KiB }', { clock })
  for (let i = 0; i < 8; i++) await client.get(head)
  void client.send(head)
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(upstream.requests.length, 8, 'eight are what the burst holds')
  clock.pass(130)
  t.equal((await client.answer()).status, 200)
})

test('over a limit whose action is close a request is a 429 and rate_limited, and the upstream does not see it', async (t) => {
  const { gate, client, upstream } = await path(t, 'bytes: { rate: 1KiB, burst: 64KiB, onExceed: close }', {
    clock: stillClock(),
  })
  const head = get('/', `X-Large: ${'x'.repeat(15_000)}\r\n`)
  for (let i = 0; i < 4; i++) t.equal((await client.get(head)).status, 200)
  void client.send(head)
  await within(client.wire.ended)
  client.wire.end()
  const { status, body } = parseAnswer(client.wire.takeUnread())
  t.equal(status, 429)
  t.match(body.toString(), /^rate_limited/)
  t.match(await gate.end(), {
    reason: 'rate_limited',
    side: 'client',
    phase: 'relay',
    detail: 'limits.bytes',
  })
  t.equal(upstream.requests.length, 4)
})

test('an upload over a limit whose action is close is a 429 in the middle of its body', async (t) => {
  const { gate, client } = await path(t, 'bytes: { rate: 1KiB, burst: 64KiB, onExceed: close }', {
    clock: stillClock(),
  })
  void client.send(
    Buffer.concat([Buffer.from(get('/', 'Content-Length: 200000\r\n', 'POST')), Buffer.alloc(200_000)]),
  )
  await within(client.wire.ended)
  client.wire.end()
  t.equal(parseAnswer(client.wire.takeUnread()).status, 429)
  t.match(await gate.end(), { reason: 'rate_limited', side: 'client' })
})

test('an answer over a limit whose action is close is cut visibly', async (t) => {
  const { gate, client } = await path(t, 'bytes: { rate: 1KiB, burst: 64KiB, onExceed: close }', {
    respond: () =>
      Buffer.concat([
        Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n'),
        Buffer.alloc(200_000),
      ]),
  })
  void client.send(get('/'))
  await within(client.wire.ended)
  client.wire.end()
  t.notOk(parseAnswer(client.wire.takeUnread()).isWhole)
  t.match(await gate.end(), { reason: 'rate_limited', side: 'upstream' })
})

test('a client that leaves while its upload is delayed takes everything along', async (t) => {
  let pacing = 0
  const clock: Clock = {
    ...systemClock,
    every(ms, run) {
      const stop = systemClock.every(ms, run)
      if (ms === TURN_MS) pacing++
      return () => {
        if (ms === TURN_MS) pacing--
        stop()
      }
    },
  }
  const { gate, client } = await path(t, 'bytes: { rate: 64KiB, burst: 64KiB }', { clock })
  void client.send(
    Buffer.concat([Buffer.from(get('/', 'Content-Length: 200000\r\n', 'POST')), Buffer.alloc(200_000)]),
  )
  await eventually(
    async () =>
      (readSamples(await gate.metrics()).get('sidegate_rate_limited_total', { limit: 'bytes' }) ?? 0) > 0,
  )
  t.equal(pacing, 1)
  client.wire.reset()
  t.match(await gate.end(), { side: 'client' })
  t.equal(pacing, 0, 'nobody waits for tokens any more')
})

const minRate = 'minRate: { bytes: 1KiB, after: 250ms }'

test('a request body that trickles in below limits.minRate is a 408 and too_slow', async (t) => {
  const { gate, client } = await path(t, minRate)
  void client.send(get('/', 'Content-Length: 10000\r\n', 'POST'))
  const timer = setInterval(() => void client.send('x'), 20)
  t.teardown(() => clearInterval(timer))
  const { ms } = await timed(within(client.wire.ended))
  clearInterval(timer)
  client.wire.end()
  t.ok(ms >= 240, `${ms.toFixed(0)} ms`)
  t.equal(parseAnswer(client.wire.takeUnread()).status, 408)
  t.match(await gate.end(), { reason: 'too_slow', side: 'client', detail: 'limits.minRate' })
})

test('an answer that trickles in below limits.minRate is too_slow of the upstream, one made of events is not', async (t) => {
  const pace =
    (type: string): Respond =>
    async ({ wire }) => {
      await wire.write(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`)
      for (let i = 0; i < 40 && wire.outcome === null && !wire.hasEnded; i++) {
        await wire.write('1\r\nx\r\n')
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      await wire.write('0\r\n\r\n')
    }
  const { gate, client } = await path(t, minRate, { respond: pace('text/plain') })
  void client.send(get('/'))
  t.match(await gate.end(), { reason: 'too_slow', side: 'upstream' })
  const events = await path(t, minRate, { respond: pace('text/event-stream; charset=utf-8') })
  t.equal((await events.client.get(get('/'))).body.length, 40)
})

test('who asks what a connection waits for is told of limits.minRate', async (t) => {
  const { gate, client } = await path(t, 'minRate: { bytes: 1KiB, after: 10s }', {
    respond: async ({ wire }) => void (await wire.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx')),
  })
  const next = () => gate.open().owner?.describe?.().next
  await client.send(get('/', 'Content-Length: 3\r\n', 'POST'))
  await eventually(() => next()?.key === 'limits.minRate' && next()?.side === 'client')
  await client.send('abc')
  await eventually(() => next()?.key === 'limits.minRate' && next()?.side === 'upstream')
  client.wire.reset()
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
})

test('a slow but sufficient upload, a waiting client and an idle connection are not too_slow', async (t) => {
  const { gate, client } = await path(t, minRate, {
    respond: () =>
      new Promise((resolve) =>
        setTimeout(() => resolve('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), 300),
      ),
  })
  const body = Buffer.alloc(1000)
  void client.send(get('/', 'Content-Length: 15000\r\n', 'POST'))
  for (let i = 0; i < 15; i++) {
    await client.send(body)
    await new Promise((resolve) => setTimeout(resolve, 40))
  }
  t.equal((await client.answer()).status, 200)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.equal((await client.get(get('/'))).status, 200)
  t.equal(gate.lines.length, 0)
})
