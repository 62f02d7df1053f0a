// Streams without a reader share the memory that their connection may hold here: those of a client, and those
// of a service.

import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { h2Service } from '../support/h2-services.ts'
import { parseAnswer } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'

const CANCEL = 8
const LARGE = 65_535
const SMALL = 16_384
const MANY = 20
const BODY = Buffer.alloc(300_000, 'x')

/** The stream windows that the gate announces to this peer, in order. */
function windowsTold(session: Http2Session): number[] {
  const told: number[] = []
  session.on('remoteSettings', ({ initialWindowSize }) => {
    if (initialWindowSize !== undefined && initialWindowSize !== told.at(-1)) told.push(initialWindowSize)
  })
  return told
}

const to = (port: number): string =>
  `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c }`

test('uploads that a service does not take: many get small windows, a few large ones, and all arrive once it does', async (t) => {
  watchLeaks(t)
  const waiting: ServerHttp2Stream[] = []
  let isReading = false
  const service = await h2Service(t, (stream) => {
    const read = (): void => {
      let bytes = 0
      stream.on('data', (chunk: Buffer) => (bytes += chunk.length))
      stream.on('end', () => {
        stream.respond({ ':status': 200 })
        stream.end(String(bytes))
      })
    }
    if (isReading) return read()
    waiting.push(stream.pause())
    stream.once('resume', read)
    return undefined
  })
  const gate = await startGate(t, [to(service.port)])
  const session = await h2Connect(t, gate.port)
  const told = windowsTold(session)
  const few = Array.from({ length: 10 }, () => h2Ask(session, { ':method': 'POST' }, BODY))
  await eventually(() => waiting.length === 10)
  await eventually(() => gate.registry.size > 10 && [...gate.registry].filter(isHeld).length === 10)
  t.same(told, [], 'as many as that may hold a window each')
  const more = Array.from({ length: MANY }, () => h2Ask(session, { ':method': 'POST' }, BODY))
  await eventually(() => told.length > 0)
  t.same(told, [SMALL])
  await eventually(() => waiting.length === 10 + MANY)
  isReading = true
  for (const stream of waiting) stream.resume()
  const answers = await Promise.all([...few, ...more])
  t.same([...new Set(answers.map(({ status, body }) => `${status} ${body}`))], ['200 300000'])
  await eventually(() => told.at(-1) === LARGE)
  t.match(await h2Ask(session, { ':method': 'POST' }, BODY), { status: 200, body: '300000' })
  session.close()
})

test('eight uploads of one client send a whole window each before they hear of the gate again', async (t) => {
  watchLeaks(t)
  const service = await h2Service(t, (stream) => {
    let bytes = 0
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length))
    stream.on('end', () => {
      stream.respond({ ':status': 200 })
      stream.end(String(bytes))
    })
  })
  const gate = await startGate(t, [to(service.port)])
  const client = await rawH2(t, gate.port)
  await client.frame(({ type, stream }) => type === h2.kinds.WINDOW_UPDATE && stream === 0)
  const ids = Array.from({ length: 8 }, () => client.request(h2.request({ ':method': 'POST' }), null))
  await client.send(
    ...ids.flatMap((id) =>
      [SMALL, SMALL, SMALL, SMALL - 1].map((bytes) => h2.data(id, BODY.subarray(0, bytes))),
    ),
    ...ids.map((id) => h2.data(id, '', h2.END_STREAM)),
  )
  const answers = await Promise.all(ids.map((id) => client.answer(id)))
  t.same([...new Set(answers.map(({ body }) => String(body)))], [String(LARGE)])
  client.wire.destroy()
})

test('uploads that their client cancels while a service does not take them leave large windows to the next', async (t) => {
  watchLeaks(t)
  const waiting: ServerHttp2Stream[] = []
  const service = await h2Service(t, (stream) => void waiting.push(stream.pause()))
  const gate = await startGate(t, [to(service.port)])
  const session = await h2Connect(t, gate.port)
  const told = windowsTold(session)
  const uploads = Array.from({ length: MANY }, () => {
    const stream = session.request({ ':method': 'POST' })
    stream.on('error', () => {})
    stream.write(BODY)
    return stream
  })
  await eventually(() => told.at(-1) === SMALL)
  for (const stream of uploads) stream.close(CANCEL)
  await eventually(() => told.at(-1) === LARGE)
  session.close()
})

test('answers that clients do not take: the service gets small windows, large ones again, and all arrive', async (t) => {
  watchLeaks(t)
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200, 'content-length': BODY.length * 30 })
    let left = 30
    const more = (): void => {
      while (left > 0 && stream.write(BODY)) left--
      if (--left < 0) stream.end()
      else stream.once('drain', more)
    }
    more()
  })
  const told: number[][] = []
  service.server.on('session', (session) => void told.push(windowsTold(session)))
  const gate = await startGate(t, [to(service.port)])
  const clients = await Promise.all(
    Array.from({ length: MANY }, async () => {
      const client = await connect(t, gate.port, { unread: true })
      await client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
      return client
    }),
  )
  await eventually(() => told.some((windows) => windows.includes(SMALL)))
  await eventually(() => [...gate.registry].filter(isHeld).length === MANY)
  for (const { owner } of gate.registry) {
    const queued = owner!.queued('client')
    t.ok(
      queued > 0 && queued < LARGE + 3 * SMALL,
      `${queued} bytes: a window, what Node reads ahead, and buffers.high`,
    )
  }
  const bodies = await Promise.all(
    clients.map(async (client) => {
      client.resumeReading()
      return parseAnswer(await client.received).body.length
    }),
  )
  t.same([...new Set(bodies)], [BODY.length * 30])
  await eventually(() => told.every((windows) => windows.length === 0 || windows.at(-1) === LARGE))
})

const isHeld = ({ owner }: { owner: { isPaused(direction: 'to_client' | 'to_upstream'): boolean } | null }) =>
  owner !== null && (owner.isPaused('to_client') || owner.isPaused('to_upstream'))

for (const workers of [1, 2])
  test(`answers that limits.bytes holds back: the service gets small windows, and all arrive, also over a reload, ${workers} workers`, async (t) => {
    watchLeaks(t)
    const service = await h2Service(t, (stream) => {
      stream.respond({ ':status': 200 })
      stream.end(BODY.subarray(0, 100_000))
    })
    const told: number[][] = []
    service.server.on('session', (session) => void told.push(windowsTold(session)))
    const limits = ', limits: { bytes: { rate: 1MiB, burst: 64KiB } }'
    const gate = await startGate(t, [to(service.port) + limits], { workers })
    const session = await h2Connect(t, gate.port)
    const asked = Array.from({ length: MANY }, () => h2Ask(session))
    await eventually(() => told.some((windows) => windows.includes(SMALL)))
    t.match(await gate.reload([to(service.port)]), { result: 'success' })
    const answers = await Promise.all(asked)
    t.same([...new Set(answers.map(({ status, body }) => `${status} ${body.length}`))], ['200 100000'])
    await eventually(() => told.every((windows) => windows.length === 0 || windows.at(-1) === LARGE))
    session.close()
  })
