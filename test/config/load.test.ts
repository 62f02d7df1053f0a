import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import type { Config, ListenerConfig } from '../../src/config/schema.ts'
import { checkConfig, checkText, loadConfig, parseConfig, warnings } from '../../src/config/load.ts'
import { MAX_FILE_BYTES } from '../../src/files/bounded-file.ts'

const smallest = `listeners:
  - address: ":17080"
    protocol: http
    upstream: 127.0.0.1:8080
`
const upstreamDefaults = {
  balance: 'leastConnections',
  maxConnections: Infinity,
  queueTimeoutMs: 5000,
  retryForMs: null,
  staleForMs: 30_000,
  onRemoved: 'keep',
  keepAliveMs: 4000,
  maxIdle: 64,
  protocol: 'http1',
  tls: null,
  proxyProtocol: 'off',
  healthCheck: {
    type: 'off',
    path: '/',
    host: null,
    headers: {},
    status: ['200-399'],
    intervalMs: 10_000,
    timeoutMs: 2000,
    healthy: 2,
    unhealthy: 3,
  },
}
const parse = (text: string, env = {}): Config => parseConfig(text, 'sidegate.yaml', env)
const withKeys = (keys: string, env = {}): ListenerConfig => {
  const [listener] = parse(`${smallest}${keys.replace(/^(?=.)/gm, '    ')}`, env).listeners
  if (listener === undefined) throw new Error('no listener')
  return listener
}

test('the smallest file gets every default', async (t) => {
  t.strictSame(parse(smallest), {
    shared: null,
    workers: 1,
    health: { address: { kind: 'tcp', host: null, port: 17_021 } },
    admin: { address: { kind: 'tcp', host: '127.0.0.1', port: 17_020 }, tokenFile: null, recent: 1000 },
    log: { level: 'info', format: 'json', requests: false, probes: false, timeline: false },
    drain: { minDurationMs: 10_000, spreadMs: 30_000, timeoutMs: 60_000, tcp: 'wait' },
    memory: { buffered: { share: 0.25 }, shedAt: 0.85, refuseAt: 0.95 },
    listeners: [
      {
        name: 'http-17080',
        address: { kind: 'tcp', host: null, port: 17_080 },
        mode: null,
        protocol: 'http',
        upstream: { addresses: [{ kind: 'tcp', host: '127.0.0.1', port: 8080 }], ...upstreamDefaults },
        deadlines: {
          handshakeMs: 10_000,
          connectMs: 5000,
          responseMs: 60_000,
          requestMs: 60_000,
          idleMs: 3_600_000,
          clientIdleMs: Infinity,
          upstreamIdleMs: Infinity,
          answerIdleMs: 60_000,
          writeMs: 30_000,
          halfCloseMs: 30_000,
          closeMs: 5000,
          lifetimeMs: Infinity,
          lifetimeJitter: 0.1,
        },
        buffers: { highBytes: 65_536, lowBytes: 32_768 },
        limits: {
          connections: null,
          connectionsPerClient: { max: Infinity, scope: 'process' },
          newConnections: {
            perSec: Infinity,
            burst: 100,
            per: 'listener',
            onExceed: 'delay',
            scope: 'process',
            isEnforced: true,
          },
          bytes: {
            perSec: Infinity,
            burst: 1_048_576,
            per: 'connection',
            onExceed: 'delay',
            scope: 'process',
            isEnforced: true,
          },
          messages: {
            perSec: Infinity,
            burst: 100,
            per: 'connection',
            onExceed: 'delay',
            scope: 'process',
            isEnforced: true,
          },
          minRate: { bytesPerSec: Infinity, afterMs: 10_000, isEnforced: true },
          isEnforced: true,
        },
        websocket: {
          mode: 'frames',
          ping: { intervalMs: 25_000, timeoutMs: 20_000, misses: 3, to: 'client' },
          maxMessageBytes: 1_048_576,
          maxMessageToClientBytes: Infinity,
          maxFragments: 1024,
          messageTimeoutMs: Infinity,
          origins: [],
          compression: 'pass',
          slowConsumer: { policy: 'wait', queueBytes: 1_048_576 },
        },
        http: {
          maxHeaderBytes: 16_384,
          maxBodyBytes: Infinity,
          keepAliveMs: 65_000,
          versions: ['h2', 'http/1.1'],
          h2c: 'off',
          maxStreams: 100,
          lenient: 'upstream',
          abortOnHalfClose: 'off',
          forwarded: 'x-forwarded',
          via: 'off',
          clientCertificate: 'off',
          trustForwarded: [],
        },
        access: { allow: [], deny: [] },
        proxyProtocol: { accept: 'off', trusted: [] },
        tls: null,
        tcpKeepAliveMs: 15_000,
        noDelay: true,
      },
    ],
  })
})

test('memory may be a share or a size, and each part of it off', async (t) => {
  const memory = (text: string): Config['memory'] => parse(`${smallest}memory: ${text}\n`).memory
  t.strictSame(memory('{ buffered: 64MiB, shedAt: 50.5%, refuseAt: 60% }'), {
    buffered: { bytes: 67_108_864 },
    shedAt: 0.505,
    refuseAt: 0.6,
  })
  t.strictSame(memory('{ buffered: off, shedAt: off, refuseAt: off }'), {
    buffered: { bytes: Infinity },
    shedAt: Infinity,
    refuseAt: Infinity,
  })
  t.strictSame(memory('{ refuseAt: off }').shedAt, 0.85, 'what never refuses may still shed')
  t.strictSame(memory('{ shedAt: 95% }').shedAt, 0.95, 'both at once is no contradiction')
})

test('a drain may leave out its delay and its spread, and just fits into its timeout', async (t) => {
  t.strictSame(parse(`${smallest}drain: { minDuration: off, spread: off, timeout: 1ms }\n`).drain, {
    minDurationMs: 0,
    spreadMs: 0,
    timeoutMs: 1,
    tcp: 'wait',
  })
  t.strictSame(parse(`${smallest}drain: { timeout: 40001ms }\n`).drain, {
    minDurationMs: 10_000,
    spreadMs: 30_000,
    timeoutMs: 40_001,
    tcp: 'wait',
  })
})

test('defaults that depend on other keys follow them', async (t) => {
  for (const [written, upstreamIdleMs] of [
    ['2m', 120_000],
    ['off', Infinity],
  ] as const) {
    t.match(
      withKeys(`deadlines: { upstreamIdle: ${written} }`).deadlines,
      { upstreamIdleMs, answerIdleMs: upstreamIdleMs },
      'what is written holds for plain answers too',
    )
  }
  t.strictSame(withKeys('buffers: { high: 16KiB }').buffers, { highBytes: 16_384, lowBytes: 8192 })
  t.strictSame(withKeys('websocket: { ping: { interval: 5s } }').websocket.ping, {
    intervalMs: 5000,
    timeoutMs: 5000,
    misses: 3,
    to: 'client',
  })
  t.strictSame(withKeys('websocket: { ping: { interval: off } }').websocket.ping, {
    intervalMs: Infinity,
    timeoutMs: 20_000,
    misses: 3,
    to: 'client',
  })
  t.equal(withKeys('limits: { connections: 7 }').limits.connections, 7)
  const { isEnforced, bytes, messages } = withKeys(
    'limits: { mode: observe, bytes: { mode: enforce } }',
  ).limits
  t.strictSame(
    [isEnforced, bytes.isEnforced, messages.isEnforced],
    [false, true, false],
    'a limit without a mode of its own has that of all',
  )
})

test('a listener is named by its protocol and port, or by its file', async (t) => {
  const names = parse(`listeners:
  - { address: ":1", protocol: tcp, upstream: "a:1" }
  - { address: "unix:/run/a b.sock", protocol: http, upstream: "unix:/b" }
  - { address: ":2", protocol: tcp, upstream: "a:1", name: mqtt }
`).listeners.map(({ name }) => name)
  t.strictSame(names, ['tcp-1', 'http-a-b.sock', 'mqtt'])
})

test('an upstream may be an object, with several addresses', async (t) => {
  const { upstream } =
    parse('listeners: [{ address: ":1", protocol: tcp, upstream: { addresses: ["a:1", "unix:/b"] } }]')
      .listeners[0] ?? {}
  t.strictSame(upstream, {
    addresses: [
      { kind: 'tcp', host: 'a', port: 1 },
      { kind: 'unix', path: '/b' },
    ],
    ...upstreamDefaults,
  })
  const { upstream: full } =
    parse(`listeners: [{ address: ":1", protocol: tcp, upstream: { addresses: ["a:1"], balance: roundRobin, maxConnections: 7,
    queueTimeout: 1s, keepAlive: off, maxIdle: 3, healthCheck: { type: http, path: "/x?y=1", interval: 100ms, timeout: 1s, healthy: 1, unhealthy: 1 } } }]`)
      .listeners[0] ?? {}
  t.strictSame(full, {
    addresses: [{ kind: 'tcp', host: 'a', port: 1 }],
    balance: 'roundRobin',
    maxConnections: 7,
    queueTimeoutMs: 1000,
    retryForMs: null,
    staleForMs: 30_000,
    onRemoved: 'keep',
    keepAliveMs: 0,
    maxIdle: 3,
    protocol: 'http1',
    tls: null,
    proxyProtocol: 'off',
    healthCheck: {
      type: 'http',
      path: '/x?y=1',
      host: null,
      headers: {},
      status: ['200-399'],
      intervalMs: 100,
      timeoutMs: 1000,
      healthy: 1,
      unhealthy: 1,
    },
  })
})

test('JSON, CRLF, a byte order mark, anchors and aliases are fine', async (t) => {
  const expected = parse(smallest)
  t.strictSame(
    parse('{"listeners":[{"address":":17080","protocol":"http","upstream":"127.0.0.1:8080"}]}'),
    expected,
  )
  t.strictSame(parse(smallest.replaceAll('\n', '\r\n')), expected)
  t.strictSame(parse(`\ufeff${smallest}`), expected)
  const { listeners } = parse(`listeners:
  - { address: ":1", protocol: tcp, upstream: &up "a:1", deadlines: &d { idle: 5s } }
  - { address: ":2", protocol: tcp, upstream: *up, deadlines: *d }
`)
  t.strictSame(
    listeners.map(({ deadlines }) => deadlines.idleMs),
    [5000, 5000],
  )
})

test('${NAME} is taken from the environment after parsing', async (t) => {
  const env = {
    IDLE: '7s',
    MAX: '12',
    HOST: 'legacy',
    PORT: '8080',
    FLAG: 'false',
    EVIL: '5s\n    noDelay: false',
    NESTED: '${IDLE}',
    EMPTY: '',
  }
  t.equal(withKeys('deadlines: { idle: "${IDLE}" }', env).deadlines.idleMs, 7000)
  t.equal(withKeys('limits:\n  connections: ${MAX}', env).limits.connections, 12, 'a number without quotes')
  t.equal(withKeys('noDelay: ${FLAG}', env).noDelay, false)
  t.strictSame(
    parse(smallest.replace('127.0.0.1:8080', '${HOST}:${PORT}'), env).listeners[0]?.upstream.addresses,
    [{ kind: 'tcp', host: 'legacy', port: 8080 }],
  )
  t.throws(() => withKeys('deadlines:\n  idle: ${EVIL}', env), {
    message:
      'sidegate.yaml:6:13 listeners[0].deadlines.idle: got "5s\\n    noDelay: false", write a duration such as 250ms, 30s, 5m or 1h (the value comes from ${EVIL})',
  })
  t.throws(
    () => withKeys('deadlines:\n  idle: ${NESTED}', env),
    { message: /got "\$\{IDLE\}", write a duration/ },
    'what a variable holds is not looked up again',
  )
  t.throws(() => withKeys('name: ${EMPTY}', env), { message: /got "", write 1 to 63 letters/ })
})

test('$${ is a literal ${, and a dollar alone is a dollar', async (t) => {
  const origins = withKeys('websocket: { origins: ["http://a$b"] }').websocket.origins
  t.strictSame(origins, ['http://a$b'])
  t.throws(() => withKeys('name: "$${HOME}"', { HOME: '/' }), {
    message:
      'sidegate.yaml:5:11 listeners[0].name: got "${HOME}", write 1 to 63 letters, digits, dots, dashes or underscores (the value comes from $${HOME})',
  })
})

test('origins are kept as a browser sends them', async (t) => {
  t.strictSame(
    withKeys('websocket: { origins: [HTTPS://Example.com, "http://a:81", "app://x", "null"] }').websocket
      .origins,
    ['https://example.com', 'http://a:81', 'app://x', 'null'],
  )
})

test('risky values are warned of, each at its place', async (t) => {
  const text = `listeners:
  - address: ":15001"
    protocol: tcp
    upstream: 127.0.0.1:8080
    deadlines: { write: off, idle: off, halfClose: 2m, handshake: off, lifetimeJitter: 5% }
    buffers: { high: 16MiB }
    tcpKeepAlive: off
    http: { maxHeader: 8KiB }
    websocket: { ping: { interval: 10ms } }
`
  const checked = checkText(text, 'sidegate.yaml')
  t.strictSame(
    checked.warnings.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`),
    [
      '2:14 listeners[0].address: port 15001 is one that Istio takes inside a pod',
      '5:25 listeners[0].deadlines.write: off: a reader that stalls is kept for ever, with its buffers',
      '5:36 listeners[0].deadlines.idle: off: a forgotten connection is kept for ever',
      '5:52 listeners[0].deadlines.halfClose: 2m is longer than iptables NAT remembers a half-closed connection (60s)',
      '5:56 listeners[0].deadlines.handshake: has no effect with protocol: tcp',
      '5:72 listeners[0].deadlines.lifetimeJitter: has no effect while lifetime is off',
      '6:22 listeners[0].buffers.high: 10000 connections with two buffers of 16MiB may take 313GiB',
      '7:19 listeners[0].tcpKeepAlive: off: a peer that vanished is noticed only when it is sent something',
      '8:5 listeners[0].http: has no effect with protocol: tcp',
      '9:5 listeners[0].websocket: has no effect with protocol: tcp',
      '9:36 listeners[0].websocket.ping.interval: 10ms sends many pings to every silent connection',
    ],
  )
  t.ok(
    warnings(checked.config).every(({ line }) => line === 0),
    'a configuration without a file has no positions',
  )
})

test('every wait without a bound is warned of', async (t) => {
  const { warnings: found } = checkText(
    `${smallest}    deadlines: { handshake: off, connect: off, response: off, halfClose: off, close: off }\n`,
    'f',
  )
  t.strictSame(
    found.map(({ path }) => path),
    ['handshake', 'connect', 'response', 'halfClose', 'close'].map(
      (name) => `listeners[0].deadlines.${name}`,
    ),
  )
})

test('a memory budget that is off, or less than one connection may hold, is warned of', async (t) => {
  const found = (memory: string): string[] =>
    checkText(`${smallest}memory: { buffered: ${memory} }\n`, 'f').warnings.map(
      ({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`,
    )
  t.strictSame(found('off'), [
    '5:21 memory.buffered: off: a burst of stalled readers may take the last of the memory between two looks',
  ])
  t.strictSame(found('127KiB'), [
    '5:21 memory.buffered: 127KiB is less than one connection may hold (two buffers of 64KiB)',
  ])
  t.strictSame(found('128KiB'), [])
  t.strictSame(found('1%'), [])
})

test('the defaults are not risky', async (t) => {
  t.strictSame(checkText(smallest, 'f').warnings, [])
})

test('a file that cannot be read is a ConfigError that says why', async (t) => {
  const folder = t.testdir({})
  const bytes = (name: string, content: Buffer | string): string => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  mkdirSync(join(folder, 'folder'))
  const table: [string, string][] = [
    [join(folder, 'absent'), ' does not exist'],
    [join(folder, 'folder'), ' is a directory, not a file'],
    [join(folder, 'a\u0000b'), ' cannot be read: ERR_INVALID_ARG_VALUE'],
    [bytes('large', Buffer.alloc(MAX_FILE_BYTES + 1, '#')), ' is larger than 1MiB'],
    ['/dev/zero', ' is larger than 1MiB'],
    [
      bytes('latin1', Buffer.from('a: 1\nb: caf\xe9\n', 'latin1')),
      ':2:1 this line is not UTF-8, save the file as UTF-8',
    ],
    [bytes('nul', 'a: 1\nb: "\u0000"\n'), ':2:5 holds the control character U+0000, remove it'],
    [bytes('escape', 'a: \u001b[31m\n'), ':1:4 holds the control character U+001b, remove it'],
    [bytes('empty', ''), ':1:1 is empty, write at least one listener'],
  ]
  for (const [file, message] of table) {
    await t.rejects(loadConfig(file, {}), { name: 'ConfigError', message: `${file}${message}` })
  }
  const good = bytes('good', smallest)
  t.strictSame(await loadConfig(good, {}), parse(smallest))
  t.strictSame((await checkConfig(good, {})).warnings, [])
})

test('a file of exactly 1 MiB is read', async (t) => {
  const comment = `#${'x'.repeat(MAX_FILE_BYTES - smallest.length - 2)}\n`
  t.strictSame(parse(comment + smallest), parse(smallest))
  t.throws(() => parse(`#${comment}${smallest}`), { message: 'sidegate.yaml is larger than 1MiB' })
})

test('switches are true and false, and on and off as other keys have them', (t) => {
  const shared = (plainKeys: string) =>
    parse(`shared: { redis: { address: "a:1" }, plainKeys: ${plainKeys} }\n${smallest}`).shared?.plainKeys
  t.same(['on', 'true', 'off', 'false'].map(shared), [true, true, false, false])
  t.throws(() => shared('yes'), /got yes, write true or false/)
  t.end()
})
