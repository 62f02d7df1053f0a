import { test } from 'tap'
import { echo, options, scene, service, socket, talker } from './netns-scene.ts'

test('a tcp client that vanishes while idle is ended by deadlines.idle', options, async (t) => {
  const { net, upstream, end } = await scene(t, 'tcp', 'deadlines: { idle: 1s, close: 500ms }', { upstream: [echo], client: talker })
  net.vanish('client')
  t.match(await end(), { close: 'idle_timeout', side: 'sidegate' })
  await upstream.said('end')
})

test('a WebSocket client that vanishes while idle is ended by ping_timeout, and its upstream is told', options, async (t) => {
  const { net, upstream, end } = await scene(t, 'http', 'websocket: { ping: { interval: 500ms, timeout: 500ms } }', { upstream: [service], client: socket })
  net.vanish('client')
  t.match(await end(), { close: 'ping_timeout', side: 'client' })
  t.match(await upstream.said('closed'), 'closed 1001')
})

test('a WebSocket upstream that vanishes while idle is ended by ping_timeout, and its client is told', options, async (t) => {
  const { net, client, end } = await scene(t, 'http', 'websocket: { ping: { interval: 500ms, timeout: 500ms } }', { upstream: [service], client: socket })
  await new Promise((resolve) => setTimeout(resolve, 1500)) // it is held to pings once it has answered one
  net.vanish('upstream')
  t.match(await end(), { close: 'ping_timeout', side: 'upstream' })
  t.match(await client.said('closed'), 'closed 1001')
})

test('WebSocket peers that are idle and answer pings stay', options, async (t) => {
  const { gate, client } = await scene(t, 'http', 'websocket: { ping: { interval: 300ms, timeout: 300ms } }', { upstream: [service], client: socket })
  await new Promise((resolve) => setTimeout(resolve, 3000))
  t.notOk(gate.lines.some((line) => line.includes('connection closed')))
  t.same(client.lines, ['heard'])
})
