// The head of an answer to a call of gRPC that comes a byte at a time is no data: the deadlines of the call end it, and no other call of
// its caller.

import { test } from 'tap'
import { status } from '@grpc/grpc-js'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { call, grpcCaller } from '../support/grpc.ts'
import { frame, HEADERS, END_HEADERS, OK, rawH2Service } from '../support/h2-services.ts'
import { literals } from '../support/h2-frames.ts'
import { watchLeaks } from '../support/leaks.ts'

const head = frame(
  HEADERS,
  END_HEADERS,
  1,
  Buffer.concat([OK, literals(['content-type', 'application/grpc'], ['x-large', 'x'.repeat(300)])]),
)

for (const [keys, who] of [
  ['upstreamIdle: 400ms', 'upstreamIdle'],
  ['idle: 400ms', 'idle'],
] as const)
  test(`a call whose head trickles ends by deadlines.${who}`, async (t) => {
    watchLeaks(t)
    let sent = 0
    const service = await rawH2Service(t, (send, stream) => {
      if (stream !== 1) return
      const timer = setInterval(() => {
        if (sent === head.length) return clearInterval(timer)
        send(head.subarray(sent, ++sent))
      }, 30)
      t.teardown(() => clearInterval(timer))
    })
    const upstream = `{ addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`
    const gate = await startGate(t, [
      `protocol: http, http: { h2c: on }, upstream: ${upstream}, deadlines: { ${keys}, close: 200ms }`,
    ])
    const { answer } = call(grpcCaller(t, gate.port), 'unary', 'ask')
    t.match(await answer, { code: status.UNAVAILABLE })
    t.ok(sent < head.length, `${sent} of ${head.length} bytes`)
    const line = await eventually(() => gate.lines.find(({ close }) => close === 'idle_timeout'))
    t.match(line, { side: 'upstream', detail: new RegExp(`deadlines\\.${who}`) })
  })
