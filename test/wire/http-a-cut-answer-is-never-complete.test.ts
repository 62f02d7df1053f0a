import { test } from 'tap'
import type { Test } from 'tap'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { Respond } from '../support/http-peers.ts'
import { eventually } from '../support/eventually.ts'
import { watchLeaks } from '../support/leaks.ts'
import { refuser } from '../support/peers.ts'

async function path(t: Test, respond?: Respond): Promise<Gate> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  return startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
}

const framings = {
  length: 'Content-Length: 100\r\n\r\npart',
  chunked: 'Transfer-Encoding: chunked\r\n\r\n64\r\npart',
  'between chunks': 'Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n',
  end: '\r\npart',
}

for (const [framing, head] of Object.entries(framings)) {
  for (const by of ['FIN', 'RST'] as const) {
    if (framing === 'end' && by === 'FIN') continue // that is how it ends
    for (const version of ['1.1', '1.0']) {
      test(`an upstream that dies by ${by} inside a body (${framing}) leaves an HTTP/${version} client with a broken transfer`, async (t) => {
        const gate = await path(t, async ({ wire }) => {
          await wire.write(`HTTP/1.1 200 OK\r\n${head}`)
          await eventually(() => client.wire.bytes > 0 && client.wire.takeUnread().includes('part'))
          if (by === 'FIN') wire.end()
          else wire.reset()
        })
        const client = await httpClient(t, gate.port)
        void client.send(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`)
        const closed = await client.wire.closed
        const answer = parseAnswer(await client.wire.received)
        t.equal(answer.status, 200)
        t.equal(answer.body.toString(), 'part')
        const isDelimited = version === '1.1' || framing === 'length'
        t.equal(answer.isWhole, !isDelimited, 'an incomplete message, or one that only RST can show as such')
        if (!isDelimited) t.equal(closed.kind, 'reset')
        t.match(await gate.end(), {
          reason: by === 'FIN' ? 'aborted' : 'reset',
          side: 'upstream',
          phase: 'relay',
        })
      })
    }
  }
}

test('what came before the upstream left still arrives, where the cut shows without RST', async (t) => {
  const much = Buffer.alloc(300_000, 'x')
  const gate = await path(t, async ({ wire }) => {
    await wire.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n')
    await wire.write(much)
    wire.end()
  })
  const { bytes, closed } = await requestRaw(t, gate.port, get())
  t.match(parseAnswer(bytes), { isWhole: false })
  t.equal(closed.kind, 'fin')
  t.match(await gate.end(), { reason: 'aborted', side: 'upstream' })
})

const silent: Array<[name: string, respond: Respond, reason: string, status: number]> = [
  ['leaves by FIN', ({ wire }) => wire.end(), 'aborted', 502],
  ['leaves by RST', ({ wire }) => wire.reset(), 'reset', 502],
  ['leaves inside its head', ({ wire }) => wire.end('HTTP/1.1 200 OK\r\nX'), 'aborted', 502],
  ['speaks another protocol', () => 'SSH-2.0\r\n', 'protocol_error', 502],
  [
    'sends a head over its bound',
    ({ wire }) => void wire.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`),
    'message_too_big',
    502,
  ],
]
for (const [name, respond, reason, status] of silent) {
  test(`an upstream that ${name} before its answer is a ${status} that names the reason`, async (t) => {
    const gate = await path(t, respond)
    const { bytes, closed } = await requestRaw(t, gate.port, get('/', '', 'POST'))
    const answer = parseAnswer(bytes)
    t.same([answer.status, closed.kind], [status, 'fin'])
    t.match(answer.body.toString(), new RegExp(`^${reason}`))
    t.match(await gate.end(), { reason, side: 'upstream', phase: 'relay' })
    t.match(
      await gate.metrics(),
      `sidegate_http_requests_total{listener="l0",method="POST",code="${status}"} 1`,
    )
  })
}

for (const [at, bytes, detail] of [
  ['before its answer', '', 'FIN without an answer'],
  ['inside a head', 'HTTP/1.1 200 OK\r\nX', 'FIN inside the head of its answer'],
  [
    'inside a head behind an interim one',
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP',
    'FIN inside the head of its answer',
  ],
  ['behind an interim answer', 'HTTP/1.1 103 Early Hints\r\n\r\n', 'FIN without an answer'],
  ['inside a body', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart', 'FIN inside its answer'],
] as const)
  test(`the log says where a service has ended: ${at}`, async (t) => {
    const gate = await path(t, ({ wire }) => wire.end(bytes))
    await requestRaw(t, gate.port, get('/', '', 'POST'))
    t.match(await gate.end(), { reason: 'aborted', side: 'upstream', detail })
  })

test('a refused dial is a 502, for a HEAD without a body', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${refuser(t).port}"], retryFor: off }`,
  ])
  const { bytes } = await requestRaw(t, gate.port, get('/', '', 'HEAD'))
  const answer = parseAnswer(bytes, { method: 'HEAD' })
  t.same([answer.status, answer.rest.length], [502, 0])
  t.match(await gate.end(), { reason: 'connect_refused', side: 'upstream' })
  t.match(parseAnswer((await requestRaw(t, gate.port, get())).bytes).body.toString(), /^connect_refused/)
  t.match(
    await gate.metrics(),
    'sidegate_upstream_connect_failures_total{listener="l0",reason="connect_refused"} 2',
  )
})
