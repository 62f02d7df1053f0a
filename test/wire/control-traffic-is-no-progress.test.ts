// Control traffic towards a peer that takes nothing: frames of a WebSocket or of HTTP/2 that the kernel still
// has room for are no progress, neither before a deadline looks into the kernel nor between two looks.

import { test } from 'tap'
import type { Test } from 'tap'
import { someServer } from '../support/certificates.ts'
import { closePayload } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

const KIB = 1024
/** More than a paused socket of Node reads, and less than the kernel holds. */
const UNREAD = 512 * KIB

const every = (t: Test, ms: number, run: () => unknown): void => {
  const timer = setInterval(run, ms)
  t.teardown(() => clearInterval(timer))
}

for (const mode of ['frames', 'messages'] as const)
  for (const transport of ['tcp', 'tls'] as const)
    test(`a client that takes nothing of what its kernel holds is idle, though its service pings it, ${mode}, ${transport}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, async (said) => {
        await said.accept()
        await said.sendFrame({ opcode: 'binary', payload: Buffer.alloc(UNREAD) })
        every(t, 40, () => void said.sendFrame({ opcode: 'ping', payload: Buffer.from('ping') }))
        await said.closed
      })
      const server = someServer()
      const tls = transport === 'tls' ? `, tls: { cert: "${server.cert}", key: "${server.key}" }` : ''
      const gate = await startGate(t, [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode} }, deadlines: { idle: 1s, close: 300ms }${tls}`,
      ])
      const client =
        transport === 'tls' ? await tlsConnect(t, gate.port, { ca: server.ca }) : await connect(t, gate.port)
      await client.write(upgradeRequest({}))
      await client.readUntil('\r\n\r\n')
      client.stopReading()
      t.match(await gate.end(), { reason: 'idle_timeout', side: 'sidegate' })
      client.resumeReading()
    })

test('a client of HTTP/2 that takes nothing of what its kernel holds, and asks for answers to PINGs, ends with write_timeout', async (t) => {
  watchLeaks(t)
  const service = await httpService(t, (_request, response) => void response.end(Buffer.alloc(8 * UNREAD)))
  const gate = await startGate(t, [
    `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${service}", deadlines: { write: 600ms }`,
  ])
  const client = await rawH2(t, gate.port, {
    settings: Buffer.concat([
      h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0x7fff_ffff]),
      h2.windowUpdate(0, UNREAD),
    ]),
  })
  t.ok(await client.ping())
  client.wire.stopReading()
  client.request()
  every(t, 100, () => void client.send(h2.ping()))
  const { line } = await gate.end(1)
  t.same([...new Set(gate.lines.map(({ close, side }) => [close, side].join()))], ['write_timeout,client'])
  t.ok((line['durationMs'] as number) < 15_000)
})

for (const mode of ['frames', 'messages'] as const)
  for (const side of ['client', 'service'] as const)
    test(`a ${side} that answers a Close with pings alone is waited for no longer than deadlines.close, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, async (said) => {
        await said.accept()
        await said.closed
      })
      const gate = await startGate(t, [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode} }, deadlines: { close: 600ms }`,
      ])
      const client = await rawClient(t, gate.port)
      const [service] = upstream.conversations
      const [pinging, closing] = side === 'client' ? [client, service!] : [service!, client]
      every(t, 50, () => void pinging.sendFrame({ opcode: 'ping', payload: Buffer.from('ping') }))
      await closing.nextFrame()
      await closing.sendFrame({ opcode: 'close', payload: closePayload(1000) })
      t.match(await gate.end(), {
        reason: 'eof',
        side: side === 'client' ? 'upstream' : 'client',
        detail: /not answered \(deadlines\.close\)/,
      })
    })

for (const mode of ['frames', 'messages'] as const)
  for (const side of ['client', 'service'] as const)
    test(`a ${side} that sends pings in place of the rest of its message ends with too_slow, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, async (said) => {
        await said.accept()
        await said.closed
      })
      const gate = await startGate(t, [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode} }, limits: { minRate: { bytes: 1KiB, after: 1s } }`,
      ])
      const client = await rawClient(t, gate.port)
      const slow = side === 'client' ? client : upstream.conversations[0]!
      await slow.sendFrame({ opcode: 'binary', payload: Buffer.alloc(100), fin: false })
      every(t, 10, () => void slow.sendFrame({ opcode: 'ping', payload: Buffer.alloc(125) }))
      t.match(await gate.end(), { reason: 'too_slow', side: side === 'client' ? 'client' : 'upstream' })
    })
