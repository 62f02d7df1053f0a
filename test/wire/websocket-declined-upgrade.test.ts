import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { parseAnswer } from '../support/http.ts'
import type { Answer } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { scriptedUpstream } from '../support/websocket.ts'
import type { Conversation } from '../support/websocket.ts'
import type { Closed } from '../support/wire.ts'
import type { Test } from 'tap'

const MIB = 1024 * 1024
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'

interface Told {
  gate: Gate
  answer: Answer
  closed: Closed
  said: Conversation
}

/** The bytes that a client gets of an upstream with that answer to its upgrade. It sends a second request early, which must go nowhere. */
async function ask(t: Test, handler: (said: Conversation) => unknown): Promise<Told> {
  const upstream = await scriptedUpstream(t, (said) => {
    void said.wire.ended.then(() => said.wire.end())
    return handler(said)
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await connect(t, gate.port)
  void client.write(upgradeRequest() + smuggled)
  const closed = await within(client.closed)
  const said = upstream.conversations[0]!
  await within(said.closed)
  t.equal(said.wire.bytes, said.head.length, 'the upstream saw the head and nothing else')
  return { gate, answer: parseAnswer(await client.received), closed, said }
}

const whole: Array<[what: string, answer: string, status: number, body: string]> = [
  [
    '401 with a length',
    'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello',
    401,
    'hello',
  ],
  [
    '404 in chunks',
    'HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: y\r\n\r\n',
    404,
    'hello world',
  ],
  ['302 without a body', 'HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n', 302, ''],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
  [
    '304 with the length of what it does not send',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
    304,
    '',
  ],
  ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
  [
    '426',
    'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nContent-Length: 3\r\n\r\nold',
    426,
    'old',
  ],
  [
    '503 behind interim answers',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy',
    503,
    'busy',
  ],
]

for (const [what, bytes, status, body] of whole) {
  test(`${what}: reaches the client whole, and then the connection ends`, async (t) => {
    watchLeaks(t)
    // A second answer after the first belongs to no request.
    const { gate, answer, closed } = await ask(t, (said) => said.send(`${bytes}HTTP/1.1 200 OK\r\n\r\n`))
    t.same(
      [answer.status, answer.body.toString(), answer.isWhole, answer.rest.length],
      [status, body, true, 0],
    )
    t.same([closed.kind, answer.interim], ['fin', []])
    t.match(answer.header('connection'), status === 426 ? 'close, Upgrade' : 'close')
    t.equal(answer.header('upgrade'), status === 426 ? 'websocket' : null)
    t.match(await gate.end(), {
      reason: 'eof',
      side: 'upstream',
      phase: 'relay',
      detail: 'declined the upgrade',
    })
  })
}

test('an answer without a body is complete with its head, though the upstream says nothing more and stays', async (t) => {
  watchLeaks(t)
  for (const head of ['HTTP/1.1 204 No Content\r\n\r\n', 'HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n']) {
    const { gate, answer, closed } = await ask(t, (said) => said.send(head))
    t.same([answer.isWhole, answer.body.length, closed.kind], [true, 0, 'fin'])
    t.match(await gate.end(), { reason: 'eof', side: 'upstream', detail: 'declined the upgrade' })
  }
})

test('an answer that ends with its connection reaches the client whole', async (t) => {
  watchLeaks(t)
  const { gate, answer, closed } = await ask(t, (said) => said.wire.end('HTTP/1.0 403 No\r\n\r\ngo away'))
  t.same([answer.status, answer.body.toString(), closed.kind], [403, 'go away', 'fin'])
  t.match(await gate.end(), { reason: 'eof', side: 'upstream' })
})

test('one that is cut short never looks complete', async (t) => {
  watchLeaks(t)
  const cut: Array<[what: string, bytes: string]> = [
    ['in its length', 'HTTP/1.1 401 No\r\nContent-Length: 10\r\n\r\nhello'],
    ['in a chunk', 'HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello'],
    ['before the last chunk', 'HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['in the trailers', 'HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: y\r\n'],
  ]
  for (const [what, bytes] of cut) {
    const { gate, answer } = await ask(t, (said) => said.wire.end(bytes))
    t.same([answer.status, answer.isWhole], [401, false], what)
    t.match(await gate.end(), { reason: 'aborted', side: 'upstream', detail: 'FIN inside the body' })
  }
})

test('the RST of an upstream inside a body that ends with its connection is RST for the client', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.send('HTTP/1.1 200 OK\r\n\r\nhalf')
    await said.wire.closed
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  void client.write(upgradeRequest())
  await client.readUntil('half')
  upstream.conversations[0]!.wire.reset()
  t.match(await within(client.closed), { kind: 'reset' })
  t.equal(client.hasEnded, false)
  t.match(await gate.end(), { reason: 'reset', side: 'upstream' })
})

test('a body that is not chunked as it says ends the connection, visibly broken', async (t) => {
  watchLeaks(t)
  const { gate, answer } = await ask(t, async (said) => {
    await said.send('HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    await said.send('x\r\n')
  })
  t.equal(answer.isWhole, false)
  t.match(await gate.end(), {
    reason: 'protocol_error',
    side: 'upstream',
    detail: /^malformed chunk at byte \d+ of the body: expected a chunk size$/,
  })
})

test('an answer whose end could be read in two ways is a 502', async (t) => {
  watchLeaks(t)
  for (const framing of [
    'Content-Length: 5\r\nTransfer-Encoding: chunked',
    'Content-Length: 5\r\nContent-Length: 6',
    'Content-Length: 05',
    'Transfer-Encoding: ,chunked',
    'Transfer-Encoding: gzip',
    'Transfer-Encoding:\r\nContent-Length: 5',
  ]) {
    const { gate, answer } = await ask(t, (said) => said.send(`HTTP/1.1 401 No\r\n${framing}\r\n\r\nhello`))
    t.same([answer.status, answer.isWhole], [502, true], framing)
    t.match(await gate.end(), { reason: 'protocol_error', side: 'upstream', phase: 'handshake' })
  }
})

test('an upstream that ends without an answer, or inside its head, is a 502', async (t) => {
  watchLeaks(t)
  for (const bytes of ['', 'HTTP/1.1 401 No\r\nContent-', 'HTTP/1.1 100 Continue\r\n\r\n']) {
    const { gate, answer } = await ask(t, (said) => said.wire.end(bytes))
    t.same([answer.status, answer.isWhole], [502, true])
    t.match(await gate.end(), { reason: 'aborted', side: 'upstream', phase: 'handshake' })
  }
})

test('a storm of interim answers is a 502', async (t) => {
  watchLeaks(t)
  const { gate, answer } = await ask(t, async (said) => {
    // A turn for each: a write that the kernel takes at once would leave no turn to the gate, which is in the same process.
    while (await said.send('HTTP/1.1 100 Continue\r\n\r\n'))
      await new Promise((resolve) => setImmediate(resolve))
  })
  t.equal(answer.status, 502)
  t.match(await gate.end(), {
    reason: 'protocol_error',
    side: 'upstream',
    detail: 'more than 1000 interim answers',
  })
})

test('300 MiB behind a 200, and a client that does not read: no more is held than the bound', async (t) => {
  watchLeaks(t)
  const TOTAL = 300 * MIB
  const chunk = Buffer.alloc(MIB, 'x')
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.send(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`)
    for (let sent = 0; sent < TOTAL; sent += MIB) if (!(await said.send(chunk))) return
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", buffers: { high: 128KiB }, deadlines: { close: 5s }`,
  ])
  let head = ''
  const into = {
    write: (bytes: Buffer) =>
      void (head += head.includes('\r\n\r\n') ? '' : bytes.toString('latin1', 0, 1000)),
  }
  const client = await connect(t, gate.port, { unread: true, into })
  void client.write(upgradeRequest())
  await eventually(() => gate.registry.size === 1 && gate.open().owner?.isPaused('to_client'))
  await upstream.conversations[0]!.wire.stalled(200)
  const { owner, toClient } = gate.open()
  t.ok(owner!.queued('client') <= 128 * 1024, `${owner!.queued('client')} bytes wait`)
  t.ok(toClient.received < 64 * MIB, `${toClient.received} bytes were read from the upstream`)
  client.resumeReading()
  await within(client.closed, { withinMs: 60_000, what: 'the whole body' })
  t.equal(client.bytes - (head.indexOf('\r\n\r\n') + 4), TOTAL)
  t.match(await gate.end(), { reason: 'eof', side: 'upstream' })
})

test('a body to a client that never reads ends with write_timeout, by RST', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.send('HTTP/1.1 200 OK\r\n\r\n')
    await said.wire.flood()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 200ms }`,
  ])
  const client = await connect(t, gate.port, { unread: true, into: { write: () => {} } })
  void client.write(upgradeRequest())
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client' })
  client.resumeReading()
  t.match(await within(client.closed), { kind: 'reset' })
})
