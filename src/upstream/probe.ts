// One look at an address: whether it accepts, answers a GET, or opens a WebSocket and answers a ping. A probe has one
// connection, and is over when that is closed; it has no time of its own.

import type net from 'node:net'
import type { WebSocket as Ws } from 'ws'
import { nodeHttp } from '../core/node-http.ts'
import type { Dial, SocketDialler } from './dial.ts'

export type ProbeType = 'tcp' | 'http' | 'websocket'

export interface Probe {
  /** Ends it at once, and nothing is reported any more. What was found so far: null if the address is well. */
  giveUp(): string | null
}

/** Null if the address is well, or what is wrong with it; and what it said, as far as it said something. */
export type Found = (problem: string | null, answered: string | null) => void

/** Of the status of an answer, both included. */
export interface StatusRange {
  from: number
  to: number
}

export interface ProbeOptions {
  type: ProbeType
  path: string
  /** The Host of the request, and headers that take the place of ours. */
  host: string
  headers: Readonly<Record<string, string>>
  /** Those that pass, with `http`. */
  status: readonly StatusRange[]
  /** Opens the connection. */
  dial: (dialler: SocketDialler) => Dial
}

/** A health endpoint has a short head; what it says behind that is not read. */
const MAX_HEADER_BYTES = 16 * 1024
/** A service may greet everyone who connects; what it says is thrown away, and an endless one is no sign of health. */
const MAX_PAYLOAD_BYTES = 64 * 1024
const USER_AGENT = 'sidegate-health-check'
/** Of the body of an answer that does not pass: it may say why (which host it wants, which dependency is missing). */
const MAX_WORDS = 120

const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)

/** Calls `done` once, never in the same turn. */
export function probe(options: ProbeOptions, done: Found): Probe {
  let isOver = false
  const once: Found = (problem, answered) => {
    if (!isOver) done(problem, answered)
    isOver = true
  }
  let giveUp = (): string | null => {
    dial.cancel()
    return SILENT
  }
  const dial = options.dial({
    onSocket: (socket) => void (giveUp = talks[options.type](socket, options, once)),
    onDialFailed: ({ reason, detail }) => once(detail ?? reason, null),
  })
  return {
    giveUp() {
      isOver = true
      return giveUp()
    },
  }
}

type Talk = (socket: net.Socket, options: ProbeOptions, done: Found) => () => string | null

/** What is said once the connection stands. */
const talks: Record<ProbeType, Talk> = {
  tcp(socket, _, done) {
    socket.on('error', ignore)
    socket.destroy()
    done(null, 'accepted')
    return () => null
  },

  http(socket, { path, host, headers, status }, done) {
    let problem = SILENT
    const request = nodeHttp.request({
      createConnection: () => socket,
      path,
      maxHeaderSize: MAX_HEADER_BYTES,
      headers: { 'User-Agent': USER_AGENT, ...headers, Host: host, Connection: 'close' },
    })
    const finish = (found: string | null, answered: string | null): void => {
      done(found, answered)
      request.destroy()
    }
    request.once('response', (answer) => {
      const { statusCode = 0, statusMessage = '' } = answer
      const said = `${statusCode} ${printable(statusMessage)}`.trim()
      if (status.some(({ from, to }) => statusCode >= from && statusCode <= to)) return finish(null, said)
      problem = `status ${said}`
      answer.once('data', (chunk: Buffer) => finish(`${problem}: ${printable(chunk.toString('latin1', 0, MAX_WORDS))}`, said))
      answer.once('close', () => finish(problem, said))
    })
    request.once('upgrade', (_, upgraded) => {
      done('status 101', '101')
      upgraded.destroy()
    })
    request.on('error', (error: NodeJS.ErrnoException) => done(wordsOf(error), null))
    request.end()
    return () => {
      request.destroy()
      return problem
    }
  },

  websocket(connected, { path, host, headers }, done) {
    // Loaded for the first probe: most gates have none.
    const { WebSocket } = require('ws') as { WebSocket: typeof Ws }
    let problem: string | null = SILENT
    const socket = new WebSocket(`ws://localhost${path}`, {
      createConnection: () => connected,
      perMessageDeflate: false,
      maxPayload: MAX_PAYLOAD_BYTES,
      headers: { 'User-Agent': USER_AGENT, ...headers, Host: host },
    })
    socket.once('open', () => socket.ping())
    socket.once('pong', () => {
      problem = null
      socket.close(1000)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => (problem &&= wordsOf(error)))
    socket.once('close', (code: number) => {
      done(problem === SILENT ? `closed with ${code} before its pong` : problem, problem === null ? 'pong' : null)
    })
    return () => {
      socket.terminate()
      return problem
    }
  },
}

function ignore(): void {}

/** What a service says is not ours to trust in a log line. */
function printable(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]+/g, ' ').trim()
}

const SILENT = 'no answer'

function wordsOf(error: NodeJS.ErrnoException): string {
  return (error.code ?? error.message).slice(0, 120)
}
