import { test, type Test } from 'tap'
import { ask } from '../admin/admin.ts'
import net from 'node:net'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate, yamlOf, type Gate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { heldBack } from '../support/held-back.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, listen, type Upstream } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { freePort } from '../support/free-port.ts'
import type { Wire } from '../support/wire.ts'
import { wsClient, wsServer } from '../support/websocket.ts'

const tcp = ({ port }: { port: number }, more = ''): string =>
  `protocol: tcp, upstream: "127.0.0.1:${port}"${more}`
const http = ({ port }: { port: number }, more = ''): string =>
  `protocol: http, upstream: "127.0.0.1:${port}"${more}`

/** Sends its name, then echoes. */
function named(t: Test, name: string): Promise<Upstream> {
  return listen(t, (wire) => {
    void wire.write(name)
    wire.socket.on('data', (chunk) => void wire.write(chunk))
    void wire.ended.then(() => wire.end())
  })
}

async function isLive(client: Wire): Promise<boolean> {
  await client.write('ping')
  return (await client.read(4)).toString() === 'ping'
}

/** The end of a connection that is not admitted; the RST may come before the client has seen that it is connected. */
const outcome = (t: Test, port: number): Promise<string> =>
  within(
    connect(t, port).then(
      async (wire) => (await wire.closed).kind,
      () => 'reset',
    ),
  )

const readiness = async (t: Test, { healthPort }: Gate): Promise<number> =>
  parseAnswer(
    (await requestRaw(t, healthPort, 'GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).bytes,
  ).status

test('new connections go to the new upstream by the same socket; those that are open stay where they are', async (t) => {
  watchLeaks(t)
  const [first, second] = [await named(t, 'one'), await named(t, 'two')]
  const gate = await startGate(t, [tcp(first)])
  const old = await connect(t, gate.port)
  t.equal((await old.read(3)).toString(), 'one')
  t.match(await gate.reload([tcp(second)]), { result: 'success', restartRequired: [] })
  t.same(gate.operator.ports, [gate.port])
  const fresh = await connect(t, gate.port)
  t.equal((await fresh.read(3)).toString(), 'two')
  t.same([await isLive(old), await isLive(fresh)], [true, true])
  t.match(gate.operator.effectiveConfig.listeners, [{ upstream: { addresses: [{ port: second.port }] } }])
  for (const client of [old, fresh]) client.end()
})

test('deadlines hold for what is open, too: a silent pair of each kind ends with the new idle_timeout', async (t) => {
  watchLeaks(t)
  const [upstream, service, web] = [
    await echo(t),
    await wsServer(t),
    await recordingUpstream(t, ({ target }) => (target === '/never' ? undefined : OK)),
  ]
  const rest = ', deadlines: { idle: 150ms, response: 150ms, close: 200ms }'
  const gate = await startGate(t, [tcp(upstream), http(service), http(web)])
  const raw = await connect(t, gate.ports[0]!)
  t.ok(await isLive(raw))
  const socket = await wsClient(t, `ws://127.0.0.1:${gate.ports[1]}`)
  const waiting = await httpClient(t, gate.ports[2]!)
  await waiting.send(get('/never'))
  await web.request(0)
  await gate.reload([tcp(upstream, rest), http(service, rest), http(web, rest)])
  t.equal(await within(raw.ended), true)
  raw.end()
  t.match(await within(socket.closed), { code: 1001, reason: 'idle_timeout' })
  t.equal((await waiting.answer()).status, 504)
  waiting.wire.end()
  await gate.end(2)
  const ends = gate.lines.map((line) => line['close'])
  t.same(
    ['idle_timeout', 'response_timeout'].map((reason) => ends.filter((end) => end === reason).length),
    [2, 1],
  )
})

test('a deadline that was raised spares what is open', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    tcp(upstream, ', deadlines: { idle: 300ms }'),
    tcp(upstream, ', deadlines: { idle: 600ms }'),
  ])
  const [spared, watch] = [await connect(t, gate.ports[0]!), await connect(t, gate.ports[1]!)]
  t.same([await isLive(spared), await isLive(watch)], [true, true])
  await gate.reload([
    tcp(upstream, ', deadlines: { idle: 1h }'),
    tcp(upstream, ', deadlines: { idle: 600ms }'),
  ])
  t.match(
    await gate.end(),
    { reason: 'idle_timeout', line: { listener: 'l1' } },
    'twice the time of the other went by',
  )
  watch.end()
  t.ok(await isLive(spared))
  spared.end()
})

test('smaller buffers hold for clients that come by the same socket: no more than them waits for an upstream that stalls', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {}, { unread: true })
  const gate = await startGate(t, [tcp(upstream)])
  await gate.reload([tcp(upstream, ', buffers: { high: 8KiB }, deadlines: { write: 500ms }')])
  const client = await connect(t, gate.port)
  const flood = client.flood()
  const connection = await eventually(() => [...gate.registry][0])
  await heldBack(connection, 'to_upstream')
  const waits = connection.owner!.queued('upstream')
  t.ok(waits > 0 && waits <= 8192, `${waits} bytes`)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'upstream' })
  await flood
})

test('connections of a listener that was removed end with reloaded, as their protocol can say it; the others go on', async (t) => {
  watchLeaks(t)
  let finish = (): void => {}
  const [upstream, service] = [await echo(t), await wsServer(t)]
  const web = await recordingUpstream(t, ({ target }) =>
    target === '/slow' ? new Promise<string>((resolve) => (finish = () => resolve(OK))) : OK,
  )
  const gate = await startGate(t, [tcp(upstream), tcp(upstream), http(service), http(web)])
  const [stays, raw] = [await connect(t, gate.ports[0]!), await connect(t, gate.ports[1]!)]
  t.same([await isLive(stays), await isLive(raw)], [true, true])
  const socket = await wsClient(t, `ws://127.0.0.1:${gate.ports[2]}`)
  const busy = await httpClient(t, gate.ports[3]!)
  await busy.send(get('/slow'))
  await web.request(0)
  await gate.reload([tcp(upstream)], 'drain: { spread: 50ms, tcp: spread }')
  t.same(await within(raw.closed), { kind: 'fin', code: null })
  t.match(await within(socket.closed), { code: 1012, reason: 'reloaded' })
  finish()
  const answer = await busy.answer()
  t.same([answer.status, answer.header('connection')], [200, 'close'])
  busy.wire.end()
  await gate.end(2)
  t.same(
    gate.lines.map((line) => `${String(line['close'])} ${String(line['side'])}`),
    Array(3).fill('reloaded sidegate'),
  )
  for (const port of gate.ports.slice(1)) await t.rejects(connect(t, port), { code: 'ECONNREFUSED' })
  t.ok(await isLive(stays))
  stays.end()
})

test('until its moment comes a client of a removed listener is told with its next answer', async (t) => {
  watchLeaks(t)
  const web = await recordingUpstream(t)
  const gate = await startGate(t, [http(web), http(web)], { random: () => 0.5 })
  const client = await httpClient(t, gate.ports[1]!)
  await client.get(get('/1'))
  await gate.reload([http(web)], 'drain: { spread: 30s }')
  t.equal((await client.get(get('/2'))).header('connection'), 'close')
  await within(client.wire.ended)
  client.wire.end()
  t.match(await gate.end(), { reason: 'reloaded', side: 'sidegate' })
})

test('a change of the protocol under the same name is a new listener at the same socket', async (t) => {
  watchLeaks(t)
  const [upstream, web] = [await echo(t), await recordingUpstream(t)]
  const gate = await startGate(t, [tcp(upstream)])
  const old = await connect(t, gate.port)
  t.ok(await isLive(old))
  await gate.reload([http(web)], 'drain: { spread: off, tcp: spread }')
  await within(old.closed)
  t.match(await gate.end(), { reason: 'reloaded' })
  const client = await httpClient(t, gate.port)
  t.equal((await client.get(get())).status, 200)
  client.wire.end()
  const samples = readSamples(await gate.metrics())
  t.equal(
    samples.get('sidegate_websocket_messages_total', { listener: 'l0', direction: 'to_client' }),
    0,
    'its series stand',
  )
})

test('another address under the same name: the new one accepts, the old one refuses, and connections go on', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const [here, there] = [freePort(), freePort()]
  const gate = await startGate(t, [tcp(upstream)])
  const at = (port: number): Promise<unknown> =>
    gate.reloadText(
      yamlOf([tcp(upstream)]).replace(
        'name: l0, address: "127.0.0.1:0"',
        `name: l0, address: "127.0.0.1:${port}"`,
      ),
    )
  await at(here)
  const old = await connect(t, here)
  t.ok(await isLive(old))
  await at(there)
  t.same(gate.operator.ports, [there])
  const fresh = await connect(t, there)
  t.same([await isLive(old), await isLive(fresh)], [true, true])
  await t.rejects(connect(t, here), { code: 'ECONNREFUSED' })
  for (const client of [old, fresh]) client.end()
})

test('two listeners that change places keep their sockets', async (t) => {
  watchLeaks(t)
  const [one, two] = [await named(t, 'one'), await named(t, 'two')]
  const [here, there] = [freePort(), freePort()]
  const gate = await startGate(t, [tcp(one)])
  const yaml = (first: number, second: number): string =>
    yamlOf([tcp(one), tcp(two)])
      .replace('name: l0, address: "127.0.0.1:0"', `name: l0, address: "127.0.0.1:${first}"`)
      .replace('name: l1, address: "127.0.0.1:0"', `name: l1, address: "127.0.0.1:${second}"`)
  t.match(await gate.reloadText(yaml(here, there)), { result: 'success' })
  t.match(await gate.reloadText(yaml(there, here)), { result: 'success' })
  for (const [port, name] of [
    [there, 'one'],
    [here, 'two'],
  ] as const) {
    const client = await connect(t, port)
    t.equal((await client.read(3)).toString(), name)
    client.end()
  }
})

test('a port that is taken changes nothing: not the other listeners, not what is open, not readiness; and it is shown', async (t) => {
  watchLeaks(t)
  const [first, second] = [await named(t, 'one'), await named(t, 'two')]
  const taken = net.createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await new Promise((resolve) => taken.once('listening', resolve))
  const { port } = taken.address() as net.AddressInfo
  const gate = await startGate(t, [tcp(first)])
  const old = await connect(t, gate.port)
  await old.read(3)
  const free = freePort()
  const text = `${yamlOf([tcp(second)])}  - { name: free, address: "127.0.0.1:${free}", ${tcp(second)} }\n  - { name: taken, address: "127.0.0.1:${port}", ${tcp(second)} }\n`
  const line = text.trimEnd().split('\n').length
  const message = `test.yaml:${line}:29 listeners[2].address: cannot listen on 127.0.0.1:${port}: the address is in use, write another, or end what listens there`
  t.same(await gate.reloadText(text), { result: 'failure', problems: [message] })
  t.match(gate.operator.configError, {
    file: 'test.yaml',
    problems: [{ line, path: 'listeners[2].address' }],
  })
  await t.rejects(connect(t, free), { code: 'ECONNREFUSED' }, 'what was bound before it was let go')
  const fresh = await connect(t, gate.port)
  t.equal((await fresh.read(3)).toString(), 'one')
  t.same([await isLive(old), await readiness(t, gate)], [true, 200])
  const samples = readSamples(await gate.metrics())
  t.same(
    ['successful', 'restart_required'].map((name) =>
      samples.get(`sidegate_config_${name === 'successful' ? 'last_reload_' : ''}${name}`),
    ),
    [0, 0],
  )
  t.same(
    ['success', 'failure'].map((result) => samples.get('sidegate_config_reloads_total', { result })),
    [0, 1],
  )
  t.equal(samples.get('sidegate_config_info', { hash: 'start' }), 1)
  for (const client of [old, fresh]) client.end()
})

test('a file that is wrong changes nothing, and every problem has its place', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream)])
  const old = await connect(t, gate.port)
  const failed = await gate.reload([
    tcp(upstream, ', deadlines: { idle: 5 }'),
    tcp(upstream, ', colour: red'),
  ])
  t.match(failed, {
    result: 'failure',
    problems: [
      /^test\.yaml:5:\d+ listeners\[0\]\.deadlines\.idle: got 5/,
      /^test\.yaml:6:\d+ listeners\[1\]\.colour: unknown key/,
    ],
  })
  t.same([await isLive(old), await readiness(t, gate), gate.operator.ports], [true, 200, [gate.port]])
  t.match(await gate.reload([tcp(upstream)]), { result: 'success' })
  t.equal(gate.operator.configError, null)
  old.end()
})

test('places are counted across reloads: a higher limit has room for the difference, a lower one ends nobody', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const limited = (places: number): string[] => [tcp(upstream, `, limits: { connections: ${places} }`)]
  const gate = await startGate(t, limited(2))
  const limit = async (): Promise<number | undefined> =>
    readSamples(await gate.metrics()).get('sidegate_connections_limit', { listener: 'l0' })
  t.equal(await limit(), 2)
  const clients = [await connect(t, gate.port), await connect(t, gate.port)]
  for (const client of clients) t.ok(await isLive(client))
  await gate.reload(limited(3))
  t.equal(await limit(), 3)
  clients.push(await connect(t, gate.port))
  t.ok(await isLive(clients[2]!))
  t.equal(await outcome(t, gate.port), 'reset')
  await gate.reload(limited(1))
  t.equal(await limit(), 1)
  for (const client of clients) t.ok(await isLive(client))
  t.equal(await outcome(t, gate.port), 'reset')
  for (const client of clients) client.end()
  await gate.end(2)
  const last = await connect(t, gate.port)
  t.ok(await isLive(last), 'all places came back')
  last.end()
})

test('a listener of which nothing changed is left alone: a kept-alive client goes on by the same upstream connection', async (t) => {
  watchLeaks(t)
  const web = await recordingUpstream(t)
  const gate = await startGate(t, [http(web), tcp(web)])
  const client = await httpClient(t, gate.port)
  await client.get(get('/1'))
  await gate.reload([http(web, ', deadlines: { idle: 2h }'), tcp(web, ', noDelay: false')])
  t.equal((await client.get(get('/2'))).header('connection'), 'keep-alive')
  t.equal(web.requests[1]!.connection, 0)
  const fresh = await httpClient(t, gate.port)
  await fresh.get(get('/3'))
  t.equal(web.requests[2]!.connection, 0, 'so does a new client')
  for (const { wire } of [client, fresh]) wire.end()
})

test('a client that keeps its connection is served by what it was admitted by, until it goes', async (t) => {
  watchLeaks(t)
  const [first, second] = [await recordingUpstream(t), await recordingUpstream(t)]
  const gate = await startGate(t, [http(first)])
  const old = await httpClient(t, gate.port)
  await old.get(get('/1'))
  await gate.reload([http(second)])
  t.equal((await old.get(get('/2'))).header('connection'), 'close', 'another one would be served otherwise')
  const fresh = await httpClient(t, gate.port)
  await fresh.get(get('/3'))
  t.same(
    [first.requests.map(({ target }) => target), second.requests.map(({ target }) => target)],
    [['/1', '/2'], ['/3']],
  )
  old.wire.end()
  await gate.end()
  const watch = stopwatch(t)
  t.equal(await within(first.connections[0]!.ended), true)
  t.ok(watch.livedMs < 2500, `its upstream connections are closed behind the last one: ${watch.livedMs} ms`)
  fresh.wire.end()
})

test('what is bound once waits for a restart, and says so; the rest of the file is in effect', async (t) => {
  watchLeaks(t)
  const [first, second] = [await named(t, 'one'), await named(t, 'two')]
  const gate = await startGate(t, [tcp(first)])
  const moved = yamlOf([tcp(second)]).replace(
    'health: { address: "127.0.0.1:0" }',
    `health: { address: "127.0.0.1:${freePort()}" }`,
  )
  t.match(await gate.reloadText(moved), { result: 'success', restartRequired: ['health.address'] })
  t.same(gate.operator.restartRequired, ['health.address'])
  t.equal(readSamples(await gate.metrics()).get('sidegate_config_restart_required'), 1)
  t.match(gate.operator.effectiveConfig.health.address, { port: 0 }, 'what is in effect')
  t.equal(await readiness(t, gate), 200)
  const client = await connect(t, gate.port)
  t.equal((await client.read(3)).toString(), 'two')
  client.end()
  t.match(await gate.reload([tcp(second)]), { restartRequired: [] })
  t.equal(readSamples(await gate.metrics()).get('sidegate_config_restart_required'), 0)
})

test('the level of the log applies at once', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream)])
  await gate.reload([tcp(upstream)], 'log: { level: error }')
  const silent = await connect(t, gate.port)
  silent.end()
  await within(silent.closed)
  await eventually(() => gate.registry.size === 0)
  t.same(gate.lines, [])
  await gate.reload([tcp(upstream)], 'log: { level: info, probes: true }')
  const heard = await connect(t, gate.port)
  heard.end()
  await gate.end()
})

test('a reload while a drain is under way is refused, and changes nothing', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [tcp(upstream)])
  void gate.operator.drain('admin')
  t.same(await gate.reload([tcp(upstream), tcp(upstream)]), {
    result: 'refused',
    problems: ['a drain is under way'],
  })
  t.equal(gate.operator.ports.length, 1)
  t.equal(gate.operator.undrain(), true)
  t.match(await gate.reload([tcp(upstream), tcp(upstream)]), { result: 'success' })
  t.equal(gate.operator.ports.length, 2)
})

test('the admin server tells which values the file in effect gives, a bad file or not', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, ['protocol: tcp, upstream: "127.0.0.1:1"'])
  const origins = async (): Promise<Record<string, string> | null> =>
    (
      JSON.parse((await ask(gate.adminPort, '/config/origins', {}, 'GET')).body) as {
        origins: Record<string, string> | null
      }
    ).origins
  t.equal(await origins(), null, 'nobody knows what it began with')
  await gate.reload(['protocol: tcp, upstream: "127.0.0.1:1", deadlines: { idle: 5s }'])
  t.equal((await origins())?.['listeners[0].deadlines.idle'], 'file')
  t.equal((await origins())?.['listeners[0].deadlines.write'], undefined)
  t.equal((await gate.reloadText('nonsense: 1')).result, 'failure')
  t.equal((await origins())?.['listeners[0].deadlines.idle'], 'file', 'the last good one is in effect')
})
