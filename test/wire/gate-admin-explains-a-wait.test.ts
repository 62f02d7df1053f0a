import { test } from 'tap'
import { ask } from '../admin/admin.ts'
import type { Row } from '../admin/admin.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { heldBack } from '../support/held-back.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, flooder, mute } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

/** The row of the only connection, once it waits for `what`. */
async function waitingFor(gate: Gate, what: string | RegExp): Promise<Row> {
  const isThere = (text: unknown): boolean =>
    typeof what === 'string' ? text === what : what.test(String(text))
  let seen: Row = {}
  await eventually(
    async () => {
      if (gate.registry.size === 0) return false
      seen = JSON.parse((await ask(gate.adminPort, `/connections/${gate.open().id}`, {}, 'GET')).body) as Row
      return isThere(seen['waitsFor'])
    },
    { what: `a connection that waits for ${what}` },
  ).catch((error: Error) => {
    throw new Error(`${error.message}, saw ${String(seen['waitsFor'])}`)
  })
  return seen
}

/** Whether that deadline comes next, within `maxMs`. A row may show a due deadline until the sweep that finds it due. */
function isNext(row: Row, key: string, side: string, maxMs: number): boolean {
  const found = row['nextDeadline'] as { key: string; side: string; inMs: number } | null
  return (
    found !== null && found.key === key && found.side === side && found.inMs > -1000 && found.inMs <= maxMs
  )
}

test('tcp: data, a reader that stopped, and the other side after a FIN', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  const quiet = await waitingFor(gate, 'data either way')
  t.match(quiet, { state: 'open', phase: 'relay', close: null })
  t.ok(isNext(quiet, 'deadlines.idle', 'sidegate', 3_600_000))
  client.end()
  await gate.end()

  const flood = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${(await flooder(t)).port}"`])
  await connect(t, flood.port, { unread: true })
  await eventually(() => flood.registry.size === 1)
  await heldBack(flood.open(), 'to_client')
  const stalled = await waitingFor(flood, /^the client to take \d/)
  t.match(stalled, { paused: { toClient: true, toUpstream: false } })
  t.ok(isNext(stalled, 'deadlines.write', 'client', 300_000))

  const silent = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${(await mute(t)).port}"`])
  const half = await connect(t, silent.port)
  half.end()
  const lingering = await waitingFor(silent, 'the upstream to end, as the client did')
  t.equal(lingering['state'], 'lingering')
  t.ok(isNext(lingering, 'deadlines.halfClose', 'upstream', 30_000))
})

test('an upstream that does not accept, and a head that is not complete', async (t) => {
  watchLeaks(t)
  const slow = await backlogFull(t)
  const dialling = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${slow.port}"`])
  await connect(t, dialling.port)
  const dial = await waitingFor(dialling, 'the upstream to accept the connection')
  t.match(dial, { phase: 'connect', connectMs: null })
  t.ok(isNext(dial, 'deadlines.connect', 'upstream', 5000))

  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  await client.write('GET / HT')
  const head = await waitingFor(gate, 'the client to send the head of its request')
  t.ok(isNext(head, 'deadlines.handshake', 'client', 10_000))
})

test('WebSocket: the 101, and the answer to a Close frame', async (t) => {
  watchLeaks(t)
  const held = await scriptedUpstream(t, () => {})
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${held.port}"`])
  const early = await connect(t, gate.port)
  await early.write(upgradeRequest())
  const upgrade = await waitingFor(gate, 'the upstream to answer the upgrade')
  t.ok(isNext(upgrade, 'deadlines.response', 'upstream', 60_000))

  const deafServer = await scriptedUpstream(t, (said) => said.accept())
  const closing = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${deafServer.port}"`])
  const client = await rawClient(t, closing.port)
  await client.sendFrame({
    opcode: 'close',
    payload: Buffer.from([0x03, 0xe8]),
    mask: Buffer.from([1, 2, 3, 4]),
  })
  const row = await waitingFor(closing, 'the Close frame of the upstream')
  t.ok(isNext(row, 'deadlines.close', 'client', 5000))
})

test('WebSocket: a pong that is owed', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { ping: { interval: 500ms, timeout: 500ms, misses: 1 } }`,
  ])
  const client = await rawClient(t, gate.port)
  const { payload } = await client.nextFrame()
  await client.sendFrame({ opcode: 'pong', payload })
  const row = await waitingFor(gate, 'a pong of the client')
  t.ok(isNext(row, 'websocket.ping.timeout', 'client', 500))
})

test('plain HTTP: an answer, and the next request', async (t) => {
  watchLeaks(t)
  const answers: string[] = []
  const upstream = await recordingUpstream(t, async () => eventually(() => answers.pop()))
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  void client.send(get('/'))
  const asking = await waitingFor(gate, 'the upstream to answer')
  t.equal(asking['state'], 'busy')
  t.ok(isNext(asking, 'deadlines.response', 'upstream', 60_000))
  answers.push('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  await client.answer()
  const idle = await waitingFor(gate, 'the next request')
  t.equal(idle['state'], 'idle')
  t.ok(isNext(idle, 'http.keepAlive', 'sidegate', 65_000))
  await client.send('GET /never HTTP/1.1\r\n')
  t.ok(
    isNext(
      await waitingFor(gate, 'the rest of the head of a request'),
      'deadlines.handshake',
      'client',
      10_000,
    ),
  )
  void client.send('Host: a\r\nContent-Length: 5\r\n\r\n')
  t.ok(isNext(await waitingFor(gate, 'more of the request body'), 'deadlines.request', 'client', 60_000))
})

test('a limit that delays is waited for, not the side that it delays', async (t) => {
  watchLeaks(t)
  const bytes = 'limits: { bytes: { rate: 64KiB, burst: 64KiB } }'
  const upstream = await flooder(t)
  const flood = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${bytes}`])
  const reader = await connect(t, flood.port)
  await waitingFor(flood, 'limits.bytes to let the upstream go on')
  reader.destroy()

  const echoing = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${echoing.port}", ${bytes}`])
  const writer = await connect(t, gate.port)
  void writer.write(Buffer.alloc(4 << 20))
  await waitingFor(gate, /^limits\.bytes to let the (client|upstream) go on/)
  writer.destroy()
})

test('while a drain asks connections to go, its end is their next deadline', async (t) => {
  watchLeaks(t)
  const { port } = await mute(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${port}", deadlines: { response: 10m }`,
  ])
  const client = await connect(t, gate.port)
  void client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  t.ok(isNext(await waitingFor(gate, 'the upstream to answer'), 'deadlines.response', 'upstream', 600_000))
  const drained = gate.drain(30_000)
  await eventually(async () =>
    isNext(await waitingFor(gate, 'the upstream to answer'), 'drain.timeout', 'sidegate', 30_000),
  )
  const { body } = await ask(gate.adminPort, '/connections?wait=1', {}, 'GET')
  t.match(JSON.parse(body), [{ wait: { next: { key: 'drain.timeout', reason: 'drain_timeout' } } }])
  // A FIN alone would leave the request to its answer, and so to the end of the drain.
  client.reset()
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
  await drained
})
