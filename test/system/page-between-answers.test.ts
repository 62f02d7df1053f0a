// The page between a question and its answer, which the test holds back: it calls nothing known that is not, and keeps what is.

import type { Page } from 'playwright-core'
import t, { test } from 'tap'
import type { Test } from 'tap'
import { barriers, counts, openBrowser, openTab, shows, tells } from '../support/browser.ts'
import type { Opened } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'

t.setTimeout(240_000)

/** A gate with an open connection and an ended one, and its page. */
async function scene(t: Test, view: string): Promise<Opened & { gate: Gate }> {
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  for (const stays of [true, false]) {
    const client = await connect(t, gate.port)
    await client.write('hello')
    await client.read(5)
    if (!stays) client.end()
  }
  await gate.end()
  return { gate, ...(await openTab(await openBrowser(t), gate.adminPort, { view })) }
}

/** Holds requests back whose path and query match, until the returned function is called. */
async function hold(page: Page, what: RegExp): Promise<() => void> {
  const held = Promise.withResolvers<void>()
  await page.route(
    (url) => what.test(url.pathname + url.search),
    async (route) => {
      await held.promise
      await route.continue().catch(() => {})
    },
  )
  return held.resolve
}

test('before the first answer nothing looks like one', needs(CHROMIUM), async (t) => {
  const { page, go } = await scene(t, 'control')
  await page.getByText('The level is info.').waitFor()
  const letGo = await hold(page, /^\/(series|listeners|upstreams)/)
  await go('')
  const card = (name: string) => page.locator('.card', { hasText: name })
  const number = (name: string) => page.locator('.number', { hasText: name }).locator('.value')
  await shows(t, page.locator('.now'), /Open connections 1 /)
  for (const name of ['Listeners', 'Upstreams']) await shows(t, card(name), new RegExp(`^${name} Asking …$`))
  for (const name of ['Held back', 'Buffered', 'Event loop']) await shows(t, number(name), /^–$/)
  for (const name of ['Open connections', 'Ends by reason'])
    await shows(t, page.locator('.plot', { hasText: name }), new RegExp(`^${name} Asking …`))
  t.same(await barriers(page), [])
  letGo()
  await shows(t, card('Listeners'), /Open l0 /)
  await shows(t, card('Upstreams'), /not checked 1 none$/)
  await shows(t, number('Held back'), /^0$/)
  await page.getByRole('img', { name: /^Open connections: l0 tcp, / }).waitFor()
})

test('rows stay, and the focus, until another question is answered', needs(CHROMIUM), async (t) => {
  const { page, go } = await scene(t, 'ended')
  const rows = page.locator('.end')
  await shows(t, rows, [/eof/])
  const ended = await hold(page, /^\/recent.*reason/)
  const reason = page.getByRole('button', { name: 'eof 1' })
  await reason.focus()
  await page.keyboard.press('Enter')
  await counts(t, page.locator('[aria-busy=true] .end'), 1, 'the row is there, and known to be old')
  t.same(await barriers(page), [])
  ended()
  await page.getByRole('combobox', { name: 'Reason' }).waitFor()
  await counts(t, page.locator('[aria-busy=true]'), 0)
  t.equal(
    await reason.evaluate((one) => one === one.ownerDocument.activeElement),
    true,
    'the same button has the focus',
  )

  const connections = await hold(page, /^\/connections.*192/)
  await go('connections')
  await page.getByText('1 connection.').waitFor()
  await go('connections?client=192.0.2.1')
  await page.getByText('Asking …').waitFor()
  await shows(t, page.locator('.rows tbody tr'), [/l0/])
  await counts(t, page.locator('[aria-busy=true] .rows'), 1)
  connections()
  await counts(t, page.locator('.rows'), 0)
  await page.getByText('No connection is like that.').waitFor()

  await go('connections?listener=gone')
  await shows(t, page.getByRole('alert'), /There is no such listener/)
  t.equal(await page.getByLabel('Listener').inputValue(), 'gone', 'the filter is that of the address')
  await counts(t, page.getByText('Asking …'), 0)
})

test('a refusal that passes takes away nothing that is known, and is told', needs(CHROMIUM), async (t) => {
  const { gate, page, go } = await scene(t, '')
  const alert = page.getByRole('alert')
  const refuse = (path: RegExp) =>
    page.route(
      (url) => path.test(url.pathname),
      (route) => route.fulfill({ status: 504, json: { error: 'its worker does not answer' } }),
    )
  await go(`connections/${gate.open().id}`)
  await page.getByText('data either way').waitFor()
  await refuse(/^\/connections\/\d+$/)
  await shows(t, alert, /^Its worker does not answer\.$/)
  await page.getByText('data either way').waitFor()
  await counts(t, page.getByText('What has just ended'), 0)
  await page.unrouteAll()
  await counts(t, alert, 0)
  await refuse(/^\/info$/)
  await shows(t, alert, /^Its worker does not answer\.$/)
  await page.getByText('data either way').waitFor()
})

test('nothing is asked for views that the viewer has left', needs(CHROMIUM), async (t) => {
  const { page } = await scene(t, 'connections')
  await page.getByText('1 connection.').waitFor()
  const asked: string[] = []
  page.on('request', (request) => asked.push(new URL(request.url()).pathname))
  const letGo = await hold(page, /^\/info/)
  await eventually(() => asked.includes('/info'), { what: 'a question under way' })
  for (const view of ['Ended', 'Advice', 'Configuration', 'Control']) {
    const link = page.getByRole('link', { name: view, exact: true })
    await link.click()
    await tells(t, link, 'aria-current', /page/)
  }
  letGo()
  await page.getByText('The level is info.').waitFor()
  t.same(
    asked.filter((path) => /recent|advice|config/.test(path)),
    [],
  )
})

test('a level of the log that has gone back is told', needs(CHROMIUM), async (t) => {
  const { page } = await scene(t, 'control')
  const log = page.locator('.card', { hasText: 'The level is' })
  await shows(t, log, /^Log The level is info\./)
  await page.getByLabel('For').fill('6s')
  await page.getByRole('button', { name: 'Set' }).click()
  await shows(t, log, /^Log The level is debug\./)
  await shows(t, log, /^Log The level is info\./)
})
