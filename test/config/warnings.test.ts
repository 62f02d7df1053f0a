import { test } from 'tap'
import { checkText } from '../../src/config/load.ts'

const warned = (listener: string, top = ''): string[] =>
  checkText(
    `${top}\nlisteners: [{ address: ":17080", upstream: "127.0.0.1:1", ${listener} }]`,
    'f',
  ).warnings.map(({ path }) => path)

test('values that end innocent connections of tcp are risky, the defaults and longer ones are not, and http may have them', async (t) => {
  const risky = { write: '30s', upstreamIdle: '4m', idle: '1m', lifetime: '1h' }
  const fine = { write: '1m', upstreamIdle: '5m', idle: '5m', lifetime: 'off' }
  for (const [name, value] of Object.entries(risky)) {
    t.same(
      warned(`protocol: tcp, deadlines: { ${name}: ${value} }`),
      [`listeners[0].deadlines.${name}`],
      name,
    )
    t.same(warned(`protocol: http, deadlines: { ${name}: ${value} }`), [], `${name} of http`)
  }
  for (const [name, value] of Object.entries(fine))
    t.same(warned(`protocol: tcp, deadlines: { ${name}: ${value} }`), [], `${name} of ${value}`)
  t.same(warned('protocol: tcp'), [])
})

test('deadlines.write has a default for each protocol', async (t) => {
  const write = (protocol: string): unknown =>
    checkText(`listeners: [{ address: ":17080", upstream: "127.0.0.1:1", protocol: ${protocol} }]`, 'f')
      .config.listeners[0]?.deadlines.writeMs
  t.same([write('tcp'), write('http')], [300_000, 30_000])
})

test('drain.tcp: spread is risky where there is a listener of tcp', async (t) => {
  t.same(warned('protocol: tcp', 'drain: { tcp: spread }'), ['drain.tcp'])
  t.same(warned('protocol: http', 'drain: { tcp: spread }'), [])
})

test('a mode has an effect for a Unix socket only, and is written in quotes', async (t) => {
  t.same(warned('protocol: tcp, mode: "0660"'), ['listeners[0].mode'])
  const unix = (mode: string): unknown =>
    checkText(
      `listeners: [{ address: "unix:/run/s", protocol: tcp, upstream: "127.0.0.1:1", mode: ${mode} }]`,
      'f',
    )
  t.match(unix('"0660"'), { config: { listeners: [{ mode: 0o660 }] }, warnings: [] })
  t.match(unix('off'), { config: { listeners: [{ mode: null }] } })
  for (const bad of ['660', '0o660', '"0668"', '"rw"', '"66"'])
    t.throws(() => unix(bad), /listeners\[0\]\.mode: got/, bad)
})

test('deadlines that can hardly be meant are risky, at one millisecond less or more than what can', async (t) => {
  const odd: Array<[name: string, fine: string, risky: string]> = [
    ['handshake', '1s', '999ms'],
    ['handshake', '2m', '120001ms'],
    ['handshake', '10s', '10m'],
    ['connect', '1m', '60001ms'],
    ['connect', '50ms', '49ms'],
    ['response', '1s', '999ms'],
    ['response', '1h', '3600001ms'],
    ['request', '1s', '999ms'],
    ['idle', '10s', '9999ms'],
    ['write', '1s', '999ms'],
    ['write', '1h', '3600001ms'],
    ['halfClose', '1s', '999ms'],
    ['close', '100ms', '99ms'],
    ['close', '1m', '60001ms'],
    ['lifetime', '1m', '5s'],
  ]
  for (const [name, fine, risky] of odd) {
    t.same(warned(`protocol: http, deadlines: { ${name}: ${fine} }`), [], `${name}: ${fine}`)
    t.same(
      warned(`protocol: http, deadlines: { ${name}: ${risky} }`),
      [`listeners[0].deadlines.${name}`],
      `${name}: ${risky}`,
    )
  }
})

test('a value has one warning, the one that says most', async (t) => {
  t.same(warned('protocol: tcp, deadlines: { idle: 5s }'), ['listeners[0].deadlines.idle'])
})

test('what counts and judges by client is warned of where a trusted proxy names clients and the values are for peers', async (t) => {
  const http = (trusted: string, rest: string): string[] =>
    warned(`protocol: http, http: { trustForwarded: ${trusted} }, ${rest}`)
  t.same(http('[0.0.0.0/0]', 'noDelay: true'), ['listeners[0].http.trustForwarded'])
  const ingress = 'access: { allow: [10.1.0.0/16] }'
  t.same(http('[10.1.0.0/16, private]', ingress), ['listeners[0].access.allow'])
  t.same(http('[private]', ingress), [], 'clients may be private ones')
  t.same(http('[10.1.0.0/16]', 'access: { allow: [10.1.0.0/16, 192.0.2.0/24] }'), [])
  const paced = (burst: number): string =>
    `limits: { newConnections: { rate: 5, burst: ${burst}, per: client, onExceed: close } }`
  t.same(http('[private]', paced(20)), ['listeners[0].limits.newConnections.burst'])
  t.same(http('[private]', paced(50)), [])
  t.same(http('[]', paced(20)), [])
})

test('a network with bits behind its prefix is risky in every list, with the network and the address that it may mean', async (t) => {
  const found = (list: string, networks: string): string[] =>
    checkText(
      `listeners: [{ address: ":17080", upstream: "127.0.0.1:1", protocol: http, ${list.replace('_', networks)} }]`,
      'f',
    ).warnings.map(({ line, column, path, message }) => `${line}:${column > 1} ${path} ${message}`)
  const lists = {
    'access.allow': 'access: { allow: _ }',
    'access.deny': 'access: { deny: _ }',
    'proxyProtocol.trusted': 'proxyProtocol: { accept: v1, trusted: _ }',
    'http.trustForwarded': 'http: { trustForwarded: _ }',
  }
  for (const [path, list] of Object.entries(lists)) {
    t.same(found(list, '["10.0.0.0/8", "10.0.0.1/8"]'), [
      `1:true listeners[0].${path}[1] 10.0.0.1/8 is the network 10.0.0.0/8: write that, or 10.0.0.1 for one address`,
    ])
    for (const fine of [
      '10.0.0.0/8',
      '10.0.0.1/32',
      '10.0.0.1',
      '192.168.4.0/22',
      'fd00::/8',
      '::1',
      '128.0.0.0/1',
    ])
      t.same(found(list, `["${fine}"]`), [], fine)
  }
  const means = (network: string): string | undefined =>
    /is the network (\S+):/.exec(found('access: { allow: _ }', `["${network}"]`)[0] ?? '')?.[1]
  t.equal(means('192.168.5.0/22'), '192.168.4.0/22')
  t.equal(means('10.0.0.3/31'), '10.0.0.2/31')
  t.equal(means('1.2.3.4/0'), '0.0.0.0/0')
  t.equal(means('2001:db8::1/64'), '2001:db8::/64')
  t.equal(means('2001:db8:0:0:8000::/65'), undefined)
  t.equal(means('2001:db8:0:0:4000::/65'), '2001:db8::/65')
  t.equal(means('::ffff:10.0.0.1/104'), '10.0.0.0/8')
  t.same(found('http: { trustForwarded: _ }', '[private]'), [])
})
