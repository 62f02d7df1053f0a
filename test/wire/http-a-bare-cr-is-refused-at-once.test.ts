// Text mode on Windows makes CR CR LF of each CRLF: such a head has no empty line, and its end would be waited
// for until a deadline.

import { test } from 'tap'
import type { Test } from 'tap'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { parseAnswer } from '../support/http.ts'
import { get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'

const inTextMode = (text: string): string => text.replaceAll('\n', '\r\n')
const modes = ['off', 'upstream', 'both'] as const

async function path(t: Test, lenient: string, answer: () => string) {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, answer)
  const gate = await startGate(t, [
    `protocol: http, http: { lenient: ${lenient} }, upstream: "127.0.0.1:${upstream.port}", deadlines: { handshake: 1h, response: 1h, upstreamIdle: 1h }`,
  ])
  return { upstream, gate }
}

const heads: Array<[name: string, head: string]> = [
  ['a head in text mode', inTextMode(get())],
  ['its first line alone', inTextMode('GET / HTTP/1.1\r\n')],
  ['one line of it', 'GET / HTTP/1.1\r\nHost: a\r\r\n'],
  ['a CR inside a value', 'GET / HTTP/1.1\r\nHost: a\rX'],
  ['an empty line before it', `\r\r\n${get()}`],
  ['an upgrade', inTextMode(upgradeRequest())],
  ['trailers', get('/', 'Transfer-Encoding: chunked\r\n', 'POST') + '0\r\nX: y\r\r\n'],
]

for (const lenient of modes) {
  for (const place of ['first', 'later'] as const) {
    for (const cut of ['whole', 'byte by byte']) {
      test(`a ${place} request with CR CR LF is a 400 before its end (http.lenient: ${lenient}, ${cut})`, async (t) => {
        const { gate, upstream } = await path(t, lenient, () => OK)
        for (const [nth, [name, head]] of heads.entries()) {
          const client = await httpClient(t, gate.port)
          if (place === 'later') await client.get(get('/before'))
          if (cut === 'whole') await client.send(head)
          else for (const byte of head) await client.send(byte)
          const answer = await client.answer()
          t.match([answer.status, answer.body.toString()], [400, /^protocol_error: .*(CR|at byte 0)/], name)
          client.wire.end()
          t.match(await gate.end(nth), { reason: 'protocol_error', side: 'client' }, name)
        }
        t.same(
          upstream.requests.filter(({ target }) => target !== '/before'),
          [],
        )
      })
    }
  }

  test(`an answer with CR CR LF is a 502 before its end (http.lenient: ${lenient})`, async (t) => {
    let answer = ''
    const { gate } = await path(t, lenient, () => answer)
    for (answer of [
      inTextMode(OK),
      'HTTP/1.1 200 OK\r\nX: y\r\r\n',
      'HTTP/1.1 200 OK\r\r\n',
      'HTTP/1.1 200 O\rK',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\r\n',
    ]) {
      const client = await httpClient(t, gate.port)
      const got = await client.get(get())
      t.match([got.status, got.body.toString()], [502, /^protocol_error: .*CR/], JSON.stringify(answer))
      client.wire.end()
      const upgrading = await connect(t, gate.port)
      await upgrading.write(upgradeRequest())
      if (answer.startsWith('HTTP/1.1 200') && !answer.includes('chunked'))
        t.equal(parseAnswer(await upgrading.received).status, 502, `to an upgrade: ${JSON.stringify(answer)}`)
      upgrading.destroy()
    }
  })
}
