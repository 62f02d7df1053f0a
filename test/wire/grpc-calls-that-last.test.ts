// Long calls: quiet for hours, stalled on either side, moved by a lifetime, with the gRPC library on both
// sides.

import * as grpc from '@grpc/grpc-js'
import { once } from 'node:events'
import type { ClientHttp2Stream } from 'node:http2'
import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { call, grpcCaller, grpcService, sizes } from '../support/grpc.ts'
import type { Caller } from '../support/grpc.ts'
import { h2Connect } from '../support/h2-client.ts'

const HOUR = 3_600_000
const to = (port: number, more = ''): string =>
  `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c }${more}`
/** The time is the test's; turns of the event loop come as usual. */
const slowClock = (): FakeClock => ({ ...fakeClock(), nextTurn: systemClock.nextTurn })

type Chat = ReturnType<Caller['chat']>

function statusOf(stream: {
  on(event: 'status', run: (status: grpc.StatusObject) => void): unknown
  on(event: 'error', run: () => void): unknown
}): Promise<grpc.StatusObject> {
  stream.on('error', () => {})
  return new Promise((resolve) => stream.on('status', resolve))
}

function say(chat: Chat, text: string): Promise<string> {
  const answer = new Promise<string>((resolve) =>
    chat.once('data', (message: Buffer) => resolve(String(message))),
  )
  chat.write(Buffer.from(text))
  return answer
}

/** Connections of clients, without the streams on them. */
const sessions = (gate: Gate): number => [...gate.registry].filter(({ protocol }) => protocol === 'h2').length

test('a chat that is quiet for an hour all but a minute goes on, twice', async (t) => {
  const clock = slowClock()
  const service = await grpcService(t)
  const gate = await startGate(t, [to(service.port)], { clock })
  const chat = grpcCaller(t, gate.port).chat()
  const status = statusOf(chat)
  t.equal(await say(chat, 'hello'), 'hello')
  await clock.pass(500)
  for (let hour = 0; hour < 2; hour++) {
    for (let minute = 0; minute < 59; minute++) await clock.pass(HOUR / 60)
    t.equal(await say(chat, `hour ${hour}`), `hour ${hour}`)
    await clock.pass(500)
  }
  t.equal(sessions(gate), 1)
  chat.end()
  t.equal((await status).code, 0)
})

test('one that nobody uses ends after deadlines.idle, for both', async (t) => {
  const clock = slowClock()
  const service = await grpcService(t)
  const gate = await startGate(t, [to(service.port)], { clock })
  const chat = grpcCaller(t, gate.port).chat()
  const status = statusOf(chat)
  await say(chat, 'hello')
  for (let minute = 0; minute < 61; minute++) await clock.pass(HOUR / 60)
  t.not((await status).code, 0)
  t.match(await gate.end(), { reason: 'idle_timeout', line: { protocol: 'http' } })
  await eventually(() => service.cancelled.length === 1)
})

/** A message as gRPC frames it. */
function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

test('a caller that takes nothing ends alone; calls beside it on the same connection go on', async (t) => {
  const service = await grpcService(t)
  const gate = await startGate(t, [to(service.port, ', deadlines: { write: 500ms }')])
  // By hand: the library takes all bytes, whether the application reads or not.
  const session = await h2Connect(t, gate.port)
  const ask = (path: string): ClientHttp2Stream => {
    const fields = { 'content-type': 'application/grpc', te: 'trailers' }
    const stream = session.request({ ':method': 'POST', ':path': `/test.Echo/${path}`, ...fields })
    stream.on('error', () => {})
    return stream
  }
  const beside = ask('Chat')
  const say = async (text: string): Promise<void> => {
    const answer = once(beside, 'data')
    beside.write(framed(Buffer.from(text)))
    t.match(await answer, [framed(Buffer.from(text))], text)
  }
  await say('before')
  const stalled = ask('Download')
  const closed = once(stalled, 'close')
  stalled.end(framed(sizes(100_000, 10_000)))
  await eventually(() => [...gate.registry].some(({ owner }) => owner?.isPaused('to_client') === true))
  await say('during')
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client' })
  await closed
  t.equal(stalled.rstCode, 8, 'CANCEL')
  await eventually(() => service.cancelled.includes('download'))
  await say('after')
  t.equal(sessions(gate), 1)
})

test('a service that takes nothing of one call ends that one alone', async (t) => {
  const service = await grpcService(t, { readsNoChat: true })
  const gate = await startGate(t, [to(service.port, ', deadlines: { write: 500ms }')])
  const caller = grpcCaller(t, gate.port)
  const stalled = caller.chat()
  const status = statusOf(stalled)
  for (let i = 0; i < 100; i++) stalled.write(Buffer.alloc(10_000))
  await eventually(() => [...gate.registry].some(({ owner }) => owner?.isPaused('to_upstream') === true))
  t.match(await call(caller, 'unary', 'during').answer, { message: Buffer.from('during') })
  t.match(await gate.end(1), { reason: 'write_timeout', side: 'upstream' })
  t.not((await status).code, 0)
  await eventually(() => service.cancelled.includes('chat'))
  t.match(await call(caller, 'unary', 'after').answer, { message: Buffer.from('after') })
  t.equal(sessions(gate), 1)
})

test('deadlines.lifetime moves callers: calls that are open go on, new ones come by a new connection', async (t) => {
  const service = await grpcService(t)
  const gate = await startGate(t, [to(service.port, ', deadlines: { lifetime: 1s, lifetimeJitter: off }')])
  const caller = grpcCaller(t, gate.port)
  const chat = caller.chat()
  const status = statusOf(chat)
  t.equal(await say(chat, 'before'), 'before')
  const { READY } = grpc.connectivityState
  await eventually(() => caller.getChannel().getConnectivityState(false) !== READY, {
    what: 'GOAWAY at the caller',
    withinMs: 20_000,
  })
  t.match(await call(caller, 'unary', 'x').answer, { message: Buffer.from('x') })
  t.equal(sessions(gate), 2, 'by a second connection')
  t.equal(await say(chat, 'after'), 'after', 'on the first')
  chat.end()
  t.equal((await status).code, 0)
})

test('keep-alive PINGs of a caller are answered, as often as gRPC allows them at the most', async (t) => {
  const service = await grpcService(t)
  const gate = await startGate(t, [to(service.port)])
  const caller = grpcCaller(t, gate.port, grpc.credentials.createInsecure(), {
    'grpc.keepalive_time_ms': 100,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.keepalive_permit_without_calls': 1,
  })
  const chat = caller.chat()
  const status = statusOf(chat)
  t.equal(await say(chat, 'before'), 'before')
  const { toUpstream } = [...gate.registry].find(({ protocol }) => protocol === 'h2')!
  const { received } = toUpstream
  await eventually(() => toUpstream.received >= received + 10 * 17, {
    what: 'ten PINGs',
    withinMs: 20_000,
  })
  t.equal(await say(chat, 'after'), 'after')
  chat.end()
  t.equal((await status).code, 0)
})

test('a service that ends amid several calls: the caller of one without an answer learns UNAVAILABLE', async (t) => {
  const service = await grpcService(t)
  const gate = await startGate(t, [to(service.port)])
  const caller = grpcCaller(t, gate.port)
  const chats = Array.from({ length: 4 }, () => caller.chat())
  const ends = chats.map((chat) => statusOf(chat))
  for (const chat of chats) t.equal(await say(chat, 'hello'), 'hello')
  const { answer } = call(caller, 'hang', 'x')
  await eventually(() => service.calls.length === 5)
  service.server.forceShutdown()
  t.match(await answer, { code: grpc.status.UNAVAILABLE, details: /^reset: / })
  // The service resets what it has begun to answer with CANCEL, and its callers see that without the gate too.
  for (const end of ends) t.match(await end, { code: grpc.status.CANCELLED })
})
