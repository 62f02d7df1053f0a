// A call whose service resets its stream ends for the caller as it does without the gate, by the library of gRPC.

import * as grpc from '@grpc/grpc-js'
import { test } from 'tap'
import { http2Codes } from '../../src/core/close.ts'
import { startGate } from '../support/gate.ts'
import { grpcCaller } from '../support/grpc.ts'
import { h2Service } from '../support/h2-services.ts'
import { h2Connect } from '../support/h2-client.ts'
import type { Caller } from '../support/grpc.ts'
import type { Test } from 'tap'

const { CANCEL, ENHANCE_YOUR_CALM, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM } = http2Codes
const CALL = { ':method': 'POST', ':path': '/test.Echo/Download', 'content-type': 'application/grpc' }
const to = (port: number): string =>
  `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c }`

/** A service that resets each stream with that code, and a gate before it. */
async function setUp(t: Test, code: number, isBegun: boolean) {
  const service = await h2Service(t, (stream) => {
    stream.end = () => stream
    if (!isBegun) return stream.close(code)
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
    stream.write(Buffer.from([0, 0, 0, 0, 1, 120]), () => stream.close(code))
  })
  return { service, gate: await startGate(t, [to(service.port)]) }
}

function codeOf(caller: Caller): Promise<grpc.status> {
  return new Promise((resolve) => {
    const call = caller.download(Buffer.from('x'))
    call.on('data', () => {})
    call.on('error', () => {})
    call.on('status', ({ code }) => resolve(code))
  })
}

for (const [name, code, isBegun, told] of [
  ['CANCEL before it answers', CANCEL, false, grpc.status.CANCELLED],
  ['CANCEL amid its answer', CANCEL, true, grpc.status.CANCELLED],
  ['INTERNAL_ERROR before it answers', INTERNAL_ERROR, false, grpc.status.INTERNAL],
  ['INTERNAL_ERROR amid its answer', INTERNAL_ERROR, true, grpc.status.INTERNAL],
  ['ENHANCE_YOUR_CALM before it answers', ENHANCE_YOUR_CALM, false, grpc.status.RESOURCE_EXHAUSTED],
  ['ENHANCE_YOUR_CALM amid its answer', ENHANCE_YOUR_CALM, true, grpc.status.RESOURCE_EXHAUSTED],
  ['REFUSED_STREAM, each time', REFUSED_STREAM, false, grpc.status.UNAVAILABLE],
] as const)
  test(`a service that resets a call with ${name}: the caller sees the same through the gate`, async (t) => {
    const { service, gate } = await setUp(t, code, isBegun)
    t.equal(await codeOf(grpcCaller(t, service.port)), told, 'without the gate')
    t.equal(await codeOf(grpcCaller(t, gate.port)), told, 'through the gate')
    t.match(await gate.end(), {
      reason: 'reset',
      side: 'upstream',
      detail: new RegExp(name.split(/[ ,]/)[0]!),
    })
  })

for (const [code, isBegun, told] of [
  [CANCEL, false, CANCEL],
  [CANCEL, true, CANCEL],
  [NO_ERROR, true, INTERNAL_ERROR],
  [REFUSED_STREAM, true, INTERNAL_ERROR],
] as const)
  test(`code ${code} of a service is code ${told} for its caller, ${isBegun ? 'amid' : 'without'} an answer`, async (t) => {
    const { gate } = await setUp(t, code, isBegun)
    const stream = (await h2Connect(t, gate.port)).request(CALL)
    stream.on('error', () => {})
    stream.resume()
    await new Promise((resolve) => stream.end('x').once('close', resolve))
    t.equal(stream.rstCode, told)
  })

test('a plain request that its service cancels before it answers is a 502', async (t) => {
  const { gate } = await setUp(t, CANCEL, false)
  const stream = (await h2Connect(t, gate.port)).request({ ':path': '/' })
  const status = await new Promise((resolve) =>
    stream.once('response', ({ ':status': answered }) => resolve(answered)),
  )
  t.equal(status, 502)
})
