import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { within } from '../support/eventually.ts'
import { wsServer } from '../support/websocket.ts'
import { chromium, missing, startProgram } from './websocket-tools.ts'
import type { Gate } from './websocket-tools.ts'

const skip = missing({ name: 'Chromium', isThere: chromium !== null })

/** Runs in the browser: talks through the gate, and tells the test what it saw. */
const page = (url: string): string => `<!doctype html><script>
const seen = { messages: [], url: ${JSON.stringify(url)} }
const tell = () => fetch('/seen', { method: 'POST', body: JSON.stringify(seen) })
const socket = new WebSocket(seen.url, ['v1', 'v2'])
socket.binaryType = 'arraybuffer'
const payloads = ['hello', 'ä😀'.repeat(1000), 'x'.repeat(300000), new Uint8Array(200000).fill(7), '']
socket.onopen = () => {
  seen.protocol = socket.protocol
  seen.extensions = socket.extensions
  payloads.forEach((payload) => socket.send(payload))
}
socket.onmessage = ({ data }) => {
  const sent = payloads[seen.messages.length]
  seen.messages.push(typeof data === 'string' ? data === sent : data.byteLength === sent.length && new Uint8Array(data).every((byte) => byte === 7))
  if (seen.messages.length === payloads.length) socket.close(4001, 'bye')
}
socket.onclose = ({ code, reason, wasClean }) => { Object.assign(seen, { code, reason, wasClean }); tell() }
</script>`

/** Loads a page that opens a WebSocket to the gate that is made for its origin; resolves with what it saw. */
async function browse(t: Test, makeGate: (origin: string) => Promise<Gate>): Promise<{ seen: Record<string, unknown>; gate: Gate }> {
  const seen = Promise.withResolvers<Record<string, unknown>>()
  let url = ''
  const server = createServer((request, response) => {
    if (request.method !== 'POST') return response.setHeader('content-type', 'text/html; charset=utf-8').end(request.url === '/' ? page(url) : '')
    let body = ''
    request.on('data', (chunk: Buffer) => void (body += chunk.toString()))
    request.on('end', () => {
      response.end()
      seen.resolve(JSON.parse(body) as Record<string, unknown>)
    })
    return response
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const gate = await makeGate(origin)
  url = gate.url
  const folder = mkdtempSync(join(tmpdir(), 'sidegate-chromium-'))
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--remote-debugging-pipe', `--user-data-dir=${folder}`]
  // The DevTools pipe, of which nothing is asked, keeps it open until it is killed; --dump-dom would not wait for the socket.
  const child = spawn(chromium!, [...flags, `${origin}/`], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, TMPDIR: folder } })
  const exited = new Promise((resolve) => child.once('close', resolve))
  t.teardown(async () => {
    process.kill(-child.pid!, 'SIGKILL') // the group: its renderers too
    await exited
    server.closeAllConnections()
    server.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return { seen: await within(seen.promise, { withinMs: 60_000, what: 'the page to tell what it saw' }), gate }
}

test('a page in Chromium talks through the gate, compressed, and closes', { skip }, async (t) => {
  const upstream = await wsServer(t, { perMessageDeflate: true, handleProtocols: () => 'v2' })
  const { seen, gate } = await browse(t, (origin) => startProgram(t, upstream.port, `websocket: { origins: ["${origin}"], ping: { interval: 200ms, timeout: 200ms } }`))
  t.match(seen, { protocol: 'v2', extensions: /^permessage-deflate/, messages: [true, true, true, true, true], code: 4001, reason: 'bye', wasClean: true })
  t.match(await gate.end(), { close: 'eof', side: 'client', protocol: 'websocket', detail: 'code 4001', messagesToUpstream: 5, messagesToClient: 5 })
})

test('a page of an origin that is not on the list gets no connection', { skip }, async (t) => {
  const upstream = await wsServer(t)
  const { seen, gate } = await browse(t, () => startProgram(t, upstream.port, 'websocket: { origins: ["https://a.example"] }'))
  t.match(seen, { messages: [], code: 1006, wasClean: false })
  t.match(await gate.end(), { close: 'denied', side: 'client' })
  t.equal(upstream.connections.length, 0)
})

test('a page is told by the gate why it is sent away', { skip }, async (t) => {
  const upstream = await wsServer(t, { echo: false })
  const { seen } = await browse(t, () => startProgram(t, upstream.port, 'deadlines: { lifetime: 500ms }'))
  t.match(seen, { code: 1001, reason: 'lifetime_timeout', wasClean: true })
})
