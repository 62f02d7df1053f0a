// Services that speak HTTP/2 by prior knowledge, each with a record of what it received.

import http2 from 'node:http2'
import type net from 'node:net'
import type { Test } from 'tap'
import { listen } from './peers.ts'
import type { Upstream } from './peers.ts'

export interface H2Service {
  port: number
  server: http2.Http2Server
  /** Of all requests, in order. */
  sessions: http2.ServerHttp2Session[]
  streams: http2.ServerHttp2Stream[]
  /** Codes of received RST_STREAM frames, and of streams that ended well, in the order of their ends. */
  ended: number[]
}

export type OnStream = (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  flags: number,
  raw: string[],
) => void

/** Runs until the end of the test. */
export async function h2Service(
  t: Test,
  onStream: OnStream,
  options: http2.ServerOptions = {},
): Promise<H2Service> {
  const server = http2.createServer(options)
  const service: H2Service = { port: 0, server, sessions: [], streams: [], ended: [] }
  server.on('session', (session) => {
    service.sessions.push(session)
    session.on('error', () => {})
  })
  server.on('stream', (made, headers, flags, raw) => {
    const stream = made as http2.ServerHttp2Stream
    service.streams.push(stream)
    stream.on('error', () => {})
    stream.on('close', () => service.ended.push(stream.rstCode))
    onStream(stream, headers, flags, raw)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  service.port = (server.address() as net.AddressInfo).port
  t.teardown(async () => {
    for (const session of service.sessions) session.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return service
}

/** A frame by hand (RFC 9113 section 4.1). */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array | string = '',
): Buffer {
  const bytes = Buffer.from(payload as string)
  const head = Buffer.alloc(9)
  head.writeUIntBE(bytes.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, bytes])
}

export const DATA = 0
export const HEADERS = 1
export const RST_STREAM = 3
export const SETTINGS = 4
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const END_STREAM = 1
export const END_HEADERS = 4
/** A head of `:status: 200` (HPACK, static table). */
export const OK = Buffer.from([0x88])

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export const MAX_CONCURRENT_STREAMS = 3
export const INITIAL_WINDOW_SIZE = 4

/** The payload of a SETTINGS frame. */
export function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUInt16BE(id)
  bytes.writeUInt32BE(value, 2)
  return bytes
}

export interface SeenFrame {
  type: number
  flags: number
  stream: number
  payload: Buffer
}

/** Sends its preface, and writes frames by hand for each request; the test handles all other frames. */
export async function rawH2Service(
  t: Test,
  onRequest: (send: (bytes: Buffer) => void, stream: number) => void,
  onOther: (send: (bytes: Buffer) => void, frame: SeenFrame) => void = () => {},
  settings: Uint8Array | string = '',
): Promise<Upstream> {
  return listen(t, ({ socket }) => {
    const send = (bytes: Buffer): void => void socket.write(bytes)
    let rest: Buffer = Buffer.alloc(0)
    let hasPreface = false
    send(frame(SETTINGS, 0, 0, settings))
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      if (!hasPreface && rest.length >= 24) {
        hasPreface = true
        rest = rest.subarray(24)
      }
      if (!hasPreface) return
      while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
        const [type, flags, stream] = [rest[3]!, rest[4]!, rest.readUInt32BE(5)]
        const payload = rest.subarray(9, 9 + rest.readUIntBE(0, 3))
        rest = rest.subarray(9 + payload.length)
        if (type === SETTINGS && (flags & 1) === 0) send(frame(SETTINGS, 1, 0))
        if (type === HEADERS) onRequest(send, stream)
        else onOther(send, { type, flags, stream, payload })
      }
    })
  })
}
