// The timeline of a connection that the gate ends for a reason outside the connection: an overload, a drain,
// a reload, a limit; over every transport, as `GET /recent` returns it afterwards.

import { test } from 'tap'
import type { RecentEnd, TimelineEntry } from '../../src/admin/types.ts'
import { bySide } from '../../src/core/close.ts'
import { MAX_LINES } from '../../src/core/timeline.ts'
import { ask } from '../admin/admin.ts'
import { eventually } from '../support/eventually.ts'
import type { Gate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { testMemory } from '../support/memory.ts'
import { forEachTransport, isHttp, isWebSocket, openLine, transports } from '../support/transports.ts'
import type { Test } from 'tap'

const limits = 'deadlines: { close: 300ms }'

/** The only end, with what every timeline of an end of ours has. */
async function told(t: Test, gate: Gate, reason: RegExp): Promise<{ end: RecentEnd; said: string[] }> {
  const [end] = await eventually(
    async () => {
      const { body } = await ask(gate.adminPort, '/recent', {}, 'GET')
      const ends = (JSON.parse(body) as RecentEnd[]).filter(({ id, closing }) => id !== null && !closing)
      return ends.length > 0 ? ends : null
    },
    { what: 'an end', withinMs: 20_000 },
  )
  const { timeline } = end!
  const events = timeline.map(({ event }) => event)
  t.match(end!.reason, reason)
  t.equal(events[0], 'accepted')
  t.equal(events.at(-1), 'ended')
  t.equal(events.filter((event) => event === 'ending').length, 1, 'one end')
  t.ok(timeline.length <= MAX_LINES)
  t.ok(
    timeline.every(({ afterMs }, nth) => nth === 0 || afterMs >= timeline[nth - 1]!.afterMs),
    `in order: ${events.join(', ')}`,
  )
  t.match(detailOf(timeline, 'ending'), new RegExp(`^${end!.reason} ${bySide(end!.side)}`))
  const from = events.indexOf('ending')
  t.ok(
    events.every((event, nth) => event !== 'told' || nth > from),
    'nobody is told before it is decided',
  )
  const said = timeline.filter(({ event }) => event === 'told').map(({ detail }) => detail ?? '')
  t.equal(
    new Set(said.map((text) => text.slice(0, 12))).size,
    said.length,
    `each side once: ${said.join('; ')}`,
  )
  return { end: end!, said }
}

function detailOf(timeline: readonly TimelineEntry[], event: string): string {
  return timeline.find((line) => line.event === event)?.detail ?? ''
}

test('overloaded: the reader that stalled is held back, then ending, and told by RST', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const memory = testMemory()
    const { gate, client, service } = await openLine(t, transport, limits, {
      parts: { memory },
      top: 'memory: { shedAt: 80%, refuseAt: 90% }',
    })
    client.wire.stopReading()
    void service.send(32 * 1024 * 1024).catch(() => {})
    await heldBack(gate.open(), 'to_client')
    await eventually(() => gate.open().timeline?.isHeldBack('upstream') === true, { what: 'a line' })
    memory.use(0.97)
    const { end } = await told(t, gate, /^overloaded$/)
    t.match(detailOf(end.timeline, 'held_back'), 'upstream')
    const events = end.timeline.map(({ event }) => event)
    t.ok(events.indexOf('held_back') < events.indexOf('ending'))
    t.match(detailOf(end.timeline, 'ending'), /memory\.refuseAt/)
    client.wire.resumeReading()
  }))

test('drain: what can wait is postponed, and each side is told in its own words', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate } = await openLine(t, transport, limits)
    await gate.drain(800)
    const { end, said } = await told(t, gate, /^drain(_timeout)?$/)
    if (isWebSocket(transport))
      t.ok(
        said.some((text) => text.startsWith('the client: Close 1012')),
        said.join('; '),
      )
    else if (isHttp(transport)) {
      t.equal(end.reason, 'drain_timeout', 'its answer does not end')
      t.equal(detailOf(end.timeline, 'postponed'), 'drain')
    } else
      t.same(
        said.map((text) => text.replace(/^the \w+: /, '')),
        Array(2).fill('FIN behind what was accepted'),
      )
  }))

test('reloaded: the same for a listener that is gone; an answer that was under way ends by itself', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client, service } = await openLine(t, transport, limits)
    const result = await gate.reloadText(
      'drain: { spread: off, tcp: spread }\nhealth: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners: [{ name: another, address: "127.0.0.1:0", protocol: tcp, upstream: "127.0.0.1:1" }]\n',
    )
    t.equal(result.result, 'success')
    // HTTP finishes the answer under way.
    if (isHttp(transport)) {
      await eventually(() => gate.open().timeline !== null, { what: 'a line' })
      client.finish()
      service.finish()
    }
    const { end, said } = await told(t, gate, isHttp(transport) ? /^(reloaded|eof)$/ : /^reloaded$/)
    t.equal(end.listener, 'l0')
    if (isHttp(transport)) t.equal(detailOf(end.timeline, 'postponed'), 'reloaded')
    if (isWebSocket(transport))
      t.ok(
        said.some((text) => text.startsWith('the client: Close 1012')),
        said.join('; '),
      )
  }))

test('rate_limited: the limit that acted stands before the end that it is', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client } = await openLine(
      t,
      transport,
      `limits: { bytes: { rate: 1KiB, burst: 64KiB, onExceed: close } }, ${limits}`,
    )
    void client.send(512 * 1024).catch(() => {})
    const { end, said } = await told(t, gate, /^rate_limited$/)
    t.match(detailOf(end.timeline, 'limited'), 'client: limits.bytes, close')
    const events = end.timeline.map(({ event }) => event)
    t.ok(events.indexOf('limited') < events.indexOf('ending'))
    if (isWebSocket(transport))
      t.ok(
        said.some((text) => text.startsWith('the client: Close 1008')),
        said.join('; '),
      )
  }))

test('a drain that is undone, and a reload that leaves a listener as it is, are no lines', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, listener, service, client } = await openLine(t, transport, limits, {
      top: 'drain: { minDuration: 60s, spread: off, timeout: 90s }',
    })
    void gate.operator.drain('admin')
    t.ok(gate.operator.undrain())
    t.equal(
      (
        await gate.reload(
          [listener('deadlines: { close: 400ms }')],
          'drain: { minDuration: 60s, spread: off, timeout: 90s }',
        )
      ).result,
      'success',
    )
    await service.send(100)
    await eventually(() => client.got.bytes === service.sent, { what: 'what is said' })
    t.same(
      (gate.open().timeline?.lines ?? []).filter(({ event }) =>
        ['postponed', 'ending', 'told'].includes(event),
      ),
      [],
    )
  }))
