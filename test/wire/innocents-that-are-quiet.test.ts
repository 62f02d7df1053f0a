import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import {
  gotAll,
  innocents,
  LIMIT_MS,
  partsWell,
  quietFor,
  sendSlowly,
  shortDeadlines,
} from '../support/innocents.ts'
import { forEachTransport, isHttp, isWebSocket, openLine } from '../support/transports.ts'
import type { Transport } from '../support/transports.ts'

test(`a client ${innocents.halfClosed.title}`, (t) =>
  forEachTransport(t, innocents.halfClosed.on, async (t, transport) => {
    const line = await openLine(t, transport, shortDeadlines)
    const { client, service } = line
    client.finish()
    await eventually(() => service.isWhole)
    await sendSlowly(service, 3 * LIMIT_MS)
    service.finish()
    await gotAll(t, client, service.sent)
    await partsWell(t, line, client)
  }))

test(`a pair ${innocents.quiet.title}`, (t) =>
  forEachTransport(t, innocents.quiet.on, async (t, transport) => {
    const line = await openLine(t, transport, shortDeadlines)
    const { gate, client, service } = line
    await client.send(1)
    // What it owes, a client of http may not hold back.
    if (isHttp(transport)) client.finish()
    await eventually(() => service.got.bytes === 2)
    await quietFor(3 * LIMIT_MS)
    t.same(gate.lines, [])
    await service.send(1000)
    await gotAll(t, client, 1001)
    if (!isHttp(transport)) client.finish()
    await partsWell(t, line, service)
  }))

for (const [writer, reader] of [
  ['client', 'service'],
  ['service', 'client'],
] as const) {
  test(`a ${writer} ${innocents.oneWay.title}`, (t) =>
    forEachTransport(t, innocents.oneWay.on, async (t, transport) => {
      const line = await openLine(t, transport, `${shortDeadlines}${pings(transport)}`)
      // What it owes, a client of http may not hold back.
      if (isHttp(transport) && reader === 'client') line.client.finish()
      line[writer].wire.stopReading()
      await sendSlowly(line[writer], 3 * LIMIT_MS)
      line[writer].wire.resumeReading()
      line[writer].finish()
      await gotAll(t, line[reader], line[writer].sent)
      await partsWell(t, line, line[reader])
    }))
}

/** Pings at a pace that a side which answers them cannot survive without an answer: this one has answered none. */
function pings(transport: Transport): string {
  return isWebSocket(transport)
    ? `, websocket: { ping: { interval: ${LIMIT_MS / 2}ms, timeout: ${LIMIT_MS / 2}ms } }`
    : ''
}
