import root, { test } from 'tap'
import { echo, options, scene, service, socket, talker } from './netns-scene.ts'

root.setTimeout(120_000)

test('a tcp client that vanishes while idle is ended by deadlines.idle', options, async (t) => {
  const { net, upstream, end } = await scene(t, 'tcp', 'deadlines: { idle: 1s, close: 500ms }', {
    upstream: [echo],
    client: talker,
  })
  net.vanish('client')
  t.match(await end(), { close: 'idle_timeout', side: 'sidegate' })
  await upstream.said('end')
})

/** Pushes a word every 100 ms: the queue in the gate's kernel grows, and is never full. */
const pushing = `
  const { WebSocketServer } = require('ws')
  new WebSocketServer({ port: 9000 }, () => console.log('listening')).on('connection', (s) => {
    s.send('hello')
    const timer = setInterval(() => s.send('a word'), 100)
    s.on('close', (code, reason) => (clearInterval(timer), console.log('closed', code, reason.toString())))
  })`

const pings =
  'websocket: { ping: { interval: 500ms, timeout: 500ms } }, deadlines: { write: 1s }, tcpKeepAlive: off'

for (const [what, program] of [
  ['while idle', service],
  ['while it is sent little', pushing],
] as const) {
  test(
    `a WebSocket client that vanishes ${what}: not even a ping reaches its host, so it ends with write_timeout`,
    options,
    async (t) => {
      const { net, end } = await scene(t, 'http', pings, { upstream: [program], client: socket })
      net.vanish('client')
      t.match(await end(), { close: 'write_timeout', side: 'client', detail: /not even a ping/ })
    },
  )
}

test(
  'a WebSocket upstream that vanishes while idle ends with write_timeout, and its client is reset',
  options,
  async (t) => {
    const { net, client, end } = await scene(t, 'http', pings, { upstream: [service], client: socket })
    net.vanish('upstream')
    t.match(await end(), { close: 'write_timeout', side: 'upstream', detail: /not even a ping/ })
    await client.said('closed')
  },
)

test(
  'a WebSocket client that vanishes behind a load balancer, which takes the pings for it, ends with ping_timeout',
  options,
  async (t) => {
    const { upstream, client, end } = await scene(
      t,
      'http',
      'websocket: { ping: { interval: 500ms, timeout: 500ms } }, deadlines: { write: 60s }',
      { upstream: [service], client: socket },
    )
    // It answers one ping, and then its process stands still: its kernel still takes bytes, as a load balancer does.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    client.child.kill('SIGSTOP')
    t.match(await end(), { close: 'ping_timeout', side: 'client' })
    t.match(await upstream.said('closed'), 'closed 1001')
    client.child.kill('SIGCONT')
  },
)

test(
  'a WebSocket client whose process stands still for less than three pings goes on',
  options,
  async (t) => {
    const { client, gate } = await scene(t, 'http', 'websocket: { ping: { interval: 1s, timeout: 1s } }', {
      upstream: [service],
      client: socket,
    })
    await new Promise((resolve) => setTimeout(resolve, 2500))
    client.child.kill('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 2000))
    client.child.kill('SIGCONT')
    await new Promise((resolve) => setTimeout(resolve, 3000))
    t.notOk(gate.lines.some((line) => line.includes('connection closed')))
  },
)

test('WebSocket peers that are idle and answer pings stay', options, async (t) => {
  const { gate, client } = await scene(
    t,
    'http',
    'websocket: { ping: { interval: 300ms, timeout: 300ms } }',
    { upstream: [service], client: socket },
  )
  await new Promise((resolve) => setTimeout(resolve, 3000))
  t.notOk(gate.lines.some((line) => line.includes('connection closed')))
  t.same(client.lines, ['heard'])
})
