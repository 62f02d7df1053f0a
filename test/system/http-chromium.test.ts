import t, { test } from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { launchChromium } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { within } from '../support/eventually.ts'
import { needs, program } from '../support/tools.ts'

t.setTimeout(240_000)

const page = `<!doctype html><title>wait</title><body>wait<script>
const ws = new WebSocket('ws://' + location.host + '/ws')
const echoed = new Promise((resolve, reject) => { ws.onopen = () => ws.send('over websocket'); ws.onmessage = (e) => resolve(e.data); ws.onerror = reject })
const events = new Promise((resolve, reject) => { const es = new EventSource('/events'); es.onmessage = (e) => { es.close(); resolve(e.data) }; es.onerror = reject })
const posted = fetch('/post', { method: 'POST', body: 'x'.repeat(200000) }).then((r) => r.text())
const many = Promise.all(Array.from({ length: 20 }, (_, i) => fetch('/many?' + i).then((r) => r.text()))).then((all) => all.join() === Array.from({ length: 20 }, (_, i) => '/many?' + i).join())
Promise.all([echoed, events, posted, many]).then((all) => JSON.stringify(all), (e) => 'failed: ' + e).then((result) => fetch('/result', { method: 'POST', body: result }))
</script>`

test(
  'a page, its fetches, its events and its WebSocket go through one port, in Chromium',
  needs(CHROMIUM),
  async (t) => {
    const result = Promise.withResolvers<string>()
    const server = http.createServer((request, response) => {
      if (request.url === '/') return void response.writeHead(200, { 'Content-Type': 'text/html' }).end(page)
      if (request.url === '/events') {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' })
        response.flushHeaders()
        return void setTimeout(() => response.write('data: an event\n\n'), 100)
      }
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const body = Buffer.concat(chunks)
        if (request.url === '/result') result.resolve(body.toString())
        response.end(request.url === '/post' ? `posted ${body.length}` : request.url)
      })
    })
    const sockets = new WebSocketServer({ server, path: '/ws' })
    sockets.on('connection', (socket) =>
      socket.on('message', (data, binary) => socket.send(data, { binary })),
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      for (const socket of sockets.clients) socket.terminate()
      server.closeAllConnections()
      server.close()
    })
    const gate = await program(
      t,
      `protocol: http, upstream: "127.0.0.1:${(server.address() as AddressInfo).port}"`,
    )
    const browser = await launchChromium()
    t.teardown(() => browser.close())
    await (await browser.newPage()).goto(`http://127.0.0.1:${gate.port}/`)
    t.equal(
      await within(result.promise, { what: 'the page to be done', withinMs: 60_000 }),
      '["over websocket","an event","posted 200000",true]',
    )
  },
)
