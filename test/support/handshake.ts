// The two heads of a WebSocket handshake, right or wrong as the test chooses.

import { createHash, randomBytes } from 'node:crypto'
import type { Head } from './http.ts'

/** The Sec-WebSocket-Accept for a key. */
export const acceptOf = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')

export interface HandshakeOptions {
  path?: string
  /** Replace headers of the same name, or follow the others; null removes one. */
  headers?: Record<string, string | null>
  method?: string
  version?: string
}

/** The head of an upgrade request, right unless the options make it wrong. */
export function upgradeRequest(options: HandshakeOptions = {}): string {
  const { path = '/', headers = {}, method = 'GET', version = '1.1' } = options
  const all: Record<string, string | null> = {
    Host: 'sidegate.test',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...headers,
  }
  return writeHead(`${method} ${path} HTTP/${version}`, all)
}

/** The head of a right 101 to that request; `headers` as in HandshakeOptions. */
export function switchingProtocols(request: Head, headers: Record<string, string | null> = {}): string {
  const all: Record<string, string | null> = {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Accept': acceptOf(request.header('sec-websocket-key') ?? ''),
    ...headers,
  }
  return writeHead('HTTP/1.1 101 Switching Protocols', all)
}

function writeHead(line: string, headers: Record<string, string | null>): string {
  const present = Object.entries(headers).filter(([, value]) => value !== null)
  return `${line}\r\n${present.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
}
