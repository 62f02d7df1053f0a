// Callers of gRPC, by its library, through the gate to a service of the same library, in the clear and over TLS.

import * as grpc from '@grpc/grpc-js'
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { test } from 'tap'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { call, grpcCaller, grpcService, sizes } from '../support/grpc.ts'
import type { Caller, GrpcService } from '../support/grpc.ts'
import { watchLeaks } from '../support/leaks.ts'

const MiB = 1024 * 1024

interface SetUp {
  gate: Gate
  service: GrpcService
  caller: Caller
}

async function inTheClear(t: Test): Promise<SetUp> {
  const service = await grpcService(t)
  const gate = await startGate(t, [
    `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`,
  ])
  return { gate, service, caller: grpcCaller(t, gate.port) }
}

/** On both sides. */
async function overTls(t: Test): Promise<SetUp> {
  const ca = authority(t)
  const { cert, key } = ca.issue('server')
  const service = await grpcService(t, {
    credentials: grpc.ServerCredentials.createSsl(null, [
      { cert_chain: readFileSync(cert), private_key: readFileSync(key) },
    ]),
  })
  const gate = await startGate(t, [
    `protocol: http, tls: { cert: "${cert}", key: "${key}" }, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c, tls: { ca: "${ca.cert}" } }`,
  ])
  const credentials = grpc.credentials.createSsl(readFileSync(ca.cert))
  return { gate, service, caller: grpcCaller(t, gate.port, credentials) }
}

test('metadata over http.maxHeader is RESOURCE_EXHAUSTED, and its connection goes on', async (t) => {
  const { gate, caller } = await inTheClear(t)
  const metadata = new grpc.Metadata()
  metadata.set('x-large', 'a~'.repeat(20_000))
  t.match(await call(caller, 'unary', 'hello', { metadata }).answer, {
    code: grpc.status.RESOURCE_EXHAUSTED,
    details: 'message_too_big: request head (http.maxHeader)',
  })
  t.match(await gate.end(0), { reason: 'message_too_big', line: { protocol: 'http' } })
  t.match(await call(caller, 'unary', 'hello').answer, { message: Buffer.from('hello') })
  t.notOk(gate.lines.some(({ protocol }) => protocol === 'h2'))
})

for (const [way, setUp] of [
  ['in the clear', inTheClear],
  ['over TLS', overTls],
] as const) {
  test(`a unary call, its metadata, trailers and deadline, ${way}`, async (t) => {
    watchLeaks(t)
    const { service, caller } = await setUp(t)
    const metadata = new grpc.Metadata()
    metadata.set('x-mine', 'yes')
    metadata.set('x-bytes-bin', Buffer.from([0, 255]))
    const from = Date.now()
    const deadline = from + 60_000
    const answer = await call(caller, 'unary', 'hello', { metadata, deadline }).answer
    const tookMs = Date.now() - from
    t.match(answer, { message: Buffer.from('hello') })
    t.same('trailers' in answer && answer.trailers.get('x-trailer'), ['last'])
    const [told] = service.calls
    t.same(told!.metadata.get('x-mine'), ['yes'])
    t.same(told!.metadata.get('x-bytes-bin'), [Buffer.from([0, 255])])
    // The remaining time of the call counts from its arrival.
    const laterMs = Number(told!.deadline) - deadline
    t.ok(laterMs > -2000 && laterMs < tookMs + 2000, `grpc-timeout, ${laterMs} of ${tookMs} ms later`)
    caller.close()
  })

  test(`a message of 4 MiB each way, ${way}`, async (t) => {
    const { caller } = await setUp(t)
    const message = Buffer.alloc(4 * MiB, 'message ')
    const answer = await call(caller, 'unary', message).answer
    t.ok('trailers' in answer && answer.message.equals(message))
  })

  test(`a stream of the service: many messages, in order, ${way}`, async (t) => {
    const { caller } = await setUp(t)
    let next = 0
    let isInOrder = true
    const stream = caller.download(sizes(2000, 5000))
    stream.on('data', (message: Buffer) => {
      isInOrder &&= message.readUInt32BE(0) === next++ && message.length === 5000
    })
    const status = await new Promise<grpc.StatusObject>((resolve) => stream.on('status', resolve))
    t.equal(status.code, 0)
    t.equal(next, 2000)
    t.ok(isInOrder)
  })

  test(`a stream of the caller, ${way}`, async (t) => {
    const { caller } = await setUp(t)
    const answer = new Promise((resolve, reject) => {
      const stream = caller.upload((error, value) =>
        error === null ? resolve(String(value)) : reject(error),
      )
      let sent = 0
      const more = (): void => {
        while (sent++ < 500) if (!stream.write(Buffer.alloc(10_000))) return void stream.once('drain', more)
        stream.end()
      }
      more()
    })
    t.equal(await answer, '5000000')
  })

  test(`a chat: each message is answered before the next is sent, ${way}`, async (t) => {
    const { caller } = await setUp(t)
    const chat = caller.chat()
    for (let i = 0; i < 50; i++) {
      const answer = new Promise((resolve) =>
        chat.once('data', (message: Buffer) => resolve(String(message))),
      )
      chat.write(Buffer.from(`message ${i}`))
      t.equal(await answer, `message ${i}`)
    }
    chat.end()
    const status = await new Promise<grpc.StatusObject>((resolve) => chat.on('status', resolve))
    t.equal(status.code, 0)
  })

  test(`a status of the service reaches the caller, and is counted, ${way}`, async (t) => {
    const { caller, gate } = await setUp(t)
    const chat = caller.chat()
    chat.on('error', () => {})
    const status = new Promise<grpc.StatusObject>((resolve) => chat.on('status', resolve))
    chat.write(Buffer.from('error'))
    t.match(await status, { code: grpc.status.DATA_LOSS, details: 'as it was told' })
    await eventually(async () =>
      /grpc_responses_total\{listener="l0",grpc_status="15"\} 1/.test(await gate.metrics()),
    )
  })

  test(`a caller that gives up cancels the call at the service, ${way}`, async (t) => {
    const { caller, service } = await setUp(t)
    const beside = caller.chat()
    const hanging = call(caller, 'hang', 'x')
    await eventually(() => service.calls.some(({ method }) => method === 'hang'))
    hanging.cancel()
    t.match(await hanging.answer, { code: grpc.status.CANCELLED })
    await eventually(() => service.cancelled.length === 1)
    t.same(service.cancelled, ['hang'])
    const answer = new Promise((resolve) =>
      beside.once('data', (message: Buffer) => resolve(String(message))),
    )
    beside.write(Buffer.from('still here'))
    t.equal(await answer, 'still here', 'its neighbour goes on')
    const status = new Promise<grpc.StatusObject>((resolve) => beside.on('status', resolve))
    beside.end()
    t.equal((await status).code, 0)
  })

  test(`a deadline that passes ends the call for both, ${way}`, async (t) => {
    const { caller, service } = await setUp(t)
    // A timeout that ends before the call reaches the service proves nothing: on a busy machine the test tries a longer one.
    for (let ms = 300; service.calls.length === 0; ms *= 2) {
      const answer = await call(caller, 'hang', 'x', { deadline: Date.now() + ms }).answer
      t.match(answer, { code: grpc.status.DEADLINE_EXCEEDED })
    }
    await eventually(() => service.cancelled.length === service.calls.length)
  })
}

test('a service that is not there is UNAVAILABLE, with the reason', async (t) => {
  const gate = await startGate(t, [
    'protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:1"], protocol: h2c, retryFor: off }',
  ])
  const answer = await call(grpcCaller(t, gate.port), 'unary', 'x').answer
  t.match(answer, { code: grpc.status.UNAVAILABLE, details: /^connect_refused: ECONNREFUSED/ })
})
