import { test } from 'tap'
import { parseConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/core/errors.ts'

/** The problems of a file, without its name. */
function problemsOf(text: string, env = {}): string[] {
  try {
    parseConfig(text, 'f', env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n').map((line) => line.slice(2))
    throw error
  }
  return []
}

const listener = 'listeners:\n  - address: ":17080"\n    protocol: http\n    upstream: 127.0.0.1:8080\n'
const inListener = (key: string): string => `${listener}    ${key}\n`
const inUpstream = (addresses: string): string =>
  `listeners: [{ address: ":1", protocol: tcp, upstream: { addresses: ${addresses} } }]`

test('a client alone cannot be delayed, written or by default', async (t) => {
  const remedy = 'but one client alone cannot be delayed, write onExceed: close'
  t.strictSame(problemsOf(inListener('limits: { newConnections: { rate: 5, per: client } }')), [
    `5:47 listeners[0].limits.newConnections.per: got client, with onExceed: delay (the default), ${remedy}`,
  ])
  t.strictSame(
    problemsOf(inListener('limits: { newConnections: { rate: 5, per: client, onExceed: delay } }')),
    [`5:65 listeners[0].limits.newConnections.onExceed: got delay, with per: client, ${remedy}`],
  )
  t.strictSame(
    problemsOf(inListener('limits: { newConnections: { rate: 5, per: client, onExceed: close } }')),
    [],
  )
  t.strictSame(problemsOf(inListener('limits: { newConnections: { rate: 5, onExceed: delay } }')), [])
})

test('a burst of less than a read, and a rate of nothing, are refused', async (t) => {
  t.strictSame(problemsOf(inListener('limits: { bytes: { rate: 1MiB, burst: 63KiB } }')), [
    '5:43 listeners[0].limits.bytes.burst: got 63KiB, must be 64KiB to 1024GiB',
  ])
  t.strictSame(problemsOf(inListener('limits: { bytes: { rate: 0 } }')), [
    '5:30 listeners[0].limits.bytes.rate: got 0, write off to disable it',
  ])
  t.strictSame(problemsOf(inListener('limits: { messages: { rate: 0.5 } }')), [
    '5:33 listeners[0].limits.messages.rate: got 0.5, write a whole number, 1 to 1000000, or off',
  ])
})

const notYaml: [string, string[]][] = [
  ['', ['1:1 is empty, write at least one listener']],
  ['# nothing\n', ['1:1 is empty, write at least one listener']],
  ['---\n', ['1:1 is empty, write at least one listener']],
  ['~', ['1:1 is empty, write at least one listener']],
  ['text', ['1:1 is not a map of keys, write keys such as listeners:']],
  ['- a', ['1:1 is not a map of keys, write keys such as listeners:']],
  ['5', ['1:1 is not a map of keys, write keys such as listeners:']],
  [
    'a: [1',
    ['1:6 not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  ['a:\n\t- b', ['2:1 a tab cannot indent, write spaces']],
  ['a: b: c', ['1:4 not valid YAML: nested mappings are not allowed in compact mappings']],
  ['a: "x', ['1:6 not valid YAML: missing closing "quote']],
  ['a: 1\n---\nb: 2\n', ['2:1 holds more than one YAML document, write one']],
  ['a: !secret x', ['1:4 YAML tags (!) are not supported, remove it']],
  ['a: !!binary eA==', ['1:4 YAML tags (!) are not supported, remove it']],
  ['? [a]\n: 1', ['1:3 a key must be a plain word']],
  ['%YAML 1.1\n---\na: yes', ['1:1 YAML 1.1 is not supported, remove the %YAML directive']],
  ['%FOO\n---\na: 1', ['1:1 not valid YAML: unknown directive %FOO']],
  ['['.repeat(40) + ']'.repeat(40), ['1:34 nests too deep, at most 32 levels are possible']],
  ['['.repeat(50_000), ['1:*/ nests too deep, at most 32 levels are possible']],
  ['a: &a [*a]', ['1:8 nests too deep, at most 32 levels are possible']],
  [bomb(), ['*/ holds more than 100000 values, aliases counted as often as they are used']],
]

function bomb(): string {
  const lines = Array.from(
    { length: 9 },
    (_, level) => `a${level + 1}: &a${level + 1} [${Array(10).fill(`*a${level}`).join(',')}]`,
  )
  return `a0: &a0 [x]\n${lines.join('\n')}\n`
}

const LISTENER_KEYS =
  'name, address, mode, protocol, upstream, deadlines, buffers, limits, websocket, http, access, proxyProtocol, tls, tcpKeepAlive, noDelay'

const oneProblem: [string, string][] = [
  ['listeners: []', '1:12 listeners: got an empty list, write at least one listener'],
  ['listeners:', '1:1 listeners: is empty, write at least one listener'],
  ['listeners: 5', '1:12 listeners: got 5, write at least one listener'],
  ['log: {}', '1:1 listeners: is missing, write at least one listener'],
  ['listeners: [5]', `1:13 listeners[0]: got 5, write a map of keys, possible are ${LISTENER_KEYS}`],
  [
    'listeners: [[]]',
    `1:13 listeners[0]: got an empty list, write a map of keys, possible are ${LISTENER_KEYS}`,
  ],
  [
    `${listener}log: debug\n`,
    '5:6 log: got debug, write a map of keys, possible are level, format, requests, probes, timeline',
  ],
  [
    listener.replace('127.0.0.1:8080', '[a:1, b:2]'),
    '4:15 listeners[0].upstream: got a list, write host:port, such as 127.0.0.1:8080, or a map with addresses',
  ],
  [
    'listeners:\n  address: ":80"\n',
    '2:3 listeners: got a map of keys, write at least one listener, each behind a dash',
  ],
  [
    `listeners:\n  - address: ":80"\n\u00a0   protocol: tcp\n    upstream: "x:1"\n`,
    '3:1 this line begins with U+00A0, which is no space, write spaces',
  ],
  [
    `listeners:\n  -\u3000address: ":80"\n    protocol: tcp\n`,
    '2:4 this line begins with U+3000, which is no space, write spaces',
  ],
  ['listeners:\n  -\n', '2:4 listeners[0]: is empty, give it keys or remove it'],
  [`${listener}health:\n`, '5:1 health: is empty, give it keys or remove it'],
  [
    `${listener}log: { level: warning }\n`,
    '5:15 log.level: got warning, write error, warn, info or debug; did you mean warn?',
  ],
  [`${listener}log: { format: xml }\n`, '5:16 log.format: got xml, write json or text'],
  [
    `${listener}drain: { timeout: off }\n`,
    '5:19 drain.timeout: got off, but this bound cannot be off, write a duration such as 250ms, 30s, 5m or 1h',
  ],
  [
    `${listener}drain: { timeout: 40s }\n`,
    '5:19 drain.timeout: got 40s, but minDuration (10s) and spread (30s) together must be less than timeout (40s)',
  ],
  [
    `${listener}drain: { minDuration: off, timeout: 30s }\n`,
    '5:37 drain.timeout: got 30s, but minDuration (off) and spread (30s) together must be less than timeout (30s)',
  ],
  [
    `${listener}drain: { spread: 50s }\n`,
    '5:18 drain.spread: got 50s, but minDuration (10s) and spread (50s) together must be less than timeout (1m)',
  ],
  [
    `${listener}drain: { minDuration: 2m }\n`,
    '5:23 drain.minDuration: got 2m, but minDuration (2m) and spread (30s) together must be less than timeout (1m)',
  ],
  [`${listener}listners: []\n`, '5:1 listners: unknown key, did you mean listeners?'],
  [
    `${listener}zebra: 1\n`,
    '5:1 zebra: unknown key, possible are health, admin, log, drain, memory, workers, shared, listeners',
  ],
  [
    `${listener}__proto__: { x: 1 }\n`,
    '5:1 __proto__: unknown key, possible are health, admin, log, drain, memory, workers, shared, listeners',
  ],
  [
    `${listener}constructor: 1\n`,
    '5:1 constructor: unknown key, possible are health, admin, log, drain, memory, workers, shared, listeners',
  ],
  [`${listener}<<: { log: {} }\n`, '5:1 ["<<"]: merge keys are not supported, write the keys'],
  [
    `${listener}"a\\nb": 1\n`,
    '5:1 ["a\\nb"]: unknown key, possible are health, admin, log, drain, memory, workers, shared, listeners',
  ],
  [`${listener}log: {}\nlog: {}\n`, '6:1 log: is written twice, remove one'],
  [`${listener}log: *nowhere\n`, '5:6 log: there is no anchor &nowhere before this alias'],
  [
    `${listener}admin: { address: ":17020" }\n`,
    '5:19 admin.address: got :17020, which others can reach: write a loopback address such as 127.0.0.1:17020, or name a file that holds a token in admin.tokenFile',
  ],
  [inListener('idle: 5s'), '5:5 listeners[0].idle: unknown key, did you mean deadlines.idle?'],
  [
    inListener('max_message: 1MiB'),
    '5:5 listeners[0].max_message: unknown key, did you mean websocket.maxMessage?',
  ],
  // A key of that name elsewhere is meant, not one that is written nearly so.
  [
    inListener('keepAlive: 65s'),
    '5:5 listeners[0].keepAlive: unknown key, did you mean upstream.keepAlive or http.keepAlive?',
  ],
  [
    inListener('deadlines: { keepAlive: 65s }'),
    '5:18 listeners[0].deadlines.keepAlive: unknown key, did you mean listeners[].upstream.keepAlive or listeners[].http.keepAlive?',
  ],
  [`${listener}deadlines: { idle: 5m }\n`, '5:1 deadlines: unknown key, did you mean listeners[].deadlines?'],
  // The documentation names keys so, and so they are copied.
  [
    inListener('deadlines.idle: 5m'),
    '5:5 listeners[0]["deadlines.idle"]: unknown key, write deadlines: { idle: ... }',
  ],
  [
    inListener('limits.bytes.rate: 1MiB'),
    '5:5 listeners[0]["limits.bytes.rate"]: unknown key, write limits: { bytes: { rate: ... } }',
  ],
  [
    `${listener}upstream.keepAlive: 3s\n`,
    '5:1 ["upstream.keepAlive"]: unknown key, did you mean listeners[].upstream.keepAlive?',
  ],
  [
    `listeners.deadlines.idle: 3s\n${listener}`,
    '1:1 ["listeners.deadlines.idle"]: unknown key, write listeners: [{ deadlines: { idle: ... } }]',
  ],
  [
    inListener('limits: { scope: fleet }'),
    '5:15 listeners[0].limits.scope: unknown key, possible are connections, connectionsPerClient, newConnections, bytes, minRate, messages, mode',
  ],
  [
    inListener('websocket: { ping: off }'),
    '5:24 listeners[0].websocket.ping: got off, write a map of keys, of which interval can be off',
  ],
  [
    inListener('tls: off'),
    '5:10 listeners[0].tls: got off, write a map of keys, possible are cert, key, clientCa, minVersion, ciphers, alpn, or remove it',
  ],
  [inListener('no-delay: true'), '5:5 listeners[0].no-delay: unknown key, did you mean noDelay?'],
  [inListener('upstrem: a:1'), '5:5 listeners[0].upstrem: unknown key, did you mean upstream?'],
  [
    inListener('deadlines: { idle: 5 }'),
    '5:24 listeners[0].deadlines.idle: got 5, write a duration such as 5s',
  ],
  [inListener('deadlines: { idle: 0 }'), '5:24 listeners[0].deadlines.idle: got 0, write off to disable it'],
  [
    inListener('deadlines: { idle: }'),
    '5:18 listeners[0].deadlines.idle: is empty, write a duration such as 30s',
  ],
  [
    inListener('deadlines: { idle: 25d }'),
    '5:24 listeners[0].deadlines.idle: got 25d, must be 1ms to 24d, or off',
  ],
  [
    inListener('deadlines: { lifetimeJitter: 60% }'),
    '5:34 listeners[0].deadlines.lifetimeJitter: got 60%, must be 0.1% to 50%, or off',
  ],
  [
    inListener('deadlines: 5s'),
    '5:16 listeners[0].deadlines: got 5s, write a map of keys, possible are handshake, connect, response, request, idle, clientIdle, upstreamIdle, write, halfClose, close, lifetime, lifetimeJitter',
  ],
  [
    inListener('buffers: { high: off }'),
    '5:22 listeners[0].buffers.high: got off, but this bound cannot be off, write a size such as 512B, 64KiB or 1MiB',
  ],
  [inListener('buffers: { high: 2KiB }'), '5:22 listeners[0].buffers.high: got 2KiB, must be 4KiB to 16MiB'],
  [
    inListener('buffers: { high: 17MiB }'),
    '5:22 listeners[0].buffers.high: got 17MiB, must be 4KiB to 16MiB',
  ],
  [
    inListener('buffers: { low: 65KiB }'),
    '5:21 listeners[0].buffers.low: got 65KiB, more than high (64KiB, the default), write at most 64KiB',
  ],
  [
    inListener('buffers: { high: 8KiB, low: 9KiB }'),
    '5:33 listeners[0].buffers.low: got 9KiB, more than high (8KiB), write at most 8KiB',
  ],
  [
    inListener('limits: { connections: 0 }'),
    '5:28 listeners[0].limits.connections: got 0, write a whole number, 1 to 1000000',
  ],
  [
    inListener('limits: { connections: off }'),
    '5:28 listeners[0].limits.connections: got off, write a whole number, 1 to 1000000',
  ],
  [
    inListener('limits: { connections: "10" }'),
    '5:28 listeners[0].limits.connections: got "10", write a whole number, 1 to 1000000',
  ],
  [
    inListener('websocket: { maxFragments: 1.5 }'),
    '5:32 listeners[0].websocket.maxFragments: got 1.5, write a whole number, 1 to 1000000, or off',
  ],
  [
    inListener('websocket: { maxFragments: 0 }'),
    '5:32 listeners[0].websocket.maxFragments: got 0, write off to disable it',
  ],
  [
    inListener('websocket: { ping: { timeout: off } }'),
    '5:35 listeners[0].websocket.ping.timeout: got off, but this bound cannot be off, write a duration such as 250ms, 30s, 5m or 1h',
  ],
  [
    inListener('websocket: { ping: { timeout: 30s } }'),
    '5:35 listeners[0].websocket.ping.timeout: got 30s, more than interval (25s, the default), write at most 25s',
  ],
  [
    inListener('websocket: { origins: https://a }'),
    '5:27 listeners[0].websocket.origins: got https://a, write a list of origins such as [https://example.com]',
  ],
  [
    inListener('websocket: { origins: ["*"] }'),
    '5:28 listeners[0].websocket.origins[0]: got *, leave the list empty to allow every origin',
  ],
  [
    inListener('websocket: { origins: ["https://*.a"] }'),
    '5:28 listeners[0].websocket.origins[0]: got https://*.a, wildcards are not supported, write each origin',
  ],
  [
    inListener('websocket: { origins: ["https://a:443"] }'),
    '5:28 listeners[0].websocket.origins[0]: got https://a:443, write https://a',
  ],
  [
    inListener('websocket: { origins: ["https://a/"] }'),
    '5:28 listeners[0].websocket.origins[0]: got https://a/, write https://a',
  ],
  [
    inListener('websocket: { origins: [example.com] }'),
    '5:28 listeners[0].websocket.origins[0]: got example.com, write an origin such as https://example.com',
  ],
  [inListener('http: { maxBody: 0 }'), '5:22 listeners[0].http.maxBody: got 0, write off to disable it'],
  [
    inListener('http: { keepAlive: 65 }'),
    '5:24 listeners[0].http.keepAlive: got 65, write a duration such as 65s',
  ],
  [
    inListener('http: { trustForwarded: 10.0.0.0/8 }'),
    '5:29 listeners[0].http.trustForwarded: got 10.0.0.0/8, write a list of networks such as [10.0.0.0/8], or [private]',
  ],
  [
    inListener('http: { trustForwarded: [10.0.0.0/33] }'),
    '5:30 listeners[0].http.trustForwarded[0]: got 10.0.0.0/33, an IPv4 prefix has at most 32 bits',
  ],
  [
    inListener('http: { trustForwarded: [example.com] }'),
    '5:30 listeners[0].http.trustForwarded[0]: got example.com, write a network such as 10.0.0.0/8, or one address, or private',
  ],
  [inListener('noDelay: yes'), '5:14 listeners[0].noDelay: got yes, write true or false'],
  [inListener('tcpKeepAlive: 10ms'), '5:19 listeners[0].tcpKeepAlive: got 10ms, must be 1s to 9h, or off'],
  [
    inListener('name: "a b"'),
    '5:11 listeners[0].name: got "a b", write 1 to 63 letters, digits, dots, dashes or underscores',
  ],
  [
    inListener('name: "a\\r\\nb"'),
    '5:11 listeners[0].name: got "a\\r\\nb", write 1 to 63 letters, digits, dots, dashes or underscores',
  ],
  [
    inListener('name: "a\\0b"'),
    '5:11 listeners[0].name: got "a\\u0000b", write 1 to 63 letters, digits, dots, dashes or underscores',
  ],
  [inListener('name: 5'), '5:11 listeners[0].name: got 5, write it in quotes: "5"'],
  [
    inListener('name: ${POD}'),
    '5:11 listeners[0].name: got "${POD}", the environment variable POD is not set',
  ],
  [
    inListener('name: ${__proto__}'),
    '5:11 listeners[0].name: got "${__proto__}", the environment variable __proto__ is not set',
  ],
  [
    inListener('name: "${POD:-x}"'),
    '5:11 listeners[0].name: got "${POD:-x}", write ${NAME} without a default, or $${ for a literal ${',
  ],
  [
    inListener('name: "${POD"'),
    '5:11 listeners[0].name: got "${POD", write ${NAME}, or $${ for a literal ${',
  ],
  [`${listener}memory: { buffered: 5 }\n`, '5:21 memory.buffered: got 5, write a size such as 5B'],
  [
    `${listener}memory: { buffered: 1KiB }\n`,
    '5:21 memory.buffered: got 1KiB, must be 64KiB to 1024GiB, or off',
  ],
  [`${listener}memory: { buffered: 101% }\n`, '5:21 memory.buffered: got 101%, must be 1% to 100%'],
  [
    `${listener}memory: { shedAt: 96% }\n`,
    '5:19 memory.shedAt: got 96%, more than refuseAt (95%, the default), write at most 95%',
  ],
  [
    `${listener}memory: { refuseAt: 80% }\n`,
    '5:21 memory.refuseAt: got 80%, less than shedAt (85%, the default), write shedAt too',
  ],
  [`${listener}memory: { shedAt: 9% }\n`, '5:19 memory.shedAt: got 9%, must be 10% to 100%, or off'],
  [
    'listeners: [{ protocol: tcp, upstream: "a:1" }]',
    '1:13 listeners[0].address: is missing, write host:port or :port, such as 127.0.0.1:8080 or :8080',
  ],
  [
    'listeners: [{ address: ":1", upstream: "a:1" }]',
    '1:13 listeners[0].protocol: is missing, write http or tcp',
  ],
  [
    'listeners: [{ address: ":1", protocol: tcp }]',
    '1:13 listeners[0].upstream: is missing, write host:port, such as 127.0.0.1:8080',
  ],
  [
    'listeners: [{ address: ":1", protocol: tcp, upstream: }]',
    '1:45 listeners[0].upstream: is empty, write host:port, such as 127.0.0.1:8080',
  ],
  [
    'listeners: [{ address: ":1", protocol: tcp, upstream: {} }]',
    '1:45 listeners[0].upstream.addresses: is missing, write a list of addresses, such as [127.0.0.1:8080]',
  ],
  [
    inUpstream('["a:1", "b:1", "A:1"]'),
    '1:83 listeners[0].upstream.addresses[2]: got a:1, which upstream.addresses[0] is already, remove one',
  ],
  [
    inUpstream('["a:1", "127.0.0.1:17021"]'),
    '1:76 listeners[0].upstream.addresses[1]: got 127.0.0.1:17021, which is Sidegate itself: health.address (:17021, the default), write the address of the service',
  ],
  [
    inUpstream('["a:1"], balance: random'),
    '1:86 listeners[0].upstream.balance: got random, write leastConnections or roundRobin',
  ],
  [
    inUpstream('["a:1"], maxConnections: 0'),
    '1:93 listeners[0].upstream.maxConnections: got 0, write off to disable it',
  ],
  [
    inUpstream('["a:1"], queueTimeout: off'),
    '1:91 listeners[0].upstream.queueTimeout: got off, but this bound cannot be off, write a duration such as 250ms, 30s, 5m or 1h',
  ],
  [
    inUpstream('["a:1"], healthCheck: { type: ping }'),
    '1:98 listeners[0].upstream.healthCheck.type: got ping, write off, tcp, http, grpc or websocket',
  ],
  [
    inUpstream('["a:1"], healthCheck: { type: http, path: a }'),
    '1:110 listeners[0].upstream.healthCheck.path: got "a", write a path such as /healthz',
  ],
  [
    inUpstream('["a:1"], healthCheck: { type: http, path: "/a b" }'),
    '1:110 listeners[0].upstream.healthCheck.path: got "/a b", write a path such as /healthz',
  ],
  [
    inUpstream('["a:1"], healthCheck: { type: tcp, path: / }'),
    '1:109 listeners[0].upstream.healthCheck.path: has no meaning with type: tcp, remove it or write type: http or websocket',
  ],
  [
    inUpstream('["a:1"], healthCheck: { interval: 99ms }'),
    '1:102 listeners[0].upstream.healthCheck.interval: got 99ms, must be 100ms to 24d',
  ],
  [
    inUpstream('["a:1"], healthCheck: { unhealthy: 101 }'),
    '1:103 listeners[0].upstream.healthCheck.unhealthy: got 101, write a whole number, 1 to 100',
  ],
  [
    inUpstream(`[${Array.from({ length: 65 }, (_, index) => `"a:${index + 1}"`).join(',')}]`),
    '1:68 listeners[0].upstream.addresses: got 65 items, at most 64 are possible',
  ],
  [
    'listeners: [{ address: ":1", protocol: udp, upstream: "a:1" }]',
    '1:40 listeners[0].protocol: got udp, write http or tcp',
  ],
  [
    'listeners: [{ address: ":17021", protocol: tcp, upstream: "a:1" }]',
    '1:24 listeners[0].address: got :17021, which health.address (:17021, the default) takes already, write another port',
  ],
  [
    `${listener}health: { address: "127.0.0.1:17080" }\n`,
    '2:14 listeners[0].address: got :17080, which health.address (127.0.0.1:17080) takes already, write another port',
  ],
  [
    `${listener}admin: { address: "[::1]:17021" }\n`,
    '5:19 admin.address: got [::1]:17021, which health.address (:17021, the default) takes already, write another port',
  ],
  [
    `${listener}  - { address: "[::1]:17080", protocol: tcp, upstream: "a:1" }\n`,
    '5:16 listeners[1].address: got [::1]:17080, which listeners[0].address (:17080) takes already, write another port',
  ],
  [
    `${listener}  - { address: ":1", name: http-17080, protocol: tcp, upstream: "a:1" }\n`,
    '5:28 listeners[1].name: got http-17080, which listeners[0] is called already, write another',
  ],
  [
    'listeners:\n  - { address: "127.0.0.1:1", protocol: tcp, upstream: "a:1" }\n  - { address: "127.0.0.2:1", protocol: tcp, upstream: "a:1" }\n',
    '3:5 listeners[1].name: is missing, and listeners[0] is called tcp-1 already, write one',
  ],
  [
    'listeners: [{ address: ":1", protocol: tcp, upstream: "localhost:1" }]',
    '1:55 listeners[0].upstream: got localhost:1, which is Sidegate itself: listeners[0].address (:1), write the address of the service',
  ],
  [
    'listeners: [{ address: ":1", protocol: tcp, upstream: { addresses: ["127.0.0.1:17020"] } }]',
    '1:69 listeners[0].upstream.addresses[0]: got 127.0.0.1:17020, which is Sidegate itself: admin.address (127.0.0.1:17020, the default), write the address of the service',
  ],
]

test('what is no YAML map is refused before anything is made of it', async (t) => {
  for (const [text, expected] of notYaml) {
    const found = problemsOf(text)
    t.equal(found.length, expected.length, JSON.stringify(text.slice(0, 40)))
    for (const [index, problem] of expected.entries()) {
      const [, end] = problem.split('*/')
      if (end === undefined) t.equal(found[index], problem)
      else t.ok(found[index]?.endsWith(end), problem)
    }
  }
})

test('every single fault is named at its place, with its remedy and nothing else', async (t) => {
  for (const [text, problem] of oneProblem) t.strictSame(problemsOf(text), [problem])
})

test('a token in the configuration is refused, not shown, and its remedy is a file', async (t) => {
  t.strictSame(problemsOf(`${listener}admin: { token: hunter2 }\n`), [
    '5:17 admin.token: not supported: everybody who can read the configuration would have it; write the token to a file and name that in tokenFile',
  ])
})

test('with a token file the admin server may be reached by others', async (t) => {
  t.equal(
    parseConfig(`${listener}admin: { address: ":17020", tokenFile: /run/token }\n`, 'x').admin.tokenFile,
    '/run/token',
  )
  t.equal(parseConfig(`${listener}admin: { tokenFile: off }\n`, 'x').admin.tokenFile, null)
  t.match(problemsOf(`${listener}admin: { address: ":17020", tokenFile: off }\n`), [
    / which others can reach/,
  ])
  for (const path of ['token', './token', '""', '5', '"/a\\nb"'])
    t.match(
      problemsOf(`${listener}admin: { tokenFile: ${path} }\n`),
      [/^5:\d+ admin\.tokenFile: got .*, write an absolute path, such as/],
      path,
    )
})

test('keys whose feature is not built yet are refused, not ignored', async (t) => {
  t.match(problemsOf(`${listener}admin: { token: x }\n`), [/^5:\d+ admin\.token: not supported: /])
})

test('what the other mode of a WebSocket can do is refused with the words of this one', async (t) => {
  const of = (keys: string): string[] => problemsOf(inListener(`websocket: { ${keys} }`))
  t.strictSame(of('compression: on'), [
    '5:31 listeners[0].websocket.compression: got on, which needs mode: messages, write pass or strip',
  ])
  t.strictSame(of('mode: messages, compression: pass'), [
    '5:47 listeners[0].websocket.compression: got pass, which needs mode: frames, write on or off',
  ])
  for (const policy of ['close', 'dropOldest', 'dropNewest']) {
    t.strictSame(of(`slowConsumer: { policy: ${policy} }`), [
      `5:42 listeners[0].websocket.slowConsumer.policy: got ${policy}, which needs mode: messages (frames mode holds no whole message), write that or wait`,
    ])
    t.strictSame(of(`mode: messages, slowConsumer: { policy: ${policy} }`), [])
  }
  for (const fine of [
    'mode: messages',
    'mode: messages, compression: off',
    'mode: frames, compression: strip',
    'slowConsumer: { policy: wait }',
  ])
    t.strictSame(of(fine), [])
})

test('messages over a rate can be dropped in messages mode alone', async (t) => {
  const of = (keys: string): string[] =>
    problemsOf(inListener(`limits: { messages: { rate: 5, onExceed: drop } }\n${keys}`))
  const problem =
    '5:46 listeners[0].limits.messages.onExceed: got drop, which needs websocket.mode: messages (frames mode holds no whole message), write that, or delay or close'
  t.strictSame(of(''), [problem])
  t.strictSame(of('    websocket: { mode: frames }'), [problem])
  t.strictSame(of('    websocket: { mode: messages }'), [])
  t.match(problemsOf(inListener('limits: { bytes: { onExceed: drop } }')), [
    /got drop, write delay or close$/,
  ])
})

test('all problems come at once, in the order of the file, those between keys among them', async (t) => {
  t.strictSame(
    problemsOf(`log: { levle: info }
listeners:
  - address: ":1"
    protocol: http
    upstream: \${NOWHERE}
    deadlines:
      idle: 5
      tls: 1
    buffers: { high: 4KiB, low: 8KiB }
  - address: "[::1]:1"
    name: http-1
    protocol: tcp
workers: 0
workers: 5
`),
    [
      '1:8 log.levle: unknown key, did you mean level?',
      '5:15 listeners[0].upstream: got "${NOWHERE}", the environment variable NOWHERE is not set',
      '7:13 listeners[0].deadlines.idle: got 5, write a duration such as 5s',
      '8:7 listeners[0].deadlines.tls: unknown key, did you mean shared.redis.tls or listeners[].tls?',
      '9:33 listeners[0].buffers.low: got 8KiB, more than high (4KiB), write at most 4KiB',
      '10:5 listeners[1].upstream: is missing, write host:port, such as 127.0.0.1:8080',
      '10:14 listeners[1].address: got [::1]:1, which listeners[0].address (:1) takes already, write another port',
      '11:11 listeners[1].name: got http-1, which listeners[0] is called already, write another',
      '13:10 workers: got 0, write a whole number, 1 to 64, or auto',
      '14:1 workers: is written twice, remove one',
    ],
  )
})

test('what the parser says of a hostile value cannot forge a line', async (t) => {
  for (const problem of problemsOf('%\u2028\u202e\n---\na: 1')) t.notMatch(problem, /[^\x20-\x7e]/)
})

test('of very many problems the first hundred are listed and the rest counted', async (t) => {
  const found = problemsOf(Array.from({ length: 150 }, (_, index) => `zebra${index}: 1`).join('\n'))
  t.equal(found.length, 101)
  t.equal(found.at(-1), '99:1 and 51 more problems after this')
})

test('a variable that is used often cannot fill the memory', async (t) => {
  const [problem] = problemsOf(inListener(`name: "${'${BIG}'.repeat(1000)}"`), { BIG: 'x'.repeat(10_000) })
  t.match(problem, /which becomes longer than 65536 characters$/)
})

test('a listener too many is refused before all are compared with each other', async (t) => {
  const listeners = Array.from(
    { length: 257 },
    (_, index) => `  - { address: ":${index + 1}", protocol: tcp, upstream: "a:1" }`,
  )
  t.strictSame(problemsOf(`listeners:\n${listeners.join('\n')}\n`), [
    '2:3 listeners: got 257 items, at most 256 are possible',
  ])
})

const fleet = 'shared: { redis: { address: redis:6379 } }\n'

test('a limit of the fleet needs the fleet, and something that gates could share', (t) => {
  const scoped = inListener('limits: { connectionsPerClient: { max: 5, scope: fleet } }')
  t.strictSame(problemsOf(scoped), [
    '5:54 listeners[0].limits.connectionsPerClient.scope: got fleet, which needs shared.redis, write that, or process',
  ])
  t.strictSame(problemsOf(fleet + scoped), [])
  t.match(problemsOf(fleet + inListener('limits: { messages: { rate: 5, scope: fleet } }')), [
    /limits.messages.scope: got fleet, but each connection has this rate for itself, write per: client or per: listener$/,
  ])
  t.strictSame(
    problemsOf(fleet + inListener('limits: { bytes: { rate: 1MiB, per: client, scope: fleet } }')),
    [],
  )
  t.end()
})

test('Redis is reached in one way', (t) => {
  const problems = (redis: string): string[] => problemsOf(`shared: { redis: { ${redis} } }\n${listener}`)
  t.match(problems('database: 1'), [/shared.redis.address: is missing, write where Redis listens/])
  t.match(problems('address: "a:1", cluster: ["b:1"]'), [
    /shared.redis.cluster: is one way too many, with address: write one of address, sentinels and cluster$/,
  ])
  t.match(problems('sentinels: ["a:1", "unix:/s"]'), [/shared.redis.sentinels\[1\]: is a Unix socket/])
  t.match(problems('address: "a:1", prefix: "{x}"'), [/shared.redis.prefix: got "?{x}"?, write 1 to 64/])
  t.match(problems('address: "a:1", tls: { cert: /c }'), [
    /shared.redis.tls.key: is missing, write it beside cert$/,
  ])
  t.strictSame(problems('address: "unix:/run/redis.sock"'), [])
  t.strictSame(problems('sentinels: ["a:1", "b:1"], master: main'), [])
  t.strictSame(problems('sentinels: ["a:1"], sentinelUser: u, sentinelPasswordFile: /run/s'), [])
  t.match(problems('address: "a:1", sentinelPasswordFile: /run/s'), [
    /shared.redis.sentinelPasswordFile: has no meaning without sentinels, remove it$/,
  ])
  t.strictSame(problems('sentinels: ["a:1"], sentinelTls: { ca: /c, serverName: s }'), [])
  t.match(problems('cluster: ["a:1"], sentinelTls: { ca: /c }'), [
    /shared.redis.sentinelTls: has no meaning without sentinels, remove it$/,
  ])
  t.match(problems('sentinels: ["a:1"], sentinelTls: { key: /k }'), [
    /shared.redis.sentinelTls.cert: is missing, write it beside key$/,
  ])
  t.end()
})
