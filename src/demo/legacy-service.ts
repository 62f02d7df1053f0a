// The service that cannot be changed: lines over TCP, and messages over WebSocket, both echoed. It has the
// faults of its age, each on request, and no deadline of its own.

import { createServer } from 'node:http'
import type { IncomingMessage, Server as HttpServer } from 'node:http'
import net from 'node:net'
import { WebSocketServer } from 'ws'
import { sleep } from './sleep.ts'

const CHUNK = Buffer.alloc(64 * 1024, '.')
const SLOW_ANSWER_MS = 400
/** Between the last bytes before a crash and the crash. */
const CRASH_MS = 100

export class LegacyService {
  readonly #lines = net.createServer({ allowHalfOpen: true }, (socket) => serveLines(socket))
  readonly #web: HttpServer = createServer((_request, response) => response.end('the legacy service\n'))
  readonly #webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  readonly #sockets = new Set<net.Socket>()
  readonly #ends = new Map<string, PromiseWithResolvers<number>>()

  linePort = 0
  webPort = 0

  async start(): Promise<void> {
    this.#web.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket as net.Socket, head))
    for (const server of [this.#lines, this.#web])
      server.on('connection', (socket: net.Socket) => this.#onConnection(socket))
    this.linePort = await listen(this.#lines)
    this.webPort = await listen(this.#web)
  }

  stop(): void {
    this.#lines.close()
    this.#web.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** The close code with which the WebSocket at `path` ended here; 1006 where there was no Close frame. */
  endOf(path: string): Promise<number> {
    return this.#end(path).promise
  }

  #end(path: string): PromiseWithResolvers<number> {
    const known = this.#ends.get(path) ?? Promise.withResolvers<number>()
    this.#ends.set(path, known)
    return known
  }

  #onConnection(socket: net.Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
  }

  #onUpgrade(request: IncomingMessage, socket: net.Socket, head: Buffer): void {
    const path = request.url ?? '/'
    if (path === '/mute') return
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('message', (data, isBinary) => webSocket.send(data, { binary: isBinary }))
      webSocket.on('error', () => {}).on('close', (code) => this.#end(path).resolve(code))
    })
  }
}

function listen(server: net.Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port))
  })
}

/** Answers each line; ends after its client did, and after the last answer. */
function serveLines(socket: net.Socket): void {
  let text = ''
  let isStuck = false
  let pending: Promise<void> = Promise.resolve()
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n')
    text = lines.pop() ?? ''
    isStuck ||= lines.includes('stuck')
    for (const line of lines) pending = pending.then(() => answer(socket, line))
  })
  socket.on('end', () => {
    if (!isStuck) void pending.then(() => socket.end())
  })
}

async function answer(socket: net.Socket, line: string): Promise<void> {
  const [word, argument] = line.split(' ')
  if (word === 'flood') {
    await flood(socket, Number(argument))
    socket.end()
  } else if (word === 'crash') {
    socket.write('half an ans')
    await sleep(CRASH_MS)
    socket.resetAndDestroy()
  } else {
    if (word === 'slow') await sleep(SLOW_ANSWER_MS)
    socket.write(`${line}\n`)
  }
}

async function flood(socket: net.Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0 && !socket.destroyed; left -= CHUNK.length) {
    const isFull = !socket.write(left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK)
    if (isFull) await drained(socket)
  }
}

function drained(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}
