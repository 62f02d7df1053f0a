import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import {
  gotAll,
  innocents,
  innocentsTable,
  partsWell,
  policies,
  quietFor,
  sipMs,
  SLOW_MS,
  slowDeadlines,
} from '../support/innocents.ts'
import { slowReader } from '../support/processes.ts'
import { forEachTransport, isHttp, openingBytes, openLine, startService } from '../support/transports.ts'

const MUCH = 4_000_000

test('README.md has the table of the innocent', async (t) => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  t.ok(readme.includes(innocentsTable()), `it must have\n${innocentsTable()}`)
})

for (const { title, keys, meet } of policies) {
  const all = keys === undefined ? slowDeadlines : `${slowDeadlines}, ${keys}`
  for (const [side, other] of [
    ['client', 'service'],
    ['service', 'client'],
  ] as const) {
    test(`a ${side} ${innocents.slowReader.title}${title}`, { timeout: 100_000 }, (t) =>
      forEachTransport(
        t,
        innocents.slowReader.on,
        async (t, transport) => {
          const line = await openLine(t, transport, all)
          const [reader, writer] = [line[side], line[other]]
          // An answer that is complete before its request ends the connection.
          if (isHttp(transport) && side === 'client') reader.finish()
          const pace = reader.sip(sipMs(transport, side))
          const isSent = writer.send(MUCH).then(() => writer.finish())
          await meet?.(line)
          await gotAll(t, reader, MUCH + 1)
          pace.stop()
          await isSent
          await partsWell(t, line, reader)
        },
        innocents.slowReader.on.length,
      ),
    )
  }
}

test(`a client ${innocents.byteReader.title} lives`, (t) =>
  forEachTransport(t, innocents.byteReader.on, async (t, transport) => {
    const { service, isReady, listener } = await startService(t, transport)
    const gate = await startGate(t, [listener(slowDeadlines)])
    const client = await slowReader(t, gate.port)
    client.send(openingBytes(transport))
    await eventually(() => service.got.bytes === 1)
    await isReady
    void service.send(64_000_000)
    await service.wire.stalled(50, { withinMs: 20_000 })
    client.trickle(1, 50)
    const taken = client.bytes
    await quietFor(2.5 * SLOW_MS)
    t.same(gate.lines, [])
    t.ok(client.bytes > taken, `${client.bytes - taken} bytes in ${2.5 * SLOW_MS} ms`)
    client.reset()
    await gate.end()
  }))
