// Keys that bound one another: which of two is the larger, and what makes sense only together.

import type { Path } from './path.ts'
import { at } from './path.ts'
import type { Finding } from './finding.ts'
import { defaults } from './defaults.ts'
import {
  formatDuration,
  formatPercent,
  formatSize,
  OFF,
  parseDuration,
  parsePercent,
  parseSize,
} from './units.ts'
import { oneOf, show } from './words.ts'

const ANY = { min: 1, max: OFF, isOffAllowed: true }

export function wrongOrder(listener: unknown, path: Path): Finding[] {
  const high = at(listener, ['buffers', 'high'])
  const interval = at(listener, ['websocket', 'ping', 'interval'])
  const connect = at(listener, ['deadlines', 'connect'])
  return [
    ...notAbove([...path, 'buffers', 'low'], at(listener, ['buffers', 'low']), {
      name: 'high',
      written: high,
      fallback: defaults.high,
      parse: (input) => parseSize(input, ANY),
      format: formatSize,
    }),
    ...notAbove([...path, 'upstream', 'retryFor'], at(listener, ['upstream', 'retryFor']), {
      name: 'deadlines.connect',
      written: connect,
      fallback: defaults.connect,
      parse: (input) => parseDuration(input, ANY),
      format: formatDuration,
    }),
    ...notAbove([...path, 'websocket', 'ping', 'timeout'], at(listener, ['websocket', 'ping', 'timeout']), {
      name: 'interval',
      written: interval,
      fallback: defaults.pingInterval,
      parse: (input) => parseDuration(input, ANY),
      format: formatDuration,
    }),
  ]
}

/** `off` is never, not nothing. */
function parseThreshold(input: unknown): { value: number } | { problem: string } {
  return input === 'off' ? { value: OFF } : parsePercent(input, { ...ANY, min: 0 })
}

export function thresholds(value: Record<string, unknown>): Finding[] {
  const [shedAt, refuseAt] = [at(value, ['memory', 'shedAt']), at(value, ['memory', 'refuseAt'])]
  const found = notAbove(['memory', 'shedAt'], shedAt ?? defaults.shedAt, {
    name: 'refuseAt',
    written: refuseAt,
    fallback: defaults.refuseAt,
    parse: parseThreshold,
    format: formatPercent,
  })
  // The default is not in the file, so the message asks for the other key.
  if (shedAt !== undefined || found.length === 0) return found
  return [
    {
      path: ['memory', 'refuseAt'],
      message: `got ${show(refuseAt)}, less than shedAt (${defaults.shedAt}, the default), write shedAt too`,
    },
  ]
}

/** No connection may be reset without a request to leave before. */
export function shortDrain(value: Record<string, unknown>): Finding[] {
  const part = (name: string, fallback: string) => {
    const written = at(value, ['drain', name])
    const parsed = parseDuration(written ?? fallback, ANY)
    return 'value' in parsed
      ? { path: ['drain', name], isWritten: written !== undefined, ms: parsed.value }
      : null
  }
  const parts = [
    part('timeout', defaults.drainTimeout),
    part('spread', defaults.spread),
    part('minDuration', defaults.minDuration),
  ] as const
  const [timeout, spread, minDuration] = parts
  if (timeout === null || spread === null || minDuration === null || timeout.ms === OFF) return []
  const needed = none(spread.ms) + none(minDuration.ms)
  if (needed < timeout.ms) return []
  const here = parts.find((one) => one?.isWritten) ?? timeout
  return [
    {
      path: here.path,
      message: `got ${formatDuration(here.ms)}, but minDuration (${formatDuration(minDuration.ms)}) and spread (${formatDuration(spread.ms)}) together must be less than timeout (${formatDuration(timeout.ms)})`,
    },
  ]
}

const none = (ms: number): number => (ms === OFF ? 0 : ms)

const compressions = { frames: ['pass', 'strip'], messages: ['on', 'off'] } as const

/** Settings that only the other mode of a WebSocket has. */
export function wrongMode(listener: unknown, path: Path): Finding[] {
  const mode = at(listener, ['websocket', 'mode']) ?? 'frames'
  if (mode !== 'frames' && mode !== 'messages') return []
  const other = mode === 'frames' ? 'messages' : 'frames'
  const compression = at(listener, ['websocket', 'compression'])
  const policy = at(listener, ['websocket', 'slowConsumer', 'policy'])
  const found: Finding[] = []
  if (compressions[other].some((word) => word === compression)) {
    found.push({
      path: [...path, 'compression'],
      message: `got ${String(compression)}, which needs mode: ${other}, write ${oneOf(compressions[mode])}`,
    })
  }
  if (mode === 'frames' && (policy === 'close' || policy === 'dropOldest' || policy === 'dropNewest')) {
    found.push({
      path: [...path, 'slowConsumer', 'policy'],
      message: `got ${policy}, which needs mode: messages (frames mode holds no whole message), write that or wait`,
    })
  }
  return found
}

/** A dropped message is a whole one, and only one mode holds those. */
export function dropInFrames(listener: unknown, path: Path): Finding[] {
  const inner: Path = ['limits', 'messages', 'onExceed']
  if (at(listener, inner) !== 'drop' || (at(listener, ['websocket', 'mode']) ?? 'frames') !== 'frames')
    return []
  return [
    {
      path: [...path, ...inner],
      message:
        'got drop, which needs websocket.mode: messages (frames mode holds no whole message), write that, or delay or close',
    },
  ]
}

/** The wait is one queue for all: with one for each client, clients could fill as many as they like. */
export function delayPerClient(listener: unknown, path: Path): Finding[] {
  const inner: Path = ['limits', 'newConnections']
  const onExceed = at(listener, [...inner, 'onExceed'])
  if (at(listener, [...inner, 'per']) !== 'client' || (onExceed !== undefined && onExceed !== 'delay'))
    return []
  const written = onExceed === undefined ? 'per' : 'onExceed'
  return [
    {
      path: [...path, ...inner, written],
      message: `got ${written === 'per' ? 'client, with onExceed: delay (the default)' : 'delay, with per: client'}, but one client alone cannot be delayed, write onExceed: close`,
    },
  ]
}

interface Ceiling {
  name: string
  written: unknown
  fallback: string
  parse: (input: unknown) => { value: number } | { problem: string }
  format: (value: number) => string
}

function notAbove(
  path: Path,
  written: unknown,
  { name, written: other, fallback, parse, format }: Ceiling,
): Finding[] {
  const [value, ceiling] = [parse(written), parse(other ?? fallback)]
  // The schema judges an `off` of the value itself.
  if (!('value' in value) || !('value' in ceiling) || value.value === OFF || value.value <= ceiling.value)
    return []
  const what = `${name} (${format(ceiling.value)}${other === undefined ? ', the default' : ''})`
  return [
    {
      path,
      message: `got ${format(value.value)}, more than ${what}, write at most ${format(ceiling.value)}`,
    },
  ]
}

export function halfPair(listener: unknown, path: Path): Finding[] {
  return halfOf(at(listener, ['upstream']), path.slice(0, -1))
}

/** A listener of HTTP names its own protocols; opaque bytes have only the name that is written. */
export function alpnOfHttp(listener: unknown, path: Path): Finding[] {
  if (at(listener, ['protocol']) !== 'http') return []
  const written: Path[] = [
    ['tls', 'alpn'],
    ['upstream', 'tls', 'alpn'],
  ]
  return written
    .filter((inner) => at(listener, inner) !== undefined)
    .map((inner) => ({
      path: [...path, ...inner],
      message: 'has no meaning with protocol: http, which offers what it speaks (http/1.1), remove it',
    }))
}

/** A certificate can go on only if clients are asked for one. */
export function certificateOfNobody(listener: unknown, path: Path): Finding[] {
  const inner: Path = ['http', 'clientCertificate']
  if (at(listener, inner) !== 'forward' || at(listener, ['tls', 'clientCa']) !== undefined) return []
  return [
    {
      path: [...path, ...inner],
      message: 'got forward, but clients are asked for no certificate, write tls.clientCa, or off',
    },
  ]
}

/** Settings that a check of that type does not use. */
const useless: Readonly<Record<string, readonly string[]>> = {
  tcp: ['path', 'host', 'headers', 'status'],
  websocket: ['status'],
  grpc: ['path', 'status'],
}

export function uselessPath(listener: unknown, path: Path): Finding[] {
  const check: Path = ['upstream', 'healthCheck']
  const type = String(at(listener, [...check, 'type']))
  const names = Object.hasOwn(useless, type) ? useless[type]! : []
  return names
    .filter((name) => at(listener, [...check, name]) !== undefined)
    .map((name) => ({
      path: [...path, ...check, name],
      message: `has no meaning with type: ${type}, remove it or write type: http${name === 'status' ? '' : ' or websocket'}`,
    }))
}

/** Limits of a fleet need the fleet, and a scope that gates can share. */
export function fleetOfNobody(value: Record<string, unknown>, listener: unknown, path: Path): Finding[] {
  const scoped = ['connectionsPerClient', 'newConnections', 'bytes', 'messages'].filter(
    (name) => at(listener, ['limits', name, 'scope']) === 'fleet',
  )
  return scoped.flatMap((name) => {
    const inner: Path = [...path, 'limits', name, 'scope']
    if (at(value, ['shared']) === undefined)
      return [{ path: inner, message: 'got fleet, which needs shared.redis, write that, or process' }]
    const isOwn = name === 'bytes' || name === 'messages'
    if (!isOwn || (at(listener, ['limits', name, 'per']) ?? 'connection') !== 'connection') return []
    return [
      {
        path: inner,
        message:
          'got fleet, but each connection has this rate for itself, write per: client or per: listener',
      },
    ]
  })
}

/** There must be exactly one way to Redis. */
export function wayToRedis(value: Record<string, unknown>): Finding[] {
  const path: Path = ['shared', 'redis']
  const redis = at(value, path)
  if (typeof redis !== 'object' || redis === null) return []
  const ways = ['address', 'sentinels', 'cluster'].filter((name) => at(redis, [name]) !== undefined)
  const found: Finding[] = ['sentinels', 'cluster'].flatMap((name) => {
    const written = at(redis, [name])
    const all: unknown[] = Array.isArray(written) ? written : []
    const index = all.findIndex((one) => typeof one === 'string' && one.startsWith('unix:'))
    const message = 'is a Unix socket, and what runs there cannot name the others, write host:port'
    return index < 0 ? [] : [{ path: [...path, name, index], message }]
  })
  if (!ways.includes('sentinels'))
    for (const name of ['sentinelUser', 'sentinelPasswordFile', 'sentinelTls'])
      if (at(redis, [name]) !== undefined)
        found.push({ path: [...path, name], message: 'has no meaning without sentinels, remove it' })
  if (ways.length === 0) {
    const message = 'is missing, write where Redis listens, such as redis.infra:6379, or sentinels or cluster'
    found.push({ path: [...path, 'address'], message })
  }
  if (ways.length > 1) {
    const message = `is one way too many, with ${ways[0]!}: write one of address, sentinels and cluster`
    found.push({ path: [...path, ways[1]!], message })
  }
  return [...found, ...halfOf(redis, path), ...halfOf(redis, path, 'sentinelTls')]
}

function halfOf(section: unknown, path: Path, name = 'tls'): Finding[] {
  const [cert, key] = [at(section, [name, 'cert']), at(section, [name, 'key'])]
  if ((cert === undefined) === (key === undefined)) return []
  const [there, missing] = cert === undefined ? ['key', 'cert'] : ['cert', 'key']
  return [{ path: [...path, name, missing], message: `is missing, write it beside ${there}` }]
}
