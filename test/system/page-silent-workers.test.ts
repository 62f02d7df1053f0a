// The page while a worker hangs, and after one has ended: it says what its views lack.

import t, { test } from 'tap'
import { barriers, openBrowser, openTab } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { bring, holdStill } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import { echo } from '../support/peers.ts'
import { threadFile } from '../support/threads.ts'
import { needs } from '../support/tools.ts'

t.setTimeout(120_000)

const LONG = { withinMs: 30_000 }

test(
  'each view names a worker that does not answer, and the ended ones one that has ended',
  needs(CHROMIUM),
  async (t) => {
    const upstream = await echo(t)
    const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
      workers: 2,
      threadFile: threadFile('faulty-thread'),
    })
    const { page, complaints } = await openTab(await openBrowser(t), gate.adminPort)
    await page.getByRole('region', { name: 'Now' }).waitFor()
    const alert = page.getByRole('alert')
    t.equal(await alert.count(), 0)
    const letGo = holdStill(1)
    t.teardown(letGo)
    await alert.waitFor({ timeout: LONG.withinMs })
    t.equal(await alert.innerText(), 'worker 1 does not answer: its connections and ends are left out')
    t.same(await barriers(page), [])
    await page.getByRole('link', { name: 'Connections', exact: true }).click()
    await page.getByRole('heading', { name: 'Connections' }).waitFor({ state: 'attached' })
    t.equal(await alert.count(), 1)
    letGo()
    await alert.waitFor({ state: 'detached', timeout: LONG.withinMs })
    bring({ worker: 1, kind: 'exit' })
    await page.getByRole('link', { name: 'Ended', exact: true }).click()
    const told = page.getByText(/^Worker 1 ended at \d\d:\d\d:\d\d UTC with 0 connections \(.+\): these, and/)
    await told.waitFor({ timeout: LONG.withinMs })
    await eventually(async () => (await barriers(page)).length === 0, LONG)
    t.same(complaints, [])
  },
)
