// Limits of the fleet over every transport: two gates with one Redis, and one client that uses both.

import { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { needs } from '../support/tools.ts'
import { forEachTransport, openLine, transports } from '../support/transports.ts'
import type { Line, Transport } from '../support/transports.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { redisServer } from './redis-server.ts'

const KIB = 1024
const MIB = 1024 * KIB

async function twoLines(t: Test, transport: Transport, limits: string): Promise<[Line, Line]> {
  const redis = await redisServer(t)
  const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 2s } }`
  const open = () => openLine(t, transport, `limits: { ${limits} }, deadlines: { close: 500ms }`, { top })
  const [one, other] = [await open(), await open()]
  await knowEachOther([one, other].map(({ gate }) => gate))
  return [one, other]
}

/** Until the gate ends it. */
async function flood({ gate, client }: Line): Promise<string> {
  for (let pieces = 0; pieces < 256 && gate.lines.length === 0; pieces++) {
    const sent = client.send(16 * KIB).catch(() => null)
    await Promise.race([sent, new Promise((resolve) => setTimeout(resolve, 20))])
  }
  const line = await eventually(() => gate.lines[0], { what: 'an end', withinMs: 60_000 })
  return String(line['close'])
}

test('a client that uses up its rate at one gate has none left at another', needs('redis-server'), (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const rule = 'rate: 1KiB, burst: 1MiB, per: client, onExceed: close, scope: fleet'
    const [one, other] = await twoLines(t, transport, `bytes: { ${rule} }`)
    t.equal(await flood(one), 'rate_limited')
    t.equal(await flood(other), 'rate_limited')
    const bytes = one.service.got.bytes + other.service.got.bytes
    // The burst, a read more at either, and the lease that the second let through before it had asked.
    t.ok(bytes <= 1.6 * MIB, `${bytes} bytes`)
    // Either gate may keep fewer tokens than a read takes, and the last piece has not come.
    const least = MIB - 2 * 64 * KIB - 2 * 16 * KIB
    t.ok(bytes >= least, `${bytes} bytes: however fast they come, none is cut off before Redis has none`)
  }),
)

test('a client that is slowed down for the fleet loses nothing', needs('redis-server'), (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const rule = 'rate: 512KiB, burst: 64KiB, per: client, scope: fleet'
    const lines = await twoLines(t, transport, `bytes: { ${rule} }`)
    const before = lines.map(({ service }) => service.got.bytes)
    await Promise.all(
      lines.map(async ({ client, service }, nth) => {
        void client.send(256 * KIB)
        await eventually(() => service.got.bytes === before[nth]! + 256 * KIB, {
          what: 'all bytes',
          withinMs: 60_000,
        })
      }),
    )
    for (const { gate } of lines) t.equal(gate.lines.length, 0, 'and nobody ends')
  }),
)
