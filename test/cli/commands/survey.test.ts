import { createServer, IncomingMessage } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { WebSocketServer } from 'ws'
import { parseConfig } from '../../../src/config/load.ts'
import { echo, mute } from '../../support/peers.ts'
import { acceptOf } from '../../support/handshake.ts'
import { freePort } from '../../support/free-port.ts'
import { sidegate } from './cli.ts'

interface Found {
  protocol: string
  findings: { question: string; answer: string; key?: string; value?: unknown }[]
  config: string
}

async function surveyed(
  t: Test,
  port: number,
  ...args: string[]
): Promise<Found & { of: (question: string) => string }> {
  const ran = await sidegate(t, 'survey', `127.0.0.1:${port}`, '--json', '--for', '1500ms', ...args)
  t.equal(ran.code, 0, ran.stderr)
  const found = JSON.parse(ran.stdout) as Found
  t.ok(parseConfig(found.config, 'survey.yaml'), 'the configuration is one')
  return {
    ...found,
    of: (question) => found.findings.find((one) => one.question.startsWith(question))?.answer ?? '',
  }
}

/** A Node service with WebSockets, as they are. */
async function nodeService(t: Test, keepAliveMs: number, maxPayload: number): Promise<number> {
  const server = createServer((_, response) => void response.end('hello'))
  server.keepAliveTimeout = keepAliveMs
  // Node adds a second to what it announces.
  const sockets = new WebSocketServer({ server, maxPayload, perMessageDeflate: false })
  sockets.on('connection', (socket) => socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('a Node service with WebSockets is found out, and a configuration fits', async (t) => {
  const port = await nodeService(t, 5000, 10_000)
  const found = await surveyed(t, port, '--messages', '64KiB')
  t.equal(found.protocol, 'http')
  t.match(found.of('speaks HTTP'), /^yes: 200 to GET \/ after \d+ ms, with a head of \d+ bytes$/)
  t.match(found.of('writes its heads strictly'), /^yes/)
  t.equal(found.of('takes a request without Host'), 'no: 400')
  t.equal(found.of('keeps an idle HTTP connection'), 'for more than 1.5 s')
  t.match(found.of('speaks WebSocket'), /^yes, at \/, without compression$/)
  t.match(found.of('answers pings'), /^yes, after \d+ ms$/)
  t.match(found.of('largest message'), /^8KiB; one of twice that ends with (1009|1006)$/)
  t.match(found.of('answers a Close'), /^yes, with 1000, after/)
  t.match(found.of('ends a silent WebSocket'), /^not within 1\.5 s; it sent no pings$/)
  t.match(found.config, /maxMessage: 8KiB # largest message that it takes: 8KiB/)
  t.match(found.config, new RegExp(`127\\.0\\.0\\.1:${port}`))
})

test('messages are sent only where that was asked for', async (t) => {
  const port = await nodeService(t, 5000, 10_000)
  const found = await surveyed(t, port)
  t.equal(found.of('largest message'), '')
})

/** Answers by hand, for what no library does. */
async function scripted(t: Test, answer: (socket: net.Socket, request: string) => void): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes) => answer(socket, bytes.toString('latin1')))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('a service that writes loosely and ends each connection is told so, with the keys that follow', async (t) => {
  const port = await scripted(t, (socket, request) => {
    if (/upgrade/i.test(request)) return void socket.destroy()
    socket.end('HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok')
  })
  const found = await surveyed(t, port)
  t.match(
    found.of('writes its heads strictly'),
    /^no: lines end with LF alone; Sidegate carries that with http\.lenient: upstream, its default$/,
  )
  t.equal(found.of('keeps an idle HTTP connection'), 'no: it ends each one')
  t.match(found.of('speaks WebSocket'), /^no: /)
  t.match(found.config, /keepAlive: off # keeps an idle HTTP connection: no: it ends each one/)
  t.match(found.config, /lenient: upstream # writes its heads strictly: no/)
})

test('a WebSocket behind heads with LF alone is surveyed, and the key that carries it is named', async (t) => {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  const head =
    'HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: '
  const port = await scripted(t, (socket, request) => {
    const key = /^sec-websocket-key: (.*)\r$/im.exec(request)?.[1]
    if (key === undefined) return void socket.end('HTTP/1.1 404 Not Found\nContent-Length: 0\n\n')
    socket.removeAllListeners('data')
    socket.write(`${head}${acceptOf(key)}\n\n`)
    // The rest of the protocol is that of a library, which finds the head sent.
    const { write } = socket
    socket.write = () => ((socket.write = write), true)
    const asked = Object.assign(new IncomingMessage(socket), {
      method: 'GET',
      headers: { upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': key },
    })
    sockets.handleUpgrade(asked, socket, Buffer.alloc(0), () => {})
  })
  t.teardown(() => sockets.close())
  const found = await surveyed(t, port)
  t.match(found.of('speaks WebSocket'), /^yes, at \//)
  const carried =
    /^no: lines end with LF alone; Sidegate carries that with http\.lenient: upstream, its default$/
  t.match(found.of('writes the head of its 101'), carried)
  t.match(found.of('answers pings'), /^yes, after/)
  t.match(found.of('answers a Close'), /^yes, with 1000/)
  t.match(found.of('ends a silent WebSocket'), /^not within/)
})

test('an answer that the gate does not carry is told by the rule that it breaks', async (t) => {
  const port = await scripted(t, (socket, request) => {
    if (/upgrade/i.test(request)) return void socket.end('HTTP/1.1 101 Yes\r\nBad Name: x\r\n\r\n')
    socket.end('HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n')
  })
  const found = await surveyed(t, port)
  t.match(
    found.of('writes its heads strictly'),
    /^no: malformed status line .*; Sidegate carries no such answer/,
  )
  t.match(found.of('speaks WebSocket'), /^no: its answer to an upgrade breaks a rule: malformed header line/)
  t.notMatch(found.config, /lenient/)
  const other = await scripted(t, (socket, request) => {
    socket.end(/upgrade/i.test(request) ? 'RFB 003.008\n' : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  })
  t.match(
    (await surveyed(t, other)).of('speaks WebSocket'),
    /^no: its answer to an upgrade is no HTTP: "RFB 003/,
  )
})

test('what speaks no HTTP is tcp; one that never ends its half is told', async (t) => {
  const quiet = await surveyed(t, (await mute(t)).port)
  t.equal(quiet.protocol, 'tcp')
  t.match(quiet.of('ends its half'), /^not within 3 s: deadlines\.halfClose/)
  t.match(quiet.of('ends a connection that says nothing'), /^not within 1\.5 s$/)
  const talker = await surveyed(t, (await echo(t)).port)
  t.equal(talker.protocol, 'tcp')
  t.match(talker.of('speaks HTTP'), /^no: to a GET it said "GET/)
})

test('nobody there, and words that make no survey', async (t) => {
  const gone = await sidegate(t, 'survey', `127.0.0.1:${freePort()}`)
  t.match(gone, { code: 1, stderr: /cannot be reached: ECONNREFUSED/ })
  t.match(await sidegate(t, 'survey'), { code: 64, stderr: /survey takes one address/ })
  t.match(await sidegate(t, 'survey', '127.0.0.1:1', '--for', '5'), { code: 64, stderr: /--for/ })
  t.match(await sidegate(t, 'survey', '127.0.0.1:1', '--path', 'x y'), { code: 64, stderr: /--path/ })
})
