import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { connect, echo, neverCloses, sink } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { wsClient, wsServer } from '../support/websocket.ts'
import { runProgram } from './program.ts'

/** No delay and no spread, so that the effects of the signal come at once. */
const atOnce = { top: 'drain: { minDuration: off, spread: off, timeout: 20s, tcp: spread }' }

test('SIGTERM lets live tcp and WebSocket pairs go, tells them so, and ends it with 0', async (t) => {
  const upstream = await echo(t)
  const service = await wsServer(t)
  const program = await runProgram(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`,
      `protocol: http, upstream: "127.0.0.1:${service.port}"`,
    ],
    atOnce,
  )
  const clients = await Promise.all(Array.from({ length: 20 }, () => connect(t, program.ports[0]!)))
  const sockets = await Promise.all(
    Array.from({ length: 20 }, () => wsClient(t, `ws://127.0.0.1:${program.ports[1]}`)),
  )
  for (const client of clients) {
    await client.write('live')
    await client.read(4)
  }
  for (const socket of sockets) {
    await socket.send('live')
    await socket.nextMessage()
  }
  const watch = stopwatch(t)
  program.child.kill('SIGTERM')
  t.equal(await within(program.exited, { withinMs: 30_000 }), 0)
  t.ok(
    watch.livedMs < 6000,
    `${watch.livedMs} of ${watch.ms} ms: no longer than deadlines.close and a second`,
  )
  t.same(
    new Set((await Promise.all(clients.map(({ closed }) => closed))).map(({ kind }) => kind)),
    new Set(['fin']),
  )
  t.same(
    new Set((await Promise.all(sockets.map(({ closed }) => closed))).map(({ code }) => code)),
    new Set([1012]),
  )
  t.same(
    new Set((await Promise.all(service.connections.map(({ closed }) => closed))).map(({ code }) => code)),
    new Set([1001]),
  )
  const closes = program.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === 'connection closed')
  t.equal(closes.length, 40, 'each has its line')
  t.same(new Set(closes.map(({ close }) => close)), new Set(['drain']))
})

test('SIGTERM with peers that do not go ends it with 0 soon after deadlines.close', async (t) => {
  const upstream = await neverCloses(t)
  const program = await runProgram(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 1s }`],
    atOnce,
  )
  await Promise.all(Array.from({ length: 10 }, () => connect(t, program.port, { halfOpen: true })))
  await eventually(() => upstream.connections.length === 10)
  const watch = stopwatch(t)
  program.child.kill('SIGTERM')
  t.equal(await within(program.exited, { withinMs: 30_000 }), 0)
  t.ok(watch.ms > 900 && watch.livedMs < 4000, `${watch.livedMs} of ${watch.ms} ms`)
})

for (const second of ['SIGTERM', 'SIGINT'] as const) {
  test(`a second signal (${second}) does not wait for peers that do not go`, async (t) => {
    const upstream = await neverCloses(t)
    const program = await runProgram(
      t,
      [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 30s }`],
      atOnce,
    )
    const client = await connect(t, program.port, { halfOpen: true })
    await eventually(() => upstream.connections.length === 1)
    program.child.kill('SIGTERM')
    await within(client.ended)
    t.equal(await program.status('/readyz'), 503, 'it says that it goes')
    program.child.kill(second)
    t.equal(await within(program.exited, { withinMs: 10_000 }), 0)
  })
}

test('SIGKILL and a restart: the ports are bound again at once, whatever was open', async (t) => {
  const upstream = await sink(t)
  const listeners = [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`]
  let program = await runProgram(t, listeners)
  const ports = [
    program.healthPort,
    (await import('./program.ts').then(({ freePorts }) => freePorts(1)))[0]!,
    ...program.ports,
  ]
  for (let round = 0; round < 5; round += 1) {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(t, program.port)))
    for (const client of clients) await client.write('busy')
    await eventually(() => upstream.connections.length === (round + 1) * 20)
    program.child.kill('SIGKILL')
    t.equal(await program.exited, 'SIGKILL')
    await within(Promise.all(clients.map(({ closed }) => closed)))
    program = await runProgram(t, listeners, { ports })
    t.ok(program.readyMs < 30_000, `${program.readyMs} ms`)
  }
})

test('SIGINT does not wait for anybody to notice, whatever the configuration says: at a terminal it ends at once', async (t) => {
  const upstream = await echo(t)
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
    top: 'drain: { minDuration: 60s, timeout: 120s }',
  })
  const client = await connect(t, program.port)
  await client.write('live')
  await client.read(4)
  program.child.kill('SIGINT')
  t.equal(await within(program.exited), 0, 'not after the minute of drain.minDuration')
  t.same(await within(client.closed), { kind: 'fin', code: null })
})

test('a second signal ends it in the middle of a drain, with what is open reset', async (t) => {
  const upstream = await echo(t)
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, program.port)
  await client.write('live')
  await client.read(4)
  program.child.kill('SIGTERM')
  await eventually(async () => (await program.status('/readyz')) === 503)
  const late = await connect(t, program.port)
  await late.write('late')
  await late.read(4)
  program.child.kill('SIGTERM')
  t.equal(await within(program.exited, { withinMs: 8000 }), 0)
  for (const one of [client, late]) t.same(await within(one.closed), { kind: 'reset', code: 'ECONNRESET' })
})
