// Probes of a service that speaks HTTP/2: a GET, and a call of grpc.health.v1.Health (the protocol of
// Kubernetes' gRPC probes too).

import type net from 'node:net'
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { systemClock } from '../core/clock.ts'
import { nodeHttp2 } from '../core/late.ts'
import { MAX_HEADER_BYTES, MAX_WORDS, printable, SILENT, USER_AGENT, wordsOf } from './probe-talk.ts'
import type { Found, ProbeOptions, Talk } from './probe-talk.ts'

const HEALTH = '/grpc.health.v1.Health/Check'
/** An uncompressed message of no bytes: it asks for the health of the whole service. */
const ASK = Buffer.alloc(5)
/** `status`, the first field of an answer, is SERVING. */
const SERVING = Buffer.from([0x08, 0x01])
const PREFIX = 5
/** An answer has 7 bytes; one much longer is no answer. */
const MAX_ANSWER = 1024

interface Asked {
  stream: ClientHttp2Stream
  /** The problem so far. */
  problem: string | null
  finish: Found
}

/** Sends one request, and closes the connection at its end or when the probe is given up. */
function ask(
  socket: net.Socket,
  { host, headers }: ProbeOptions,
  own: OutgoingHttpHeaders,
  done: Found,
): { asked: Asked; giveUp: () => string | null } {
  const session = nodeHttp2().connect('http://localhost', {
    createConnection: () => socket,
    settings: { enablePush: false, maxHeaderListSize: MAX_HEADER_BYTES },
  })
  const custom = Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]) => [name.toLowerCase(), value])
      .filter(([name]) => name !== 'host' && name !== 'connection'),
  ) as Record<string, string>
  const stream = session.request({ 'user-agent': USER_AGENT, ...custom, ...own, ':authority': host })
  const close = (): void => {
    session.destroy()
    socket.destroy()
  }
  // Answers come from within callbacks of Node, in which its session must not go.
  const finish: Found = (problem, answered) =>
    systemClock.nextTurn(() => {
      done(problem, answered)
      close()
    })
  const asked: Asked = { stream, problem: SILENT, finish }
  const onError = (error: NodeJS.ErrnoException): void => finish(wordsOf(error), null)
  session.on('error', onError)
  stream.on('error', onError)
  stream.once('close', () => finish(asked.problem, null))
  const giveUp = (): string | null => {
    close()
    return asked.problem
  }
  return { asked, giveUp }
}

export const getByHttp2: Talk = (socket, options, done) => {
  const { asked, giveUp } = ask(socket, options, { ':method': 'GET', ':path': options.path }, done)
  const { stream } = asked
  stream.once('response', ({ ':status': code = 0 }: IncomingHttpHeaders & { ':status'?: number }) => {
    const said = String(code)
    if (options.status.some(({ from, to }) => code >= from && code <= to)) return asked.finish(null, said)
    asked.problem = `status ${said}`
    stream.once('data', (chunk: Buffer) =>
      asked.finish(`${asked.problem}: ${printable(chunk.toString('latin1', 0, MAX_WORDS))}`, said),
    )
  })
  return giveUp
}

export const callHealth: Talk = (socket, options, done) => {
  const own = {
    ':method': 'POST',
    ':path': HEALTH,
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  const { asked, giveUp } = ask(socket, options, own, done)
  const { stream } = asked
  let answer = Buffer.alloc(0)
  const onStatus = (fields: IncomingHttpHeaders): void => {
    const code = fields['grpc-status']
    if (code === undefined) return
    const problem = code === '0' ? healthOf(answer) : `grpc-status ${saidOf(fields)}`
    asked.finish(problem, problem === null ? 'SERVING' : null)
  }
  stream.once('response', (fields: IncomingHttpHeaders & { ':status'?: number }) => {
    if (fields[':status'] !== 200) return asked.finish(`status ${fields[':status']}`, null)
    onStatus(fields)
  })
  stream.once('trailers', onStatus)
  stream.on('data', (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk])
    if (answer.length > MAX_ANSWER) asked.finish('an answer that is none of grpc.health.v1', null)
  })
  stream.end(ASK)
  return giveUp
}

function healthOf(answer: Buffer): string | null {
  return answer.subarray(PREFIX).equals(SERVING) ? null : 'not SERVING (grpc.health.v1)'
}

function saidOf(fields: IncomingHttpHeaders): string {
  const { 'grpc-status': code, 'grpc-message': message } = fields
  return printable([code, message].join(' ')).slice(0, MAX_WORDS)
}
