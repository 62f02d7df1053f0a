// The head of an answer has `deadlines.response` as a whole, as the head of a request has `deadlines.handshake`: a service that says
// a byte of it now and then would hold its client, and a place, for days. Interim answers begin it anew, sixteen times at the most, to
// requests and to upgrades alike.

import { test } from 'tap'
import type { Test } from 'tap'
import { someServer } from '../support/certificates.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { Seen } from '../support/http-peers.ts'
import { parseAnswer } from '../support/http.ts'
import { eventually } from '../support/eventually.ts'
import { h2Wire, websocketHead } from '../support/h2-wire.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'
import { watchLeaks } from '../support/leaks.ts'
import { tlsConnect } from '../support/tls-peers.ts'

/** Sends the pieces, one each `everyMs`, for as long as the gate takes them; returns how many it took. */
async function sendSlowly({ wire }: Seen, pieces: readonly string[], everyMs: number): Promise<number> {
  let sent = 0
  for (; sent < pieces.length && wire.outcome === null; sent++) {
    void wire.write(pieces[sent]!)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
  return sent
}

async function gateTo(t: Test, port: number, keys: string): Promise<Gate> {
  watchLeaks(t)
  watchCrashes(t)
  return startGate(t, [`protocol: http, upstream: "127.0.0.1:${port}", ${keys}`])
}

/** Starts a gate, and asks it once; resolves with the status of its answer. */
type Way = (t: Test, port: number, keys: string) => Promise<{ gate: Gate; ask: () => Promise<number> }>
const ways: Record<string, Way> = {
  'in the clear': async (t, port, keys) => {
    const gate = await gateTo(t, port, keys)
    const client = await httpClient(t, gate.port)
    return { gate, ask: async () => (await client.get(get())).status }
  },
  'over TLS': async (t, port, keys) => {
    const { ca, cert, key } = someServer()
    const gate = await gateTo(t, port, `${keys}, tls: { cert: "${cert}", key: "${key}" }`)
    const wire = await tlsConnect(t, gate.port, { ca })
    return {
      gate,
      ask: async () => {
        void wire.write(get())
        await wire.ended
        return parseAnswer(wire.takeUnread()).status
      },
    }
  },
  'over HTTP/2': async (t, port, keys) => {
    const gate = await gateTo(t, port, `${keys}, http: { h2c: on }`)
    const session = await h2Connect(t, gate.port)
    return { gate, ask: async () => (await h2Ask(session)).status }
  },
}

const slowHead = `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(300)}`.split('')
for (const [keys, reason] of [
  ['response: 200ms', 'response_timeout'],
  ['response: off, idle: 200ms', 'idle_timeout'],
] as const)
  for (const [name, open] of Object.entries(ways))
    test(`a byte of a head at a time does not extend the wait for it (${keys}), ${name}`, async (t) => {
      let sent = Promise.resolve(0)
      const { port } = await recordingUpstream(t, async (seen) => {
        await (sent = sendSlowly(seen, slowHead, 20))
      })
      const { gate, ask } = await open(t, port, `deadlines: { ${keys}, close: 500ms }`)
      t.equal(await ask(), 504)
      t.match(await gate.end(), { reason, side: 'upstream' })
      t.ok((await sent) < slowHead.length, 'the service was ended inside its head')
    })

test('a service that says by interim answers that it works is waited for, sixteen times at the most', async (t) => {
  const working = 'HTTP/1.1 102 Processing\r\n\r\n'
  const { port } = await recordingUpstream(t, async (seen) => {
    if (seen.target === '/ever') {
      await sendSlowly(seen, Array<string>(100).fill(working), 50)
      return undefined
    }
    await sendSlowly(seen, Array<string>(4).fill(working), 700)
    return OK
  })
  const gate = await gateTo(t, port, 'deadlines: { response: 2s }')
  const client = await httpClient(t, gate.port)
  const answer = await client.get(get())
  t.same([answer.status, answer.interim], [200, Array(4).fill(102)])
  const never = await client.get(get('/ever'))
  t.same([never.status, never.interim.length], [504, 16])
  t.match(await gate.end(), { reason: 'response_timeout', side: 'upstream' })
})

const comes: Record<string, (t: Test, port: number, path: string) => Promise<number>> = {
  'in the clear': async (t, port, path) => {
    const client = await rawClient(t, port, { handshake: false })
    const { line } = await client.handshake({ path })
    return Number(line.split(' ')[1])
  },
  'over HTTP/2': async (t, port, path) => {
    const wire = await h2Wire(t, port, websocketHead({ ':path': path }))
    return Number((await wire.answer)[':status'])
  },
}
for (const [name, come] of Object.entries(comes))
  test(`an upgrade is waited for in the same way, ${name}`, async (t) => {
    const said: number[] = []
    const { port } = await scriptedUpstream(t, async (client) => {
      const isEver = client.head.line.includes('/ever')
      let count = 0
      for (; count < (isEver ? 100 : 4) && client.wire.outcome === null; count++) {
        void client.send('HTTP/1.1 102 Processing\r\n\r\n')
        await new Promise((resolve) => setTimeout(resolve, isEver ? 50 : 700))
      }
      said.push(count)
      if (!isEver) await client.accept()
    })
    const gate = await gateTo(t, port, 'deadlines: { response: 2s, close: 200ms }, http: { h2c: on }')
    t.equal(await come(t, gate.port, '/'), name === 'in the clear' ? 101 : 200)
    t.equal(await come(t, gate.port, '/ever'), 504)
    await eventually(() => said.length === 2)
    t.ok(said[1]! > 16 && said[1]! < 100, `${said[1]} interim answers`)
    await eventually(() =>
      gate.lines.some(({ close, side }) => close === 'response_timeout' && side === 'upstream'),
    )
  })
