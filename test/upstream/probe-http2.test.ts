import * as grpc from '@grpc/grpc-js'
import type { Test } from 'tap'
import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { probe } from '../../src/upstream/probe.ts'
import type { Probe } from '../../src/upstream/probe.ts'
import { eventually } from '../support/eventually.ts'
import { watchSessionEnds } from '../support/h2-callbacks.ts'
import { h2Service } from '../support/h2-services.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen, sink } from '../support/peers.ts'
import { directDial } from './parts.ts'

interface Looked {
  made: Probe
  found: Promise<[problem: string | null, answered: string | null]>
}

function look(type: 'http' | 'grpc', port: number, headers = {}): Looked {
  let made!: Probe
  const found = new Promise<[string | null, string | null]>((resolve) => {
    made = probe(
      {
        type,
        isHttp2: true,
        path: '/healthz?x=1',
        host: 'app.example:1',
        headers,
        status: [{ from: 200, to: 399 }],
        dial: directDial(() => ({ host: '127.0.0.1', port }), systemClock),
      },
      (problem, answered) => resolve([problem, answered]),
    )
  })
  return { made, found }
}

test('http: a GET by HTTP/2, whose status decides, and whose answer says why', async (t) => {
  watchLeaks(t)
  const watched = await watchSessionEnds(t)
  for (const [status, found] of [
    [200, [null, '200']],
    [204, [null, '204']],
    [404, ['status 404: no such thing', '404']],
    [503, ['status 503: no such thing', '503']],
  ] as const) {
    const seen: unknown[] = []
    const service = await h2Service(t, (stream, headers) => {
      seen.push(headers)
      stream.respond({ ':status': status })
      if (status === 204) stream.end()
      else stream.end('no such\nthing')
    })
    t.same(await look('http', service.port, { Host: 'x', 'X-Token': 'y' }).found, found)
    t.match(seen, [
      {
        ':method': 'GET',
        ':path': '/healthz?x=1',
        ':authority': 'app.example:1',
        'user-agent': 'sidegate-health-check',
        'x-token': 'y',
      },
    ])
    await eventually(() => service.sessions.every(({ destroyed }) => destroyed))
  }
  t.ok(watched.ends >= 4)
  t.same(watched.within, [])
})

const same = (bytes: Buffer): Buffer => bytes
const bytes = {
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
}

async function healthService(t: Test, answer: grpc.handleUnaryCall<Buffer, Buffer> | null): Promise<number> {
  const server = new grpc.Server()
  if (answer !== null)
    server.addService(
      {
        check: {
          path: '/grpc.health.v1.Health/Check',
          requestStream: false,
          responseStream: false,
          ...bytes,
        },
      },
      { check: answer },
    )
  t.teardown(() => server.forceShutdown())
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  )
}

test('grpc: a service that is SERVING is well, any other is not', async (t) => {
  const watched = await watchSessionEnds(t)
  const status =
    (code: number): grpc.handleUnaryCall<Buffer, Buffer> =>
    (call, done) => {
      t.equal(call.request.length, 0, 'the service as a whole')
      done(null, Buffer.from([8, code]))
    }
  const serving = look('grpc', await healthService(t, status(1)))
  t.same(await serving.found, [null, 'SERVING'])
  t.same(await look('grpc', await healthService(t, status(2))).found, ['not SERVING (grpc.health.v1)', null])
  const failing = await healthService(t, (_call, done) =>
    done({ code: grpc.status.INTERNAL, details: 'a\nb' }),
  )
  t.match((await look('grpc', failing).found)[0], /^grpc-status 13 a/)
  t.match((await look('grpc', await healthService(t, null)).found)[0], /^grpc-status 12 /)
  t.ok(watched.ends >= 4)
  t.same(watched.within, [])
})

test('what speaks no HTTP/2, closes, or says nothing is not well', async (t) => {
  watchLeaks(t)
  const other = await listen(t, (wire) => {
    wire.socket.once('data', () => wire.socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  })
  for (const type of ['http', 'grpc'] as const) {
    const [problem] = await look(type, other.port).found
    t.type(problem, 'string')
    const silent = await sink(t)
    const { made } = look(type, silent.port)
    await silent.connection()
    await eventually(() => silent.connections[0]!.bytes > 0)
    t.equal(made.giveUp(), 'no answer')
    await silent.connections[0]!.closed
  }
})
