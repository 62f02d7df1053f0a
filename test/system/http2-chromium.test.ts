import t, { test } from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { launchChromium } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { needs } from '../support/tools.ts'

t.setTimeout(240_000)

/** Runs in the page: fetches, events, an upload and a WebSocket, all of one origin. */
async function everything(): Promise<string[]> {
  const posted = fetch('/post', { method: 'POST', body: 'x'.repeat(200_000) }).then((r) => r.text())
  const many = Promise.all(Array.from({ length: 20 }, (_, i) => fetch(`/many?${i}`).then((r) => r.text())))
  const event = new Promise<string>((resolve, reject) => {
    const source = new EventSource('/events')
    source.addEventListener('message', ({ data }) => {
      source.close()
      resolve(String(data))
    })
    source.addEventListener('error', reject)
  })
  const socket = new WebSocket('/ws', 'a')
  const echoed = new Promise<string>((resolve, reject) => {
    socket.addEventListener('open', () => socket.send('over websocket'))
    socket.addEventListener('message', ({ data }) => resolve(`${socket.protocol} ${String(data)}`))
    socket.addEventListener('error', () => reject(new Error('no WebSocket')))
  })
  const all = [await posted, (await many).join(), await event, await echoed]
  const closed = new Promise<string>((resolve) => {
    socket.addEventListener('close', ({ code, reason }) => resolve(`${code} ${reason}`))
  })
  socket.close(3001, 'enough')
  return [...all, await closed]
}

async function service(): Promise<{ server: http.Server; versions: Set<string> }> {
  const versions = new Set<string>()
  const server = http.createServer((request, response) => {
    versions.add(request.httpVersion)
    if (request.url === '/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      return void response.write('data: an event\n\n')
    }
    let bytes = 0
    request.on('data', (chunk: Buffer) => (bytes += chunk.length))
    request.on('end', () => {
      if (request.url === '/') response.setHeader('Content-Type', 'text/html')
      response.end(request.url === '/post' ? `posted ${bytes}` : request.url)
    })
  })
  const sockets = new WebSocketServer({ server, path: '/ws' })
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, versions }
}

for (const mode of ['frames', 'messages'] as const)
  test(
    `a page, its fetches, its events and its WebSocket go over one HTTP/2 connection of Chromium, in ${mode} mode`,
    needs(CHROMIUM),
    async (t) => {
      const { server, versions } = await service()
      t.teardown(() => (server.closeAllConnections(), server.close()))
      const { cert, key } = authority(t).issue('server')
      const gate = await startGate(t, [
        `protocol: http, upstream: "127.0.0.1:${(server.address() as AddressInfo).port}", tls: { cert: "${cert}", key: "${key}" }, websocket: { mode: ${mode} }`,
      ])
      const browser = await launchChromium()
      t.teardown(() => browser.close())
      const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()
      await page.goto(`https://localhost:${gate.port}/`)
      t.same(await page.evaluate(everything), [
        'posted 200000',
        Array.from({ length: 20 }, (_, nth) => `/many?${nth}`).join(),
        'an event',
        'a over websocket',
        '3001 enough',
      ])
      await browser.close()
      const streams = await eventually(
        () => {
          const ended = gate.lines.filter((line) => 'session' in line)
          return ended.length >= 24 && gate.registry.size === 0 ? ended : null
        },
        { what: 'the end of every stream' },
      )
      const socket = streams.find((line) => line['protocol'] === 'websocket')
      t.match(socket, { close: 'eof', clientCode: 3001, closedFirst: 'client' })
      t.equal(new Set(streams.map((line) => line['session'])).size, 1, 'one connection')
      t.same([...versions], ['1.1'])
    },
  )
