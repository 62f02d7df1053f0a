import { test } from 'tap'
import type { Test } from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { get, httpClient, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { FrameWire, wsClient } from '../support/websocket.ts'

async function path(t: Test, withoutSharedBuffer: boolean): Promise<Gate> {
  watchLeaks(t)
  watchCrashes(t)
  const server = http.createServer((request, response) => {
    request
      .resume()
      .on('end', () =>
        setTimeout(() => response.end(`plain ${request.url}`), request.url === '/slow' ? 100 : 0),
      )
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return startGate(t, [`protocol: http, upstream: "127.0.0.1:${(server.address() as AddressInfo).port}"`], {
    withoutSharedBuffer,
  })
}

for (const withoutSharedBuffer of [false, true]) {
  const how = `shared buffer: ${!withoutSharedBuffer}`

  test(`plain requests and WebSockets are served side by side (${how})`, async (t) => {
    const gate = await path(t, withoutSharedBuffer)
    const socket = await wsClient(t, `ws://127.0.0.1:${gate.port}/`)
    const client = await httpClient(t, gate.port)
    for (let i = 0; i < 5; i++) {
      t.equal((await client.get(get(`/${i}`))).body.toString(), `plain /${i}`)
      await socket.send(`message ${i}`)
      t.equal((await socket.nextMessage()).data.toString(), `message ${i}`)
    }
    const metrics = await gate.metrics()
    t.match(metrics, 'sidegate_connections{listener="l0",protocol="http",side="client"} 1')
    t.match(metrics, 'sidegate_connections{listener="l0",protocol="websocket",side="client"} 1')
  })

  test(`a kept-alive connection may become a WebSocket, large messages and early frames included (${how})`, async (t) => {
    const gate = await path(t, withoutSharedBuffer)
    const client = await httpClient(t, gate.port)
    for (let i = 0; i < 3; i++) t.equal((await client.get(get(`/${i}`))).status, 200)
    const early = encodeFrame({ opcode: 1, payload: Buffer.from('early'), mask: true })
    await client.send(Buffer.concat([Buffer.from(upgradeRequest()), early]))
    const answer = await client.answer()
    t.equal(answer.status, 101)
    const frames = new FrameWire(client.wire)
    t.equal((await frames.nextFrame()).payload.toString(), 'early')
    for (const size of [1, 70_000, 900_000]) {
      const payload = Buffer.alloc(size, String(size))
      void frames.sendFrame({ opcode: 2, payload, mask: true })
      const back = await frames.nextFrame()
      t.ok(back.payload.equals(payload), `${size} bytes`)
    }
    const open = gate.open()
    t.equal(open.protocol, 'websocket')
    void frames.sendFrame({ opcode: 8, payload: Buffer.from([3, 232]), mask: true })
    t.equal((await frames.nextFrame()).opcode, 'close')
    client.wire.end()
    const { line } = await gate.end()
    t.match(line, { protocol: 'websocket', close: 'eof', messagesToUpstream: 4 })
    t.ok((line['bytesToUpstream'] as number) >= 970_000)
    t.equal(line['bytesToUpstream'], client.wire.sent, 'nothing counted twice')
    const metrics = await gate.metrics()
    t.match(metrics, 'sidegate_connections_opened_total{listener="l0",protocol="websocket"} 1')
    t.match(metrics, 'sidegate_http_requests_total{listener="l0",method="GET",code="200"} 3')
  })

  test(`an upgrade that is pipelined behind a request waits for its answer (${how})`, async (t) => {
    const gate = await path(t, withoutSharedBuffer)
    const client = await httpClient(t, gate.port)
    await client.send(get('/slow') + upgradeRequest())
    const first = await client.answer()
    t.same([first.status, first.body.toString()], [200, 'plain /slow'])
    t.equal((await client.answer()).status, 101)
    const frames = new FrameWire(client.wire)
    void frames.sendFrame({ opcode: 1, payload: Buffer.from('hello'), mask: true })
    t.equal((await frames.nextFrame()).payload.toString(), 'hello')
  })

  test(`a later upgrade that is wrong is refused as a first one (${how})`, async (t) => {
    const gate = await path(t, withoutSharedBuffer)
    const wrong: Array<[Record<string, string | null>, number]> = [
      [{ 'Sec-WebSocket-Version': '12' }, 426],
      [{ 'Sec-WebSocket-Key': 'short' }, 400],
      [{ 'Content-Length': '1' }, 400],
      [{ Host: 'a b' }, 400],
      [{ Expect: 'x' }, 417],
      [{ 'Sidegate-Hops': '10' }, 508],
      [{ Upgrade: 'websocket, h2c' }, 400],
    ]
    for (const [headers, status] of wrong) {
      for (const isLater of [false, true]) {
        const client = await httpClient(t, gate.port)
        if (isLater) await client.get(get())
        t.equal((await client.get(upgradeRequest({ headers }))).status, status, JSON.stringify(headers))
      }
    }
  })
}
