// The page while a worker does not answer, and after one has ended: it says what its views lack.

import type { Page } from 'playwright-core'
import t, { test } from 'tap'
import type { Info } from '../../src/admin/types.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { barriers, counts, openBrowser, openTab, shows, tells } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { bring, holdStill } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { echo } from '../support/peers.ts'
import { threadFile } from '../support/threads.ts'
import { needs } from '../support/tools.ts'

t.setTimeout(120_000)

const LONG = { withinMs: 30_000 }
const SILENT = /^worker 1 does not answer: its connections and ends are left out$/

/**
 * The clock of an operator that looks at nothing while it is paused. It ends a worker that stands still for 10 s, of which it
 * calls the worker silent for six: too few for a walk through all views on a busy machine.
 */
class Watch {
  isPaused = false
  readonly clock: Clock = {
    ...systemClock,
    every: (ms, run) => systemClock.every(ms, () => this.isPaused || run()),
  }
}

const infoOf = async (gate: Gate): Promise<Info> =>
  (await (await fetch(`http://127.0.0.1:${gate.adminPort}/info`)).json()) as Info

/** Counts the alerts that come or go from now on. */
const watchAlert = (page: Page): Promise<unknown> =>
  page.evaluate(`changes = 0
    new MutationObserver((records) => {
      const nodes = records.flatMap(({ addedNodes, removedNodes }) => [...addedNodes, ...removedNodes])
      changes += nodes.filter((node) => node.matches?.('[role=alert]') || node.querySelector?.('[role=alert]')).length
    }).observe(document.body, { subtree: true, childList: true })`)

test(
  'each view names a worker that does not answer, and the ended ones one that has ended',
  needs(CHROMIUM),
  async (t) => {
    const upstream = await echo(t)
    const watch = new Watch()
    const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
      workers: 2,
      threadFile: threadFile('faulty-thread'),
      clock: watch.clock,
    })
    const { page, complaints } = await openTab(await openBrowser(t), gate.adminPort)
    await page.getByRole('region', { name: 'Now' }).waitFor()
    const alert = page.getByRole('alert')
    await counts(t, alert, 0)
    const letGo = holdStill(1)
    t.teardown(letGo)
    await eventually(async () => (await infoOf(gate)).workers?.silent[0] === 1, { what: 'silence', ...LONG })
    watch.isPaused = true
    await shows(t, alert, SILENT)
    t.same(await barriers(page), [])
    await watchAlert(page)
    for (const view of ['Connections', 'Ended', 'Advice', 'Configuration', 'Control', 'Overview']) {
      await page.getByRole('link', { name: view, exact: true }).click()
      await tells(t, page.getByRole('link', { name: view, exact: true }), 'aria-current', /page/)
    }
    await page.getByText('Nothing has ended in the last 15 minutes.').waitFor()
    await shows(t, alert, SILENT)
    t.equal(
      await page.evaluate('changes'),
      0,
      'no view takes it away for a moment: it would be read out again',
    )
    letGo()
    watch.isPaused = false
    await counts(t, alert, 0)
    bring({ worker: 1, kind: 'exit' })
    await page.getByRole('link', { name: 'Ended', exact: true }).click()
    const told = page.getByText(/^Worker 1 ended at \d\d:\d\d:\d\d UTC with 0 connections \(.+\): these, and/)
    await told.waitFor({ timeout: LONG.withinMs })
    await eventually(async () => (await barriers(page)).length === 0, LONG)
    t.same(complaints, [])
  },
)
