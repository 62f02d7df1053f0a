import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { Log } from '../../src/log/log.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'

test('the started line names every listener, however many there are', async (t) => {
  watchLeaks(t)
  const lines: Array<Record<string, unknown>> = []
  const log = new Log({
    writer: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    clock: systemClock,
  })
  await startGate(
    t,
    Array.from({ length: 60 }, () => 'protocol: tcp, upstream: "127.0.0.1:9"'),
    { log },
  )
  const started = lines.find(({ msg }) => msg === 'started')
  t.equal(started?.['listeners'], Array.from({ length: 60 }, (_, nth) => `l${nth} 127.0.0.1:0`).join(', '))
})
