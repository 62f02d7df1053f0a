// Logs as many lines as it is told to its standard output, a thousand for each turn of the event loop, then says on
// the standard error how it went.

import { setImmediate as turn } from 'node:timers/promises'
import { systemClock } from '../../../src/core/clock.ts'
import { createLog } from '../../../src/log/log.ts'

const { log, writer } = createLog({ clock: systemClock })
let slowestTurnMs = 0
const lines = Number(process.argv[2])
for (let index = 0; index < lines; index++) {
  log.info('line', { index, filling: 'x'.repeat(100) })
  if (index % 1000 !== 999) continue
  const before = performance.now()
  await turn()
  slowestTurnMs = Math.max(slowestTurnMs, performance.now() - before)
}
await writer.flush(500)
process.stderr.write(
  JSON.stringify({ dropped: writer.dropped, queuedBytes: writer.queuedBytes, slowestTurnMs }),
  () => process.exit(0),
)
