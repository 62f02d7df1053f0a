// A stream of HTTP/2 as a wire: the client end of a conversation, over a connection of its own.

import type { Test } from 'tap'
import { connect as connectTcp } from 'node:net'
import type { Socket } from 'node:net'
import http2 from 'node:http2'
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { within } from './eventually.ts'
import { Wire } from './wire.ts'
import type { WireOptions } from './wire.ts'

export interface H2Wire extends Wire {
  /** The socket of the connection. */
  raw: Socket
  stream: ClientHttp2Stream
  /** The head of the answer. */
  answer: Promise<IncomingHttpHeaders>
}

/** Opens a stream with this head, in the clear; resolves once the gate has announced extended CONNECT. */
export async function h2Wire(
  t: Test,
  port: number,
  headers: OutgoingHttpHeaders,
  options: WireOptions = {},
): Promise<H2Wire> {
  const raw = connectTcp(port, '127.0.0.1')
  const session = http2.connect('http://127.0.0.1', { createConnection: () => raw })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const isTold = new Promise<void>((resolve) => void session.once('remoteSettings', () => resolve()))
  await within(isTold, { what: 'SETTINGS of the gate' })
  const stream = session.request(headers, { endStream: false })
  stream.on('close', () => session.close())
  const answer = new Promise<IncomingHttpHeaders>((resolve) => void stream.on('response', resolve))
  const socket = Object.assign(stream, { setNoDelay() {}, resetAndDestroy: () => raw.resetAndDestroy() })
  return Object.assign(new Wire(socket as unknown as Socket, options), { raw, stream, answer })
}

/** The head of an extended CONNECT (RFC 8441). */
export function websocketHead(headers: OutgoingHttpHeaders = {}): OutgoingHttpHeaders {
  return {
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'http',
    ':authority': 'a',
    ':path': '/',
    'sec-websocket-version': '13',
    ...headers,
  }
}
