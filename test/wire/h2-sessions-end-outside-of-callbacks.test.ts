// Whatever ends a session of HTTP/2, of a client or of a service, the gate does not end it from within a
// callback of Node.

import type { ClientHttp2Session, ServerHttp2Stream } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { Reason } from '../../src/core/close.ts'
import { chanceOf } from '../fuzz/random.ts'
import type { Chance } from '../fuzz/random.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchSessionEnds } from '../support/h2-callbacks.ts'
import { h2Connect } from '../support/h2-client.ts'
import { codes } from '../support/h2-frames.ts'
import { h2Service } from '../support/h2-services.ts'
import { watchLeaks } from '../support/leaks.ts'

const { CANCEL, INTERNAL_ERROR, REFUSED_STREAM } = codes
const CLIENTS = 12
const CONNECTIONS = 8
const REASONS: readonly Reason[] = ['killed', 'overloaded', 'rate_limited', 'drain', 'protocol_error']

const bytes = (chance: Chance): Buffer => Buffer.alloc(chance.pick([0, 1, 1000, 30_000, 200_000]))

/** One of the ways in which services answer, and do not. */
function answer(chance: Chance, stream: ServerHttp2Stream): void {
  const { session } = stream
  stream.resume()
  chance.pick([
    () => (stream.respond({ ':status': 200 }), stream.end(bytes(chance))),
    () => (stream.respond({ ':status': 200 }), stream.end(bytes(chance))),
    () => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ sum: '1' }))
      stream.end(bytes(chance))
    },
    () => (stream.respond({ ':status': 200 }), stream.write(bytes(chance)), stream.close(INTERNAL_ERROR)),
    () => (stream.respond({ ':status': 200 }), stream.write(bytes(chance))),
    () => stream.close(REFUSED_STREAM),
    () => {},
    () => (stream.respond({ ':status': 200 }), stream.end(bytes(chance)), session?.close()),
    () => session?.goaway(chance.pick([0, INTERNAL_ERROR])),
    () => session?.destroy(),
  ])()
}

/**
 * Whatever the peers of this process end, they end outside of Node's callbacks as the gate does: a service of Node whose stream resets
 * amid a read in which it has said GOAWAY goes on with memory that it has freed (nodejs/node#64113, seen in Node 26.10).
 */
const afterRead = (run: () => void): void => void setImmediate(run)

/** A request, some of which their clients cancel in any of their events. */
function ask(chance: Chance, session: ClientHttp2Session): void {
  const stream = session.request({ ':path': '/', ':method': 'POST' }, { endStream: false })
  stream.on('error', () => {})
  const events = ['response', 'data', 'end', 'finish', 'never']
  if (chance.oneIn(3))
    stream.once(chance.pick(events), () => afterRead(() => stream.close(chance.pick([CANCEL, 0]))))
  if (!chance.oneIn(6)) stream.resume()
  if (chance.oneIn(6)) stream.write(bytes(chance))
  else stream.end(bytes(chance))
}

async function client(t: Test, chance: Chance, gate: Gate): Promise<void> {
  for (let nth = 0; nth < CONNECTIONS; nth++) {
    const session = await h2Connect(t, gate.port)
    for (let streams = chance.below(12); streams >= 0 && !session.destroyed; streams--) {
      ask(chance, session)
      if (chance.oneIn(3)) await delay(chance.below(5))
    }
    const [one] = [...gate.registry]
    if (chance.oneIn(4)) one?.owner?.close(makeClose(chance.pick(REASONS), 'sidegate', 'relay'))
    await delay(chance.below(60))
    if (chance.oneIn(3) && !session.destroyed) session.goaway(INTERNAL_ERROR)
    else chance.pick([() => session.close(), () => session.destroy()])()
  }
}

for (const seed of [1, 2, 3])
  test(`clients and services that end anyhow, seed ${seed}`, async (t) => {
    watchLeaks(t)
    const watched = await watchSessionEnds(t)
    const chance = chanceOf(seed)
    const service = await h2Service(t, (stream) =>
      afterRead(() => !stream.destroyed && answer(chance, stream)),
    )
    const check = `healthCheck: { type: ${chance.pick(['http', 'grpc'])}, interval: 100ms, timeout: 50ms }`
    const upstream = `{ addresses: ["127.0.0.1:${service.port}"], protocol: h2c, keepAlive: 50ms, ${check} }`
    const deadlines =
      '{ response: 200ms, write: 200ms, request: 200ms, lifetime: 150ms, close: 200ms, idle: 300ms }'
    const listener = `protocol: http, http: { h2c: on, keepAlive: 100ms }, upstream: ${upstream}, deadlines: ${deadlines}`
    const gate = await startGate(t, [listener])
    await Promise.all(Array.from({ length: CLIENTS }, () => client(t, chance, gate)))
    await eventually(() => gate.registry.size === 0, { what: 'the end of all' })
    t.ok(watched.ends > 0, 'some of the sessions')
    t.same(watched.within, [])
  })
