import { test } from 'tap'
import { readFileSync } from 'node:fs'
import { eventually } from '../support/eventually.ts'
import { connect, echo } from '../support/peers.ts'
import { wsClient, wsServer } from '../support/websocket.ts'
import { runProgram } from './program.ts'

const deadlines = 'deadlines: { idle: 1s, clientIdle: 1s, write: 1s, halfClose: 1s, close: 1s }'

test('a gate that was stopped for three seconds kills none of its live clients when it wakes', async (t) => {
  const upstream = await echo(t)
  const service = await wsServer(t)
  const program = await runProgram(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`,
    `protocol: http, upstream: "127.0.0.1:${service.port}", ${deadlines}, websocket: { ping: { interval: 300ms, timeout: 300ms } }`,
  ])
  const clients = await Promise.all(Array.from({ length: 100 }, () => connect(t, program.ports[0]!)))
  const sockets = await Promise.all(
    Array.from({ length: 20 }, () => wsClient(t, `ws://127.0.0.1:${program.ports[1]}`)),
  )
  const timer = setInterval(() => {
    for (const client of clients) void client.write('tick')
    for (const socket of sockets) void socket.send('tick')
  }, 100)
  t.teardown(() => clearInterval(timer))
  await eventually(() => clients.every(({ bytes }) => bytes > 12))
  for (let round = 0; round < 2; round += 1) {
    program.child.kill('SIGSTOP')
    await eventually(() =>
      readFileSync(`/proc/${program.pid}/stat`, 'latin1').split(') ')[1]!.startsWith('T'),
    )
    const before = clients.map(({ bytes }) => bytes)
    await new Promise((resolve) => setTimeout(resolve, 3000))
    program.child.kill('SIGCONT')
    const isOver = (): boolean => clients.some(({ outcome }) => outcome !== null)
    await eventually(() => isOver() || clients.every(({ bytes }, nth) => bytes > before[nth]! + 4 * 35), {
      withinMs: 30_000,
      what: 'what was sent meanwhile',
    })
    t.same(
      program.lines.filter((line) => line.includes('connection closed')),
      [],
    )
  }
  const samples = await program.metrics()
  t.equal(samples.get('sidegate_connections', { listener: 'l0', side: 'client' }), 100)
  t.equal(samples.get('sidegate_connections', { listener: 'l1', protocol: 'websocket', side: 'client' }), 20)
  t.same(
    clients.filter(({ outcome }) => outcome !== null),
    [],
  )
  t.equal(samples.sum('sidegate_connections_closed_total'), 0)
  clearInterval(timer)
  await eventually(
    async () =>
      (await program.metrics()).get('sidegate_connections', { listener: 'l0', side: 'client' }) === 0,
    { what: 'those that fall silent to end' },
  )
})

// The upstream reads its request only after the stop, so its answer is a round trip away when the sweep comes.
test('nor does it blame an upstream for its own silence of three seconds', async (t) => {
  const upstream = await echo(t)
  const program = await runProgram(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { upstreamIdle: 1s }`,
  ])
  const clients = await Promise.all(Array.from({ length: 100 }, () => connect(t, program.port)))
  const timer = setInterval(() => {
    for (const client of clients) void client.write('tick')
  }, 100)
  t.teardown(() => clearInterval(timer))
  await eventually(() => clients.every(({ bytes }) => bytes > 12))
  program.child.kill('SIGSTOP')
  await new Promise((resolve) => setTimeout(resolve, 3000))
  program.child.kill('SIGCONT')
  const isOver = (): boolean => clients.some(({ outcome }) => outcome !== null)
  await eventually(() => isOver() || clients.every(({ bytes }) => bytes > 4 * 35), {
    withinMs: 30_000,
    what: 'what was sent meanwhile',
  })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  t.same(
    program.lines.filter((line) => line.includes('connection closed')),
    [],
  )
  t.notOk(isOver(), 'all go on')
  clearInterval(timer)
  await eventually(
    () => program.lines.filter((line) => line.includes('"close":"idle_timeout"')).length === 100,
    { what: 'an upstream that is silent by itself to be blamed' },
  )
})

// Only pongs show that quiet clients live, and these lie unread while the gate stands still.
test('nor does it take quiet WebSocket clients and services for gone, whose pongs it could not read', async (t) => {
  const service = await wsServer(t)
  const program = await runProgram(t, [
    `protocol: http, upstream: "127.0.0.1:${service.port}", websocket: { ping: { interval: 300ms, timeout: 300ms, misses: 1, to: both } }`,
  ])
  const clients = await Promise.all(
    Array.from({ length: 20 }, () => wsClient(t, `ws://127.0.0.1:${program.port}`)),
  )
  await eventually(() => clients.every(({ pings }) => pings.length >= 2))
  for (const ms of [400, 3000]) {
    program.child.kill('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, ms))
    const before = clients.map(({ pings }) => pings.length)
    program.child.kill('SIGCONT')
    await eventually(() => clients.every(({ pings }, nth) => pings.length >= before[nth]! + 3), {
      withinMs: 20_000,
      what: 'pings to go on',
    })
  }
  t.same(
    program.lines.filter((line) => line.includes('connection closed')),
    [],
  )
})
