// One look at an address: whether it accepts, answers a GET, or opens a WebSocket and answers a ping. A probe has one
// connection, and is over when that is closed; it has no time of its own.

import { createRequire } from 'node:module'
import net from 'node:net'
import type { WebSocket as Ws } from 'ws'
import { nodeHttp } from '../node-http.ts'
import { formatTarget } from './dial.ts'
import type { Target } from './dial.ts'

export type ProbeType = 'tcp' | 'http' | 'websocket'

export interface Probe {
  /** Ends it at once, and nothing is reported any more. What was found so far: null if the address is well. */
  giveUp(): string | null
}

export interface ProbeOptions {
  type: ProbeType
  target: Target
  path: string
}

/** A health endpoint has a short head; what it says behind that is not read. */
const MAX_HEADER_BYTES = 16 * 1024
/** A service may greet everyone who connects; what it says is thrown away, and an endless one is no sign of health. */
const MAX_PAYLOAD_BYTES = 64 * 1024
const USER_AGENT = 'sidegate-health-check'

const require = createRequire(import.meta.url)

/** Calls `done` once, never in the same turn: null if the address is well, or what is wrong with it. */
export function probe(options: ProbeOptions, done: (problem: string | null) => void): Probe {
  let isOver = false
  const once = (problem: string | null): void => {
    if (!isOver) done(problem)
    isOver = true
  }
  const giveUp = probes[options.type](options, once)
  return {
    giveUp() {
      isOver = true
      return giveUp()
    },
  }
}

type Start = (options: ProbeOptions, done: (problem: string | null) => void) => () => string | null

const probes: Record<ProbeType, Start> = {
  tcp({ target }, done) {
    const socket = net.connect(target)
    socket.once('connect', () => {
      done(null)
      socket.destroy()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => done(wordsOf(error)))
    return () => {
      socket.destroy()
      return SILENT
    }
  },

  http({ target, path }, done) {
    const request = nodeHttp.request({
      ...('path' in target ? { socketPath: target.path } : target),
      path,
      agent: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      headers: { Host: 'path' in target ? 'localhost' : formatTarget(target), 'User-Agent': USER_AGENT, Connection: 'close' },
    })
    request.once('response', ({ statusCode = 0 }) => {
      done(statusCode >= 200 && statusCode < 400 ? null : `status ${statusCode}`)
      request.destroy()
    })
    request.once('upgrade', (_, socket) => {
      done('status 101')
      socket.destroy()
    })
    request.on('error', (error: NodeJS.ErrnoException) => done(wordsOf(error)))
    request.end()
    return () => {
      request.destroy()
      return SILENT
    }
  },

  websocket({ target, path }, done) {
    // Loaded for the first probe: most gates have none.
    const { WebSocket } = require('ws') as { WebSocket: typeof Ws }
    let problem: string | null = SILENT
    const socket = new WebSocket(`ws://${'path' in target ? 'localhost' : formatTarget(target)}${path}`, {
      createConnection: () => net.connect(target),
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

const SILENT = 'no answer'

function wordsOf(error: NodeJS.ErrnoException): string {
  return (error.code ?? error.message).slice(0, 120)
}
