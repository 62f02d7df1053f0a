// Hundreds of streams can begin between two looks at the memory. In a container of 100 MiB with 80 MiB in use, 3 MiB are left up to
// memory.refuseAt less the margin: 48 streams may begin at a time.

import type { RequestListener } from 'node:http'
import { test, type Test } from 'tap'
import * as grpc from '@grpc/grpc-js'
import { eventually } from '../support/eventually.ts'
import { startGate, type Gate } from '../support/gate.ts'
import { call, grpcCaller, grpcService } from '../support/grpc.ts'
import { h2Answer, h2Ask, h2Connect, type H2Answer } from '../support/h2-client.ts'
import { websocketHead } from '../support/h2-wire.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'

const MIB = 1024 * 1024
const FIT = 48
const ASKED = 90
const listener = (port: number, protocol = 'http1'): string =>
  `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${port}"], protocol: ${protocol} }`

/** Answers `/held` when the test says so, and other targets at once. */
async function service(t: Test) {
  const held: Array<{ end(text: string): unknown }> = []
  const serve: RequestListener = (request, response) =>
    request.url === '/held' ? void held.push(response) : void response.end('now')
  return { port: await httpService(t, serve), held }
}

/** With so much of 100 MiB in use. */
async function gateWith(t: Test, share: number, listeners: string[]): Promise<Gate> {
  const memory = testMemory(100 * MIB)
  memory.use(share)
  return startGate(t, listeners, { memory })
}

const statuses = (answers: H2Answer[]): number[] => answers.map(({ status }) => status)

test('streams that begin at once are served as far as memory is left for them, and others are refused; a moment later there is room again', async (t) => {
  watchLeaks(t)
  const { port, held } = await service(t)
  const gate = await gateWith(t, 0.8, [listener(port)])
  const session = await h2Connect(t, gate.port)
  let refused: H2Answer[] = []
  const served: H2Answer[] = []
  // On a machine that is busy elsewhere the gate may read them over half a second; then it has room for all.
  while (refused.length === 0) {
    refused = []
    for (const response of held.splice(0)) response.end('late')
    await eventually(async () => (await h2Ask(session)).status === 200, { what: 'the claims to be over' })
    for (let nth = 0; nth < ASKED; nth++)
      void h2Ask(session, { ':path': '/held' }).then((one) =>
        (one.status === 503 ? refused : served).push(one),
      )
    await eventually(() => refused.length + held.length === ASKED)
  }
  t.ok(held.length >= FIT, `${held.length} are served`)
  t.match(refused[0], { body: /^overloaded/, code: 0 })
  t.match(refused[0]!.headers['retry-after'], /^[1-5]$/)
  const before = served.length + held.length
  await eventually(async () => (await h2Ask(session)).status === 200, { what: 'the claims to be over' })
  for (const response of held.splice(0)) response.end('late')
  await eventually(() => served.length === before)
  t.same([...new Set(statuses(served))], [200])
  t.same([...new Set(served.map(({ body }) => body))], ['late'])
  const { detail } = gate.lines.find(({ close }) => close === 'overloaded')!
  t.equal(detail, 'memory.refuseAt')
})

test('requests one after the other, and those of HTTP/1.1, are served however little is left', async (t) => {
  const { port } = await service(t)
  const gate = await gateWith(t, 0.8, [listener(port)])
  const session = await h2Connect(t, gate.port)
  for (let nth = 0; nth < 2 * FIT; nth++) t.equal((await h2Ask(session)).status, 200)
  const plain = Array.from({ length: 2 * FIT }, () => fetch(`http://127.0.0.1:${gate.port}/`))
  for (const { status } of await Promise.all(plain)) t.equal(status, 200)
})

test('with memory to spare a hundred streams begin at once', async (t) => {
  const { port } = await service(t)
  const gate = await gateWith(t, 0.5, [listener(port)])
  const session = await h2Connect(t, gate.port)
  const answers = await Promise.all(Array.from({ length: 100 }, () => h2Ask(session)))
  t.same([...new Set(statuses(answers))], [200])
})

test('calls of gRPC for which there is no room are UNAVAILABLE, and WebSockets are refused, in a container that is tight', async (t) => {
  const { port } = await service(t)
  const calls = await grpcService(t)
  const gate = await gateWith(t, 0.94, [listener(port), listener(calls.port, 'h2c')])
  const caller = grpcCaller(t, gate.ports[1]!)
  const codes = await atOnce(
    () =>
      call(caller, 'unary', 'a').answer.then((answer) => ('code' in answer ? answer.code : grpc.status.OK)),
    grpc.status.UNAVAILABLE,
  )
  t.same(codes, [grpc.status.OK, grpc.status.UNAVAILABLE])
  const session = await h2Connect(t, gate.port)
  const upgrade = async (): Promise<number> =>
    (await h2Answer(session.request(websocketHead(), { endStream: false }))).status
  t.same(await atOnce(upgrade, 503), [200, 503], 'the service answers an upgrade as a request')
  t.equal((await fetch(`http://127.0.0.1:${gate.port}/`)).status, 200, 'one request is served')
})

/** All results of many at a time, some of which are refused unless the gate reads them over half a second. */
async function atOnce(ask: () => Promise<number>, refused: number): Promise<number[]> {
  for (;;) {
    const results = await Promise.all(Array.from({ length: ASKED }, ask))
    if (results.includes(refused)) return [...new Set(results)].toSorted((one, other) => one - other)
  }
}
