// Every action of the page, clicked at least once, on a gate that asks for a token. The test collects the
// elements that can be clicked on its way: a new one that no walk here clicks fails the test.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t, { test } from 'tap'
import type { Test } from 'tap'
import { counts, openBrowser, openTab } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'

t.setTimeout(240_000)
const TOKEN = 'correct-horse-battery-staple'

/** The elements to click, choose or fill in; without numbers and names of listeners. */
const COLLECT = `[...document.querySelectorAll('button, select, input, a[href]')]
  .filter((one) => one.checkVisibility() && (one.tagName !== 'BUTTON' || one.innerText !== ''))
  .map((one) => {
    if (one.tagName === 'A') return 'link ' + one.getAttribute('href').replace(/[?].*/, '').replace(/[0-9]+/g, 'N')
    const label = one.closest('label')
    if (label !== null) return 'field ' + label.innerText.split('\\n')[0].trim()
    if (one.closest('th') !== null) return 'order by a column'
    if (one.classList.contains('end')) return 'button of what has ended'
    if (one.closest('dialog') !== null) return 'dialog ' + one.innerText
    return 'button ' + one.innerText.replace(/[^A-Za-z, _-]/g, '').replace(/ +/g, ' ').trim()
  })`

class Walk {
  readonly page: Page
  readonly #seen = new Set<string>()
  readonly #done = new Set<string>()

  constructor(page: Page) {
    this.page = page
  }

  /** Performs that action once the page shows its element. */
  async act(name: string, action: () => Promise<unknown>): Promise<void> {
    await eventually(async () => (await this.look()).includes(name), { what: name, withinMs: 40_000 })
    this.#done.add(name)
    await action()
    await this.look()
  }

  async look(): Promise<string[]> {
    const shown = await this.page.evaluate<string[]>(COLLECT)
    for (const name of shown) this.#seen.add(name)
    return shown
  }

  get forgotten(): string[] {
    return [...this.#seen].filter((name) => !this.#done.has(name)).sort()
  }

  get list(): string[] {
    return [...this.#done].sort()
  }
}

async function scene(t: Test) {
  const file = join(t.testdir({ token: TOKEN }), 'token')
  const upstream = await echo(t)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`,
      `protocol: http, upstream: "127.0.0.1:${upstream.port}"`,
    ],
    {},
    `admin: { address: "127.0.0.1:0", tokenFile: "${file}" }\ndrain: { minDuration: 60s, spread: off, timeout: 90s }`,
  )
  const odd = await connect(t, gate.ports[1]!)
  await odd.write('NONSENSE\r\n\r\n')
  await gate.end(0)
  const client = await connect(t, gate.ports[0]!)
  await client.write('hello')
  await client.read(5)
  return { gate, ...(await openTab(await openBrowser(t), gate.adminPort, { acceptDownloads: true })) }
}

test('every action of the page does what it says, on a gate with a token', needs(CHROMIUM), async (t) => {
  const { gate, page, go } = await scene(t)
  const walk = new Walk(page)
  const button = (name: string | RegExp) =>
    page.getByRole('button', { name, exact: typeof name === 'string' })
  const dialog = page.getByRole('dialog')
  const view = (path: string, name: string): Promise<void> =>
    walk.act(`link #/${path}`, async () => {
      await page.getByRole('link', { name, exact: true }).click()
      await page.waitForURL((url) => url.hash === `#/${path}`)
    })

  await page.getByLabel('Token').waitFor()
  await walk.act('field Token', () => page.getByLabel('Token').fill(TOKEN))
  await walk.act('button Enter', () => button('Enter').click())
  await page.locator('.now').waitFor()

  await walk.act('link #main', async () => {
    await page.keyboard.press('Tab')
    await page.locator('a.skip').press('Enter')
  })
  await go('')
  await page.locator('.card', { hasText: 'Listeners' }).getByRole('link', { name: 'l0' }).waitFor()
  await walk.look()
  await page.locator('.card', { hasText: 'Listeners' }).getByRole('link', { name: 'l0' }).click()
  await page.getByText('1 connection').first().waitFor()
  await page.waitForURL(/listener=l0/)

  await view('connections', 'Connections')
  await page.locator('.rows tbody a').waitFor()
  for (const [label, value] of [
    ['Listener', 'l0'],
    ['Protocol', 'tcp'],
    ['Phase', 'relay'],
    ['At most', '1000'],
    ['State', 'open'],
  ] as const)
    await walk.act(`field ${label}`, () => page.getByLabel(label).selectOption(value))
  for (const label of ['Client', 'Upstream'])
    await walk.act(`field ${label}`, async () => {
      await page.getByLabel(label).fill('127.0.0.1')
      await page.getByLabel(label).press('Enter')
    })
  await page.locator('.rows tbody a').waitFor()
  await walk.act('order by a column', async () => {
    for (const column of await page.locator('.rows th button').all()) await column.click()
  })
  await walk.act('link #/connections/N', () => page.locator('.rows tbody a').first().click())
  await button('End it').waitFor()
  await walk.act('link #/connections', () => page.getByRole('link', { name: 'All connections' }).click())
  await page.locator('.rows tbody a').first().click()
  await walk.act('button End it', () => button('End it').click())
  await walk.act('dialog Leave it', () => dialog.getByRole('button', { name: 'Leave it' }).click())
  t.equal(gate.registry.size, 1)
  await button('End it').click()
  await walk.act('dialog End it', () => dialog.getByRole('button', { name: 'End it' }).click())
  t.match(await gate.end(1), { reason: 'killed' })
  await page.getByRole('link', { name: 'What has just ended' }).click()

  await view('ended', 'Ended')
  await walk.act('button killed', () => button(/^killed/).click())
  await counts(t, page.locator('.end'), 1, 'those of one reason')
  await button(/^killed/).click()
  await walk.act('button protocol_error', () =>
    button(/^protocol_error/)
      .first()
      .click(),
  )
  await walk.act('field Listener', () => page.getByLabel('Listener').selectOption('l1'))
  await walk.act('field Reason', () => page.getByLabel('Reason').selectOption('protocol_error'))
  await walk.act('button of what has ended', () => page.locator('.end').first().click())
  await page.locator('.story').waitFor()

  await view('advice', 'Advice')
  await walk.act('field Propose from less than a day or 10,000 events, too', () =>
    page.getByLabel('Propose from less').check(),
  )

  await view('configuration', 'Configuration')
  await walk.act('field Find', () => page.getByLabel('Find').fill('deadlines'))
  await walk.act('field Only what is written', () => page.getByLabel('Only what is written').check())

  await view('control', 'Control')
  await page.getByText('The level is info.').waitFor()
  await walk.act('field Level', () => page.getByLabel('Level').selectOption('warn'))
  await walk.act('field For', () => page.getByLabel('For').fill('5m'))
  await walk.act('button Set', () => button('Set').click())
  await page.getByText(/The level is warn until/).waitFor()
  gate.hold(['protocol: tcp, upstream: "127.0.0.1:1"'])
  await walk.act('button Reload', () => button('Reload').click())
  await page.getByText('The file is in effect').waitFor()
  await walk.act('button Drain', () => button('Drain').click())
  await walk.act('dialog Drain', () => dialog.getByRole('button', { name: 'Drain' }).click())
  await page.getByText('It can be undone until then.').waitFor()
  await walk.act('button Undo', () => button('Undo').click())
  await page.getByText('The drain was undone.').waitFor()

  // As the page asks for them, but for only a second.
  const asked: string[] = []
  await page.route(/\/debug\/.*seconds=/, (route) => {
    asked.push(new URL(route.request().url()).search)
    return route.continue({
      url: route
        .request()
        .url()
        .replace(/seconds=\d+/, 'seconds=1'),
    })
  })
  const saved = async (
    name: string,
    click: () => Promise<void>,
  ): Promise<[string, Record<string, unknown>]> => {
    const [file] = await Promise.all([
      page.waitForEvent('download', { timeout: 60_000 }),
      walk.act(name, click),
    ])
    await page.getByText('is in your downloads').waitFor()
    return [
      file.suggestedFilename(),
      JSON.parse(readFileSync(await file.path(), 'utf8')) as Record<string, unknown>,
    ]
  }
  const [cpu, cpuProfile] = await saved('button CPU, s', () => button('CPU, 10 s').click())
  t.match(cpu, /\.cpuprofile$/)
  t.ok(Array.isArray(cpuProfile['nodes']) && Array.isArray(cpuProfile['samples']))
  const [heap, heapProfile] = await saved('button Heap, s', () => button('Heap, 30 s').click())
  t.match(heap, /\.heapprofile$/)
  t.match(heapProfile, { head: { callFrame: {} } })
  t.same(asked, ['?seconds=10', '?seconds=30'])
  await walk.act('button Heap snapshot', () => button('Heap snapshot').click())
  const [snapshot, content] = await saved('dialog Take it', () =>
    dialog.getByRole('button', { name: 'Take it' }).click(),
  )
  t.match(snapshot, /\.heapsnapshot$/)
  t.ok((content['nodes'] as unknown[]).length > 10_000, 'the whole heap')
  t.ok((content['strings'] as string[]).includes('ListenerRuntime'), 'of the gate')

  await view('', 'Overview')
  await page.locator('.card', { hasText: 'Configuration' }).locator('a').click()
  await page.waitForURL(/#\/configuration$/)
  t.same(walk.forgotten, [], 'nothing is left out')
  t.comment(walk.list.join('\n'))
})
