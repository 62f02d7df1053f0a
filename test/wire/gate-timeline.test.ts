import { test } from 'tap'
import type { ConnectionDetail, RecentEnd, TimelineEntry } from '../../src/admin/types.ts'
import { ask } from '../admin/admin.ts'
import { eventually } from '../support/eventually.ts'
import type { Gate } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { forEachTransport, isHttp, isWebSocket, openLine, transports } from '../support/transports.ts'

async function timelineOf(gate: Gate): Promise<TimelineEntry[]> {
  const { body } = await ask(gate.adminPort, `/connections/${gate.open().id}`, {}, 'GET')
  return (JSON.parse(body) as ConnectionDetail).timeline
}

/** The last line with that event, once it is there. */
const told = (gate: Gate, event: string): Promise<TimelineEntry> =>
  eventually(async () => (await timelineOf(gate)).findLast((line) => line.event === event), {
    what: `a line with ${event}`,
    withinMs: 20_000,
  })

const events = (timeline: readonly TimelineEntry[]) => timeline.map(({ event }) => event)

test('a connection to which nothing happens tells its beginning, and keeps nothing', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client } = await openLine(t, transport)
    const timeline = await timelineOf(gate)
    t.equal(timeline[0]!.event, 'accepted')
    t.equal(timeline[0]!.detail, gate.open().client.text)
    t.ok(events(timeline).includes('connected'))
    if (!isHttp(transport)) {
      t.ok(events(timeline).includes('first_byte_from_client'))
      t.ok(events(timeline).includes('first_byte_from_upstream'))
    }
    t.ok(
      timeline.every(({ afterMs }, index) => index === 0 || afterMs >= timeline[index - 1]!.afterMs),
      'in order',
    )
    t.same(gate.open().timeline?.lines ?? null, null, 'nothing was allocated')
    client.wire.end()
  }))

test('a reader that stops and goes on is told as held back and let go', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client, service } = await openLine(t, transport)
    client.wire.stopReading()
    const sent = service.send(32 * 1024 * 1024)
    t.match(await told(gate, 'held_back'), { detail: 'upstream' })
    client.wire.resumeReading()
    await sent
    await eventually(() => client.got.bytes === service.sent, { what: 'all of it' })
    t.match(await told(gate, 'let_go'), { detail: 'upstream' })
    t.ok((await timelineOf(gate)).length <= 32)
  }))

test('a limit that acts is told with its key and side', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client, service } = await openLine(
      t,
      transport,
      'limits: { bytes: { rate: 512KiB, burst: 64KiB } }',
    )
    await client.send(256 * 1024)
    t.match(await told(gate, 'limited'), { detail: 'client: limits.bytes, delay' })
    await eventually(() => service.got.bytes === client.sent, { what: 'all of it' })
  }))

test('a kill is told with what each side was told', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate } = await openLine(t, transport)
    const connection = gate.open()
    await ask(gate.adminPort, `/connections/${connection.id}`, {}, 'DELETE')
    await gate.end()
    const lines = connection.timeline!.lines
    t.match(
      lines.find(({ event }) => event === 'ending'),
      { detail: 'killed by Sidegate: by an operator' },
    )
    const told = lines.filter(({ event }) => event === 'told').map(({ detail }) => String(detail))
    if (isWebSocket(transport))
      t.ok(
        told.some((text) => text.startsWith('the client: Close 1001')),
        String(told),
      )
    else
      t.ok(
        told.some((text) => text.startsWith('the client: RST')),
        String(told),
      )
  }))

test('messages that are dropped are told with the policy that dropped them', async (t) => {
  watchLeaks(t)
  const { gate, client, service } = await openLine(
    t,
    'messages',
    'websocket: { slowConsumer: { policy: dropOldest, queue: 1KiB } }, deadlines: { write: 1h }',
  )
  await eventually(() => client.got.bytes === 1)
  client.wire.stopReading()
  const sending = service.send(64 * 1024 * 1024)
  t.match(await told(gate, 'dropped'), { detail: 'dropOldest' })
  client.wire.resumeReading()
  await sending
})

test('a client that never came to a pair was told something, too', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { handshake: 300ms }`,
    'protocol: tcp, upstream: "unix:/nobody-listens-here"',
  ])
  const lastEnd = async () => {
    const { body } = await ask(gate.adminPort, '/recent?limit=1', {}, 'GET')
    return (JSON.parse(body) as RecentEnd[])[0]!
  }
  const slow = await connect(t, gate.ports[0]!)
  void slow.write('GET / HT')
  await slow.ended
  slow.end()
  await gate.end()
  t.match(await lastEnd(), { reason: 'handshake_timeout' })
  t.match(
    (await lastEnd()).timeline.filter(({ event }) => event === 'told'),
    [{ detail: 'the client: an answer that says why, then FIN' }],
  )
  await connect(t, gate.ports[1]!)
  await gate.end(1)
  t.match(await lastEnd(), { reason: /^connect_/ })
  t.match(
    (await lastEnd()).timeline.filter(({ event }) => event === 'told'),
    [{ detail: 'the client: RST behind what was accepted' }],
  )
})
