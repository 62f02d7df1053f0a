// A probe: one look at an address. It sees whether the address accepts, answers a GET or a call (by HTTP/2:
// probe-http2.ts), or opens a WebSocket and answers a ping. A probe has one connection, and ends when that is
// closed; it has no deadline of its own.

import type { WebSocket as Ws } from 'ws'
import { latePackage, nodeHttp } from '../core/late.ts'
import { callHealth, getByHttp2 } from './probe-http2.ts'
import { MAX_HEADER_BYTES, MAX_WORDS, printable, SILENT, USER_AGENT, wordsOf } from './probe-talk.ts'
import type { Found, ProbeOptions, ProbeType, Talk } from './probe-talk.ts'

export interface Probe {
  /** Ends the probe at once, without a report. Returns the problem so far: null if the address is well. */
  giveUp(): string | null
}

/**
 * A service may greet every client: the probe ignores the greeting, and an endless one is no sign of health.
 */
const MAX_PAYLOAD_BYTES = 64 * 1024

/** Calls `done` once, never in the same turn. */
export function probe(options: ProbeOptions, done: Found): Probe {
  let isOver = false
  const once: Found = (problem, answered, failedDial) => {
    if (!isOver) done(problem, answered, failedDial)
    isOver = true
  }
  let giveUp = (): string | null => {
    dial.cancel()
    return SILENT
  }
  const dial = options.dial({
    onSocket: (socket) => void (giveUp = talks[options.type](socket, options, once)),
    onDialFailed: (close) => once(close.detail ?? close.reason, null, close),
  })
  return {
    giveUp() {
      isOver = true
      return giveUp()
    },
  }
}

/**
 * Loads the package that probes of this type need: most gates have none. It comes with the checks and not
 * with a probe, which may find no descriptor left to read a file by.
 */
export function prepareProbes(type: ProbeType): void {
  if (type === 'websocket') webSockets()
}

const webSockets = () => latePackage('ws') as { WebSocket: typeof Ws }

/** The talk of each type of probe, once the connection is open. */
const talks: Record<ProbeType, Talk> = {
  tcp(socket, _, done) {
    socket.on('error', ignore)
    socket.destroy()
    done(null, 'accepted')
    return () => null
  },

  http(socket, options, done) {
    if (options.isHttp2 === true) return getByHttp2(socket, options, done)
    const { path, host, headers, status } = options
    let problem = SILENT
    const request = nodeHttp().request({
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
      answer.once('data', (chunk: Buffer) =>
        finish(`${problem}: ${printable(chunk.toString('latin1', 0, MAX_WORDS))}`, said),
      )
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

  grpc: callHealth,

  websocket(connected, { path, host, headers }, done) {
    const { WebSocket } = webSockets()
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
      done(
        problem === SILENT ? `closed with ${code} before its pong` : problem,
        problem === null ? 'pong' : null,
      )
    })
    return () => {
      socket.terminate()
      return problem
    }
  },
}

function ignore(): void {}
