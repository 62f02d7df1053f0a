import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'

/** The system's clock, which counts the requests for ticks. */
function countingClock(): { clock: Clock; ticks: number[] } {
  const ticks: number[] = []
  const clock: Clock = {
    ...systemClock,
    every(ms, run) {
      ticks.push(ms)
      return systemClock.every(ms, run)
    },
  }
  return { clock, ticks }
}

test('a short deadline on one listener does not make connections of another be swept as often, nor after a reload', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const { clock, ticks } = countingClock()
  const listener = (closeMs: number): string =>
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: ${closeMs}ms }`
  const gate = await startGate(t, [listener(400), listener(5000)], { clock })
  const before = ticks.length
  for (const port of gate.ports) {
    const client = await connect(t, port)
    await client.write('x')
    await client.read(1)
  }
  t.same(ticks.slice(before), [50, 250])
  const reloaded = ticks.length
  t.match(await gate.reload([listener(400), listener(800)]), { result: 'success' })
  t.same(ticks.slice(reloaded), [100], 'only its own sweep is another one')
})
