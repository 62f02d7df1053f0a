import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import type { Closed } from '../support/wire.ts'
import { rawClient, wsServer } from '../support/websocket.ts'

/** Within one process the RST may come before the socket has reported that it is connected. */
const outcome = (t: Test, port: number): Promise<Closed> =>
  connect(t, port).then(
    (wire) => within(wire.closed),
    (error: NodeJS.ErrnoException) => ({ kind: 'reset', code: error.code ?? null }),
  )

const RESET = { kind: 'reset', code: 'ECONNRESET' }

test('beyond limits.connections a tcp client is too_many and gets RST, and those within are served', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connections: 2 }`,
  ])
  const [first, second] = [await connect(t, gate.port), await connect(t, gate.port)]
  await Promise.all([first.write('1'), second.write('2')])
  await Promise.all([first.read(1), second.read(1)])
  t.same(await outcome(t, gate.port), RESET)
  await first.write('still')
  t.equal((await first.read(5)).toString(), 'still')
  const samples = readSamples(await gate.metrics())
  t.equal(samples.get('sidegate_connections_rejected_total', { listener: 'l0', reason: 'too_many' }), 1)
  t.equal(samples.get('sidegate_connections', { listener: 'l0', side: 'client' }), 2)
  second.end()
  await gate.end()
  const fourth = await connect(t, gate.port)
  await fourth.write('4')
  t.equal((await fourth.read(1)).toString(), '4')
})

test('beyond limits.connections an HTTP client gets a whole 503 with Retry-After, also when it sends much', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { connections: 1 }`,
  ])
  const inside = await rawClient(t, gate.port)
  for (const body of ['', 'x'.repeat(300_000)]) {
    const request = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    const { bytes, closed } = await requestRaw(t, gate.port, request)
    const answer = parseAnswer(bytes)
    t.equal(answer.status, 503)
    t.match(answer.header('retry-after'), /^[1-5]$/)
    t.ok(answer.isWhole)
    t.same(closed, { kind: 'fin', code: null })
  }
  await inside.sendFrame({ opcode: 1, payload: Buffer.from('still') })
  t.equal((await inside.nextFrame()).payload.toString(), 'still')
})

test('a refused HTTP client that does not go is reset after a second, and while it lingers takes no slot', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { connections: 1 }`,
  ])
  const inside = await rawClient(t, gate.port)
  const stubborn = await connect(t, gate.port, { halfOpen: true })
  await within(stubborn.ended)
  inside.wire.reset()
  await gate.end()
  await rawClient(t, gate.port)
  await eventually(() => stubborn.outcome !== null || (void stubborn.write('?'), false))
  t.match(stubborn.outcome, { kind: 'reset' })
})

test('more refused HTTP clients than may linger get RST, and none costs a descriptor for long', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { connections: 1 }`,
  ])
  await rawClient(t, gate.port)
  const attempts = await Promise.allSettled(
    Array.from({ length: 300 }, () => connect(t, gate.port, { halfOpen: true })),
  )
  const refused = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []))
  await eventually(() => refused.every((client) => client.hasEnded || client.outcome !== null))
  const reset = 300 - refused.filter((client) => client.outcome?.kind !== 'reset').length
  t.ok(reset >= 300 - 32 && reset < 300, `${reset} were reset at once`)
})
