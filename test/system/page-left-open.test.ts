// A page that stays open for an hour of its own time, over an admin server whose history advances with it:
// its heap does not grow.

import t, { test } from 'tap'
import type { CDPSession } from 'playwright-core'
import { History, STEP_MS } from '../../src/metrics/history.ts'
import type { Figure } from '../../src/metrics/history.ts'
import { openBrowser, openTab } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { needs } from '../support/tools.ts'
import { setUp } from '../admin/admin.ts'

t.setTimeout(400_000)
const MINUTE_STEPS = 12
const WARM_STEPS = 17 * MINUTE_STEPS
const HOUR_STEPS = 60 * MINUTE_STEPS

/** Figures that change with every step: as many columns as a busy gate has. */
function figuresAt(step: number): Figure[] {
  const level = (name: string, labels: Figure['labels'], value: number): Figure => ({
    name,
    labels,
    kind: 'level',
    value,
  })
  const count = (name: string, labels: Figure['labels'], value: number): Figure => ({
    name,
    labels,
    kind: 'count',
    value,
  })
  return [
    ...['tcp', 'http', 'websocket'].map((protocol) =>
      level('connections', { listener: 'app', protocol }, (step * 7) % 100),
    ),
    ...['client', 'upstream'].map((side) => level('bufferedBytes', { side }, (step * 1013) % 100_000)),
    ...['client', 'upstream'].map((side) => count('receivedBytes', { side }, step * 12_345)),
    ...['eof', 'write_timeout', 'idle_timeout', 'aborted'].map((reason, nth) =>
      count('ended', { reason, side: 'client' }, step * (nth + 1)),
    ),
    ...['p99', 'max'].map((quantile) => level('loopDelayMs', { quantile }, step % 9)),
    level('memoryBytes', {}, 1e8 + step * 100),
    level('memoryLimitBytes', {}, 1e9),
    level('heldBack', {}, step % 4),
  ]
}

/** Chromium's own memory differs by a quarter between two looks; a page that keeps each answer has 1.38 times as much at the end. */
const MOST = 1.3

async function heapOf(session: CDPSession): Promise<number> {
  for (let nth = 0; nth < 3; nth++) await session.send('HeapProfiler.collectGarbage')
  return ((await session.send('Runtime.getHeapUsage')) as { usedSize: number }).usedSize
}

test('an hour of looking at a gate costs a page no memory', needs(CHROMIUM), async (t) => {
  const clock = fakeClock()
  let step = 0
  const history = new History(clock, async () => figuresAt(step))
  const { port, open } = await setUp(t, { history: (after) => history.view(after) })
  for (let nth = 0; nth < 300; nth++) open('app', nth, { client: `10.0.0.${nth & 255}:${nth + 1}` })
  history.start()
  t.teardown(() => history.stop())
  const browser = await openBrowser(t)
  const { page, complaints } = await openTab(browser, port)
  await page.getByRole('img', { name: /^Open connections: / }).waitFor()
  await page.clock.install()
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
  let answered = 0
  page.on('requestfinished', () => answered++)
  const session = await page.context().newCDPSession(page)
  await session.send('HeapProfiler.enable')
  const pass = async (steps: number): Promise<void> => {
    for (const end = step + steps; step < end;) {
      step++
      await clock.pass(STEP_MS)
      await page.clock.runFor(STEP_MS)
      if (step % MINUTE_STEPS === 0) await look(step / MINUTE_STEPS)
    }
  }
  /** The test also goes from view to view. */
  const look = async (minute: number): Promise<void> => {
    await page.evaluate(`location.hash = '#/${['', 'connections', '', 'configuration'][minute % 4]}'`)
    const before = answered
    await page.clock.runFor(1)
    await eventually(() => answered > before, { what: 'an answer to the view', withinMs: 20_000 })
  }
  await pass(WARM_STEPS)
  const warm = await heapOf(session)
  await pass(HOUR_STEPS - WARM_STEPS)
  // The objects of the last view may take a while to go; a leak stays.
  let after = await heapOf(session)
  for (let looks = 0; looks < 20 && after >= warm * MOST; looks++) {
    await page.clock.runFor(1000)
    after = await heapOf(session)
  }
  t.ok(answered > HOUR_STEPS / 4, `${answered} answers were looked at`)
  t.comment(`${(warm / 1e6).toFixed(2)} MB after 17 minutes, ${(after / 1e6).toFixed(2)} MB after an hour`)
  t.ok(after < warm * MOST, `from ${warm} to ${after} bytes`)
  t.same(complaints, [])
})
