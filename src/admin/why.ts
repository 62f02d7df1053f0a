// Why a connection ended, in sentences for a reader who has never seen this gate: the event, the side that
// caused it, the governing key with its value, and the change that would have spared it. Words only: the
// command and the page both use them.

import { reasonRow } from '../core/close.ts'
import type { Reason, Side } from '../core/close.ts'
import { ALONE_KEY } from '../core/limit-words.ts'
import type { RecentEnd } from './types.ts'

/** The parts of a sentence: the side that caused it, and the key with its value (`deadlines.write (30s)`). */
interface Words {
  who: string
  key: string
}

/** The change that would have spared the connection. */
const spared: Record<Reason, (words: Words) => string> = {
  eof: () => 'There was nothing to spare: this is an orderly end.',
  aborted: ({ who }) =>
    `No key would have spared it: ${who} left in the middle of something. Its own log of that moment tells more.`,
  reset: ({ who }) =>
    `No key would have spared it: ${who}, or something on the way to it, sent RST. If a load balancer or a firewall forgets quiet connections, a websocket.ping.interval or a tcpKeepAlive shorter than its time-out keeps them.`,
  connect_refused: ({ key }) =>
    `An upstream that listens there would have spared it. ${key} says for how long a refused connection is tried again, which helps over a restart.`,
  connect_failed: () =>
    'An upstream that can be reached would have spared it; the words above name what stood in the way.',
  connect_timeout: ({ key }) =>
    `An upstream that accepts within ${key} would have spared it. If it is only slow to accept, a longer one helps; if it is stuck, clients then wait longer for the same end.`,
  no_upstream: ({ key }) =>
    `A healthy upstream address with room would have spared it; ${key} decides which count as such, and for how long one waits for room.`,
  handshake_timeout: ({ key }) =>
    `A complete handshake and request head within ${key} would have spared it. A longer one helps clients on very poor links, and those that attack by being slow.`,
  response_timeout: ({ key }) =>
    `The beginning of an answer within ${key} would have spared it. Raise it if the upstream may take longer for this.`,
  request_timeout: ({ key }) =>
    `A piece of the request body within ${key} would have spared it, however small.`,
  idle_timeout: ({ key }) =>
    `A byte of data within ${key} would have spared it; pings do not count. Raise it above the longest silence of the application, or have the application send a heartbeat.`,
  write_timeout: ({ who, key }) =>
    `One byte taken by ${who} within ${key} would have spared it. Raise it if ${who} may stop reading for longer; what waits for it stays in memory meanwhile.`,
  half_close_timeout: ({ who, key }) => `A byte of ${who}, or its end, within ${key} would have spared it.`,
  ping_timeout: ({ who, key }) =>
    `Any byte of ${who} would have spared it, a pong too. If ${who} may stand still for longer, raise ${key}.`,
  lifetime_timeout: ({ key }) =>
    `Nothing that a peer does spares a connection from this: ${key} is its greatest age, and off turns it off.`,
  drain: () =>
    'The gate was shutting down, which its clients are told so that they come back. Nothing was wrong.',
  drain_timeout: ({ key }) =>
    `An end of its own within ${key} would have spared it: the gate was shutting down, and this connection was still there at the last.`,
  reloaded: () => 'Keeping its listener in the configuration as it was would have spared it.',
  rate_limited: ({ who, key }) =>
    key.startsWith('limits.newConnections')
      ? `Fewer connections that begin than ${key} allows would have spared it; a larger burst lets more of them come at once. mode: observe only counts.`
      : `Less from ${who} than ${key} allows would have spared it. onExceed: delay slows down and ends nothing; mode: observe only counts.`,
  too_slow: ({ who, key }) =>
    `More speed of ${who} than ${key} asks for would have spared it. Lower it for clients on very poor links.`,
  slow_consumer: ({ who, key }) =>
    `Faster reading by ${who} would have spared it. ${key} has a larger queue, and policies that drop messages and keep the connection.`,
  message_too_big: ({ key }) => `Less than ${key} would have spared it, or more room there.`,
  protocol_error: ({ who }) =>
    `Keeping to the protocol would have spared it; the words above name the rule that ${who} broke.`,
  denied: ({ key }) => `An entry for this client would have spared it: see ${key}.`,
  too_many: ({ key }) => `Fewer open connections, or more than ${key} allows, would have spared it.`,
  overloaded: () =>
    'More memory for the container would have spared it, or less that waits for slow readers: buffers.high, deadlines.write and memory decide that.',
  upstream_unhealthy: () =>
    'A healthy upstream address would have spared it; its clients were told to come back, and find another address.',
  killed: () => 'An operator ended it, which no key spares.',
  internal_error: () => 'This is a bug of Sidegate. Please report it with the line in the log.',
}

const sidesInWords: Record<Side, string> = {
  client: 'the client',
  upstream: 'the upstream',
  sidegate: 'Sidegate',
}
const protocolsInWords: Record<string, string> = {
  tcp: 'a TCP connection',
  http: 'an HTTP connection',
  websocket: 'a WebSocket',
  h2: 'an HTTP/2 connection',
}

const aloneInWords =
  'Redis did not answer within shared.redis.timeout, so this gate alone decided, as shared.redis.onUnavailable says: with Redis there, the limit of the whole fleet would have been asked first. sidegate info says whether it is back.'

/**
 * The key that decided, of those that govern the reason: the one in its detail, or else the first. Null where
 * none governs it.
 */
export function decidingKey({ reason, detail }: Pick<RecentEnd, 'reason' | 'detail'>): string | null {
  const keys = reasonRow(reason).key?.split(', ') ?? []
  const words = detail?.split(/[^\w.]+/) ?? []
  return (
    keys.find((key) => words.includes(key)) ??
    words.find((word) => keys.some((key) => word.startsWith(`${key}.`))) ??
    keys[0] ??
    null
  )
}

/**
 * Sentences, in order. `valueOf` returns the value of a key in force for that listener; null where there is
 * no such key.
 */
export function whyItEnded(end: RecentEnd, valueOf: (key: string) => string | null): string[] {
  const row = reasonRow(end.reason)
  const key = decidingKey(end)
  const value = key === null ? null : valueOf(key)
  const words = {
    who: end.side === 'sidegate' ? 'a peer' : sidesInWords[end.side],
    key: key === null ? 'the configuration' : value === null ? key : `${key} (${value})`,
  }
  return [
    opening(end),
    row.when.replaceAll('`', ''),
    ...(end.detail === null ? [] : [`In the words of the gate: ${end.detail}.`]),
    ...(end.closing
      ? ['It is not closed yet: last bytes, or the end of the other side, are outstanding (deadlines.close).']
      : []),
    ...(end.cut && !end.closing
      ? ['It was owed bytes, or an answer, when it was ended: a peer is missing something.']
      : []),
    key === null ? 'No key governs this.' : `The key is ${words.key}.`,
    ...(end.detail?.includes(ALONE_KEY) === true ? [aloneInWords] : []),
    spared[end.reason](words),
  ]
}

function opening(end: RecentEnd): string {
  const { id, listener, client, upstream, reason, side, count } = end
  const when = `${end.ended.slice(0, 10)} ${end.ended.slice(11, 19)} UTC`
  const doer = side === 'sidegate' ? 'Sidegate ended it.' : `It was ${sidesInWords[side]}'s doing.`
  if (id === null) {
    const who = client === null ? '' : ` of ${client}`
    return count === 1
      ? `A connection${who} to ${listener} was refused at ${when} with ${reason}.`
      : `${count} connections to ${listener} were refused by ${when} with ${reason}${client === null ? '' : `, the last one${who}`}.`
  }
  const what = protocolsInWords[end.protocol ?? ''] ?? 'a connection'
  const none =
    end.protocol === 'h2' ? 'whose streams had upstreams of their own' : 'which never had an upstream'
  const where = upstream === null ? none : `to ${upstream}`
  return `Connection ${id} of ${client}, ${what} on ${listener} ${where}, ended at ${when} after ${age(end.durationMs)} with ${reason}. ${doer}`
}

function age(ms: number): string {
  if (ms < 1000) return `${ms} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
