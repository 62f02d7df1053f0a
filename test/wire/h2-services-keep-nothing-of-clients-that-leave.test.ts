// A client that leaves ends its stream at the service, whatever part of the answer the gate holds for it:
// Node keeps a stream that the service has ended properly until its bytes are read.

import type { ServerHttp2Stream } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { test } from 'tap'
import type { TargetView } from '../../src/upstream/upstream-view.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Connect } from '../support/h2-client.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { h2Service } from '../support/h2-services.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'

/** Lengths within the client's window, within a window of the service, and beyond. */
const SIZES = [0, 1000, 30_000, 60_000, 200_000]
/** Bytes that a client of HTTP/2 allows each stream. */
const WINDOW = 100

const ways: Record<string, (t: Test, port: number) => Promise<() => void>> = {
  'HTTP/1.1, its connections': async (t, port) => {
    const clients = await Promise.all(SIZES.map(() => connect(t, port, { unread: true })))
    for (const [nth, client] of clients.entries())
      await client.write(`GET /${SIZES[nth]} HTTP/1.1\r\nHost: a\r\n\r\n`)
    return () => clients.forEach((client) => client.reset())
  },
  'HTTP/2, its connection': async (t, port) => {
    const session = await h2Connect(t, port, { options: { settings: { initialWindowSize: WINDOW } } })
    for (const size of SIZES) session.request({ ':path': `/${size}` }).on('error', () => {})
    return () => session.destroy()
  },
  'HTTP/2, each stream': async (t, port) => {
    const session = await h2Connect(t, port, { options: { settings: { initialWindowSize: WINDOW } } })
    const streams = SIZES.map((size) => session.request({ ':path': `/${size}` }).on('error', () => {}))
    return () => streams.forEach((stream) => stream.close(8))
  },
}

async function sessionsOf(gate: Gate): Promise<TargetView['sessions']> {
  const answer = await fetch(`http://127.0.0.1:${gate.adminPort}/upstreams`)
  const [upstream] = (await answer.json()) as Array<{ targets: TargetView[] }>
  return upstream!.targets[0]!.sessions
}

for (const limited of ['', 'limits: { bytes: { rate: 1KiB, burst: 64KiB, per: client } }'])
  for (const [way, ask] of Object.entries(ways))
    test(`${way}${limited === '' ? '' : `, ${limited}`}`, async (t) => {
      watchLeaks(t)
      const service = await h2Service(t, (stream, { ':path': path }) => {
        stream.respond({ ':status': 200 })
        stream.end('x'.repeat(Number(path!.slice(1))))
      })
      const to = `upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c, keepAlive: 1h }`
      const gate = await startGate(t, [`protocol: http, http: { h2c: on }, ${to}, ${limited}`])
      const leave = await ask(t, gate.port)
      // All are complete there except the last, which fills its window.
      await eventually(() => service.ended.length === SIZES.length - 1)
      leave()
      const kept = await eventually(async () => {
        const sessions = await sessionsOf(gate)
        return sessions!.streams === 0 && sessions
      })
      t.match(kept, { open: 1, leaving: 0 }, 'the streams have ended, not their session')
    })

for (const isAnsweredBefore of [true, false])
  for (const [size, ends] of [
    // At 0 nghttp2 would not send END_STREAM either.
    [WINDOW - 1, 'is answered'],
    [WINDOW + 1, 'takes its request along'],
  ] as const)
    test(`a client that has ended ${isAnsweredBefore ? 'after' : 'before'} an answer of ${size} bytes came, its window ${WINDOW}, ${ends}`, async (t) => {
      watchLeaks(t)
      const asked: ServerHttp2Stream[] = []
      const service = await h2Service(t, (stream) => asked.push(stream))
      const answer = (): void => {
        asked[0]!.respond({ ':status': 200 })
        asked[0]!.end('x'.repeat(size))
      }
      const to = `upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`
      const gate = await startGate(t, [`protocol: http, http: { h2c: on }, ${to}`])
      const client = await rawH2(t, gate.port, {
        settings: h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, WINDOW]),
      })
      const id = client.request(h2.request())
      await eventually(() => asked.length === 1)
      if (isAnsweredBefore) {
        answer()
        // One that its windows let through is gone at once.
        if (size > WINDOW) await eventually(() => gate.open().toClient.received > size)
      }
      client.wire.end()
      if (!isAnsweredBefore) {
        // No event shows that the gate has seen the FIN. If it came late, this would be the other case.
        await delay(50)
        answer()
      }
      if (size < WINDOW) t.match(await client.end(id), { status: 200, body: Buffer.alloc(size, 'x') })
      t.match(await gate.end(), { reason: size < WINDOW ? 'eof' : 'aborted', side: 'client' })
      t.match(await gate.end(1), { reason: 'eof', side: 'client', line: { protocol: 'h2' } })
    })
