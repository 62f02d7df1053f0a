// One look at an address: whether it accepts, answers a GET, or opens a WebSocket and answers a ping. A probe has one
// connection, and is over when that is closed; it has no time of its own.

import type net from 'node:net'
import type { WebSocket as Ws } from 'ws'
import { nodeHttp } from '../core/node-http.ts'
import { formatTarget } from './dial.ts'
import type { Dial, SocketDialler, Target } from './dial.ts'

export type ProbeType = 'tcp' | 'http' | 'websocket'

export interface Probe {
  /** Ends it at once, and nothing is reported any more. What was found so far: null if the address is well. */
  giveUp(): string | null
}

export interface ProbeOptions {
  type: ProbeType
  target: Target
  path: string
  /** Opens the connection. */
  dial: (dialler: SocketDialler) => Dial
}

/** A health endpoint has a short head; what it says behind that is not read. */
const MAX_HEADER_BYTES = 16 * 1024
/** A service may greet everyone who connects; what it says is thrown away, and an endless one is no sign of health. */
const MAX_PAYLOAD_BYTES = 64 * 1024
const USER_AGENT = 'sidegate-health-check'

const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)

/** Calls `done` once, never in the same turn: null if the address is well, or what is wrong with it. */
export function probe(options: ProbeOptions, done: (problem: string | null) => void): Probe {
  let isOver = false
  const once = (problem: string | null): void => {
    if (!isOver) done(problem)
    isOver = true
  }
  let giveUp = (): string | null => {
    dial.cancel()
    return SILENT
  }
  const dial = options.dial({
    onSocket: (socket) => void (giveUp = talks[options.type](socket, options, once)),
    onDialFailed: ({ reason, detail }) => once(detail ?? reason),
  })
  return {
    giveUp() {
      isOver = true
      return giveUp()
    },
  }
}

type Talk = (socket: net.Socket, options: ProbeOptions, done: (problem: string | null) => void) => () => string | null

/** What is said once the connection stands. */
const talks: Record<ProbeType, Talk> = {
  tcp(socket, _, done) {
    socket.on('error', ignore)
    socket.destroy()
    done(null)
    return () => null
  },

  http(socket, { target, path }, done) {
    const request = nodeHttp.request({
      createConnection: () => socket,
      path,
      maxHeaderSize: MAX_HEADER_BYTES,
      headers: { Host: 'path' in target ? 'localhost' : formatTarget(target), 'User-Agent': USER_AGENT, Connection: 'close' },
    })
    request.once('response', ({ statusCode = 0 }) => {
      done(statusCode >= 200 && statusCode < 400 ? null : `status ${statusCode}`)
      request.destroy()
    })
    request.once('upgrade', (_, upgraded) => {
      done('status 101')
      upgraded.destroy()
    })
    request.on('error', (error: NodeJS.ErrnoException) => done(wordsOf(error)))
    request.end()
    return () => {
      request.destroy()
      return SILENT
    }
  },

  websocket(connected, { target, path }, done) {
    // Loaded for the first probe: most gates have none.
    const { WebSocket } = require('ws') as { WebSocket: typeof Ws }
    let problem: string | null = SILENT
    const socket = new WebSocket(`ws://${'path' in target ? 'localhost' : formatTarget(target)}${path}`, {
      createConnection: () => connected,
      perMessageDeflate: false,
      maxPayload: MAX_PAYLOAD_BYTES,
      headers: { 'User-Agent': USER_AGENT },
    })
    socket.once('open', () => socket.ping())
    socket.once('pong', () => {
      problem = null
      socket.close(1000)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => (problem &&= wordsOf(error)))
    socket.once('close', (code: number) => done(problem === SILENT ? `closed with ${code} before its pong` : problem))
    return () => {
      socket.terminate()
      return problem
    }
  },
}

function ignore(): void {}

const SILENT = 'no answer'

function wordsOf(error: NodeJS.ErrnoException): string {
  return (error.code ?? error.message).slice(0, 120)
}
