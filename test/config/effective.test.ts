import { test } from 'tap'
import { effectiveConfig, REDACTED } from '../../src/config/effective.ts'
import { parseConfig } from '../../src/config/load.ts'
import { groups, rows } from '../../src/config/rows.ts'
import type { Config } from '../../src/config/schema.ts'

const show = (text: string): Record<string, Record<string, unknown>> =>
  effectiveConfig(parseConfig(text, 'f')) as Record<string, Record<string, unknown>>
const smallest = 'listeners: [{ address: ":17080", protocol: http, upstream: "127.0.0.1:8080" }]\n'

test('the configuration in force is shown as one would write it, with every default', async (t) => {
  const shown = show(smallest)
  t.strictSame(shown['health'], { address: ':17021' })
  t.strictSame(shown['admin'], { address: '127.0.0.1:17020', tokenFile: null, recent: 1000 })
  const [listener] = shown['listeners'] as unknown as [Record<string, Record<string, unknown>>]
  t.strictSame(listener['deadlines'], {
    handshake: '10s',
    connect: '5s',
    request: '1m',
    idle: '1h',
    clientIdle: 'off',
    upstreamIdle: 'off',
    write: '30s',
    halfClose: '30s',
    close: '5s',
    lifetime: 'off',
    lifetimeJitter: '10%',
    response: '1m',
    answerIdle: '1m',
  })
  t.match(listener, {
    name: 'http-17080',
    buffers: { high: '64KiB', low: '32KiB' },
    upstream: { addresses: ['127.0.0.1:8080'], balance: 'leastConnections', tls: null },
    http: { maxBody: 'off' },
    limits: { connections: null },
    noDelay: true,
  })
})

test('limits are shown in the words of the file', async (t) => {
  const shown = show(
    `${smallest.replace(' }]', ', limits: { mode: observe, bytes: { rate: 1MiB, mode: enforce }, minRate: { bytes: 100B } } }]')}memory: { buffered: 64MiB }\n`,
  )
  t.equal(shown['memory']?.['buffered'], '64MiB')
  t.equal(show(smallest)['memory']?.['buffered'], '25%')
  const [listener] = shown['listeners'] as unknown as [Record<string, Record<string, unknown>>]
  t.strictSame(listener['limits']?.['bytes'], {
    rate: '1MiB',
    burst: '1MiB',
    per: 'connection',
    onExceed: 'delay',
    scope: 'process',
    mode: 'enforce',
  })
  t.match(listener['limits'], {
    messages: { rate: 'off', burst: 100, mode: 'observe' },
    minRate: { bytes: '100B', after: '10s' },
    mode: 'observe',
  })
})

test('what was written is shown, files by their names', async (t) => {
  const shown = show(
    `${smallest.replace(' }]', ', http: { trustForwarded: ["10.1.0.0/16", "::1"] }, websocket: { origins: ["https://a.example"] } }]')}admin: { address: "unix:/run/a.sock", tokenFile: /run/secrets/token }\n`,
  )
  t.strictSame(shown['admin'], { address: 'unix:/run/a.sock', tokenFile: '/run/secrets/token', recent: 1000 })
  t.match((shown['listeners'] as unknown as unknown[])[0], {
    http: { trustForwarded: ['10.1.0.0/16', '::1/128'] },
    websocket: { origins: ['https://a.example'] },
  })
})

test('a secret is never shown, whatever key brings it', async (t) => {
  const config = {
    admin: { token: 'hunter2', password: 'hunter2', secret: 'hunter2', tokenFile: '/f' },
    listeners: [],
  } as unknown as Config
  t.strictSame(effectiveConfig(config), {
    admin: { token: REDACTED, password: REDACTED, secret: REDACTED, tokenFile: '/f' },
    listeners: [],
  })
})

/** The paths of all values, and of maps and lists of values. */
function pathsIn(value: unknown, path: string): string[] {
  if (Array.isArray(value) && path === 'listeners') return value.flatMap((item) => pathsIn(item, `${path}[]`))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [path]
  return Object.entries(value).flatMap(([name, inner]) =>
    pathsIn(inner, path === '' ? name : `${path}.${name}`),
  )
}

test('all names are keys of the file, and answerIdle', async (t) => {
  const known = new Set([...rows(), ...groups()].map(({ path }) => path))
  const whole = `${smallest.replace('"127.0.0.1:8080"', '{ addresses: ["a:1"], tls: {} }')}shared: { redis: { sentinels: ["a:1"], sentinelTls: {}, tls: {} } }\n`
  for (const text of [smallest, whole]) {
    const unknown = pathsIn(show(text), '').filter((path) => !known.has(path))
    t.strictSame(unknown, ['listeners[].deadlines.answerIdle'])
  }
})

test('a retry that is not written lasts as long as a dial may', async (t) => {
  const retryFor = (keys: string) =>
    (show(smallest.replace(' }]', `, ${keys} }]`))['listeners'] as unknown as [{ upstream: object }])[0]
      .upstream
  t.match(retryFor('noDelay: true'), { retryFor: '5s' })
  t.match(retryFor('deadlines: { connect: 3s }'), { retryFor: '3s' })
  t.match(retryFor('deadlines: { connect: off }'), { retryFor: null })
})
