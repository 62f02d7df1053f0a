// The page for browsers over a real gate, in Chromium: each view, each action, and the requests that pages of
// other origins may not make.

import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { test } from 'tap'
import type { Locator } from 'playwright-core'
import type { Test } from 'tap'
import { barriers, counts, nextAnswer, openBrowser, openTab, shows, tells } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { connect, echo, flooder } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { setUp } from '../admin/admin.ts'

t.setTimeout(400_000)
const chromium = needs(CHROMIUM)

/** One listener that echoes, with a client that has sent something. */
async function echoing(
  t: Test,
  top = '',
): Promise<{ gate: Gate; client: Awaited<ReturnType<typeof connect>> }> {
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {}, top)
  const client = await connect(t, gate.port)
  await client.write('hello')
  await client.read(5)
  return { gate, client }
}

test(
  'every view is there, complains of nothing, and has no barriers, in light, in dark and narrow',
  chromium,
  async (t) => {
    const { gate } = await echoing(t)
    const browser = await openBrowser(t)
    const { id } = gate.open()
    const looks = [
      { colorScheme: 'light', viewport: { width: 1280, height: 860 } },
      { colorScheme: 'dark', viewport: { width: 360, height: 700 } },
    ] as const
    const views: Array<[view: string, words: string]> = [
      ['', 'Open connections'],
      ['connections', '1 connection.'],
      [`connections/${id}`, 'data either way'],
      ['ended', 'Nothing has ended since the gate began'],
      ['advice', 'deadlines.idle'],
      ['configuration', 'listeners[0]'],
      ['control', 'Not draining.'],
    ]
    for (const look of looks) {
      const { page, complaints, go } = await openTab(browser, gate.adminPort, look)
      for (const [view, words] of views) {
        await go(view)
        await page.getByText(words).first().waitFor()
        t.same(await barriers(page), [], `${view} in ${look.colorScheme}`)
        const width = Number(await page.evaluate('document.documentElement.scrollWidth'))
        t.ok(width <= look.viewport.width, `${view} is ${width} wide in ${look.viewport.width}`)
      }
      t.same(complaints, [])
      await page.context().close()
    }
  },
)

test(
  'the overview shows what was before somebody came, and what is wrong with the file',
  chromium,
  async (t) => {
    const { gate } = await echoing(t)
    const browser = await openBrowser(t)
    const { page } = await openTab(browser, gate.adminPort)
    await page.getByRole('img', { name: /^Open connections: / }).waitFor()
    await shows(t, page.locator('.now'), /Open connections 1 1 tcp/)
    await shows(t, page.locator('.card', { hasText: 'Listeners' }), /Open l0 127\.0\.0\.1:\d+ .* 1$/)
    await shows(t, page.locator('.card', { hasText: 'Upstreams' }), /127\.0\.0\.1:\d+ not checked 1 none/)
    await gate.reloadText('listeners: 5')
    await shows(t, page.getByRole('alert'), /the last good configuration stays .*line 1: listeners/)
  },
)

test('connections are filtered, sorted, and opened, with the keyboard alone', chromium, async (t) => {
  const flood = await flooder(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`,
    `protocol: tcp, upstream: "127.0.0.1:${flood.port}"`,
  ])
  await connect(t, gate.ports[0]!)
  await eventually(() => gate.registry.size === 1)
  await connect(t, gate.ports[1]!, { unread: true })
  const stalled = await eventually(() => [...gate.registry].find(({ listener }) => listener === 'l1'))
  await heldBack(stalled, 'to_client')
  const browser = await openBrowser(t)
  const { page } = await openTab(browser, gate.adminPort, { view: 'connections' })
  const listeners = page.locator('.rows tbody tr td:nth-child(3)')
  await page.getByText('2 connections.').waitFor()
  await shows(t, listeners, [/l0/, /l1/], 'the oldest first')
  await page.getByRole('button', { name: 'Queued' }).focus()
  await page.keyboard.press('Enter')
  await shows(t, listeners, [/l1/, /l0/], 'the fullest first')
  await page.keyboard.press('Enter')
  await shows(t, listeners, [/l0/, /l1/], 'the other way round')
  await page.getByLabel('Listener').selectOption('l1')
  await page.getByText('1 connection of 2.').waitFor()
  // A link can be sent to a colleague.
  await page.waitForURL(/listener=l1/)
  await page.getByLabel('Client').fill('nonsense')
  await page.getByLabel('Client').press('Enter')
  await page.locator('.empty, .problem').first().waitFor()
  await page.getByLabel('Client').fill('')
  await page.getByLabel('Client').press('Enter')
  await page.locator('.rows tbody a').focus()
  await page.keyboard.press('Enter')
  await shows(
    t,
    page.locator('.waiting'),
    /the client to take \d.* with write_timeout by the client \(deadlines\.write\)/,
  )
  await shows(t, page.locator('.peers'), /KiB wait for it/)
})

test('a connection ends after a question, and not without one', chromium, async (t) => {
  const { gate } = await echoing(t)
  const browser = await openBrowser(t)
  const { id } = gate.open()
  const { page } = await openTab(browser, gate.adminPort, { view: `connections/${id}` })
  const dialog = page.getByRole('dialog')
  await page.getByRole('button', { name: 'End it' }).click()
  await dialog.getByText(`End connection ${id}?`).waitFor()
  t.same(await barriers(page), [], 'the question has no barriers')
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden' })
  await nextAnswer(page, `/connections/${id}`)
  t.equal(gate.registry.size, 1, 'Escape leaves it')
  await page.getByRole('button', { name: 'End it' }).click()
  await dialog.getByRole('button', { name: 'End it' }).click()
  await page.getByText(`Connection ${id} was ended.`).waitFor()
  t.match(await gate.end(), { reason: 'killed', side: 'sidegate' })
})

test('what has ended is listed by reason, and told with its story and what it means', chromium, async (t) => {
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`,
    `protocol: http, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  const calm = await connect(t, gate.ports[0]!)
  await calm.write('hello')
  await calm.read(5)
  calm.end()
  await gate.end(0)
  const odd = await connect(t, gate.ports[1]!)
  await odd.write('NONSENSE\r\n\r\n')
  await gate.end(1)
  const browser = await openBrowser(t)
  const { page, complaints } = await openTab(browser, gate.adminPort, { view: 'ended' })
  const rows = page.locator('.end')
  await shows(t, rows, [/protocol_error by client/, /eof by client/], 'the newest first')
  await page.getByRole('button', { name: 'protocol_error 1' }).click()
  await shows(t, rows, [/protocol_error/], 'those of one reason')
  await page.waitForURL(/reason=protocol_error/)
  await rows.first().focus()
  await page.keyboard.press('Enter')
  const story = page.locator('.story')
  await shows(t, story, /ended at .* with protocol_error\. It was the client.s doing.*malformed/)
  await shows(t, story.locator('.timeline'), /accepted.*ended/)
  t.same(await barriers(page), [])
  await page.getByLabel('Client').fill('192.0.2.1')
  await nextAnswer(page, '/recent')
  t.equal(
    await page.getByLabel('Client').inputValue(),
    '192.0.2.1',
    'an answer takes away nothing that is being written',
  )
  await page.getByLabel('Client').press('Enter')
  await page.getByText('Nothing that has ended lately is like that.').waitFor()
  t.same(complaints, [])
})

test('advice tells what is in force and what was seen, and proposes only when asked', chromium, async (t) => {
  const { gate, client } = await echoing(t)
  client.end()
  await gate.end()
  const browser = await openBrowser(t)
  const { page, complaints } = await openTab(browser, gate.adminPort, { view: 'advice' })
  const row = page.locator('tr', { hasText: 'deadlines.connect' })
  await shows(t, row, /deadlines\.connect 5s – 1 /)
  await page.getByLabel('Propose from less').check()
  await shows(t, row, /deadlines\.connect 5s [^–]/, 'a proposal')
  t.same(complaints, [])
})

test('what is written and what is a default is told apart', chromium, async (t) => {
  const { gate } = await echoing(t)
  await gate.reload(['protocol: tcp, upstream: "127.0.0.1:1", deadlines: { idle: 7m }'])
  const browser = await openBrowser(t)
  const { page } = await openTab(browser, gate.adminPort, { view: 'configuration' })
  await page.getByLabel('Find').fill('deadlines')
  const row = (path: string): Locator => page.locator('tr', { hasText: path })
  await shows(t, row('listeners[0].deadlines.idle'), /7m file/)
  await shows(t, row('listeners[0].deadlines.write'), /5m default/)
  await page.getByLabel('Only what is written').check()
  await row('listeners[0].deadlines.write').waitFor({ state: 'detached' })
  await shows(t, row('listeners[0].deadlines.idle'), /7m file/)
})

test('the gate is controlled: level of the log, reload, drain and undo', chromium, async (t) => {
  const { gate } = await echoing(t, 'drain: { minDuration: 60s, spread: off, timeout: 90s }')
  const browser = await openBrowser(t)
  const { page, complaints } = await openTab(browser, gate.adminPort, { view: 'control' })
  await page.getByText('The level is info.').waitFor()
  await page.getByLabel('For').fill('5m')
  await page.getByRole('button', { name: 'Set' }).click()
  await page.getByText(/The level is debug until \d\d:\d\d:\d\d, then info again\./).waitFor()
  await page.getByLabel('For').fill('5')
  await page.getByRole('button', { name: 'Set' }).click()
  await shows(t, page.getByRole('alert'), /For: .*write a duration/)

  gate.hold(['protocol: tcp, upstream: "127.0.0.1:1", deadlines: { idle: 7m }'])
  await page.getByRole('button', { name: 'Reload' }).click()
  await page.getByText('The file is in effect').waitFor()

  await page.getByRole('button', { name: 'Drain' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click()
  await page.getByText('It can be undone until then.').waitFor()
  t.equal(gate.operator.drainState, 'announced')
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByText('The drain was undone.').waitFor()
  t.equal(gate.operator.drainState, 'none')
  // Chromium itself logs an answer that is not 200: the refused level.
  t.same(
    complaints.filter((text) => !text.includes('400 (Bad Request)')),
    [],
  )
})

test('a profile is a download', chromium, async (t) => {
  const { gate } = await echoing(t)
  const browser = await openBrowser(t)
  const { page } = await openTab(browser, gate.adminPort, { view: 'control', acceptDownloads: true })
  const [download] = await Promise.all([
    page.waitForEvent('download', { timeout: 60_000 }),
    page.getByRole('button', { name: 'CPU, 10 s' }).click(),
  ])
  t.match(download.suggestedFilename(), /^sidegate-.*\.cpuprofile$/)
  t.ok(Array.isArray((JSON.parse(readFileSync(await download.path(), 'utf8')) as { nodes: unknown }).nodes))
})

test(
  'a gate with a token file asks for the token, says that one is wrong, and keeps it for the tab',
  chromium,
  async (t) => {
    const token = 'correct-horse-battery-staple'
    const file = join(t.testdir({ token }), 'token')
    const { gate } = await echoing(t, `admin: { address: "127.0.0.1:0", tokenFile: "${file}" }`)
    const browser = await openBrowser(t)
    const { page, go } = await openTab(browser, gate.adminPort, { view: 'connections' })
    await page.getByLabel('Token').fill('wrong-token-of-somebody')
    t.same(await barriers(page), [])
    await page.getByRole('button', { name: 'Enter' }).click()
    await page.getByText('The gate does not take that token.').waitFor()
    await page.getByLabel('Token').fill(token)
    await page.getByRole('button', { name: 'Enter' }).click()
    await page.getByText('1 connection.').waitFor()
    await go(`connections/${gate.open().id}`)
    await page.getByRole('button', { name: 'End it' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'End it' }).click()
    t.match(await gate.end(), { reason: 'killed' }, 'what changes something works, too')
    await page.reload()
    await page.getByText('All connections').waitFor()
    const other = await page.context().newPage()
    await other.goto(`http://127.0.0.1:${gate.adminPort}/`)
    await other.getByLabel('Token').waitFor()
  },
)

test('a page of another origin reads nothing and changes nothing', chromium, async (t) => {
  const { gate } = await echoing(t)
  const stranger = http.createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>stranger</title>')
  })
  await once(stranger.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => stranger.close())
  const browser = await openBrowser(t)
  const { page } = await openTab(browser, (stranger.address() as AddressInfo).port)
  const tries = await page.evaluate(
    async ([admin, id]) => {
      const outcome = async (path: string, init: RequestInit): Promise<string> =>
        fetch(`${admin}${path}`, init).then(
          (response) => `${response.type} ${response.status}`,
          () => 'failed',
        )
      return Promise.all([
        outcome('/info', {}),
        outcome('/page-token', {}),
        outcome('/drain', { method: 'POST', mode: 'no-cors' }),
        outcome('/drain', { method: 'POST', headers: { 'X-Sidegate-Page': 'x' } }),
        outcome(`/connections/${id}`, { method: 'DELETE' }),
      ])
    },
    [`http://127.0.0.1:${gate.adminPort}`, gate.open().id] as const,
  )
  t.same(tries, ['failed', 'failed', 'opaque 0', 'failed', 'failed'])
  t.equal(gate.operator.drainState, 'none')
  t.equal(gate.registry.size, 1)
  await page.evaluate(`new Promise((resolve) => {
    const frame = document.createElement('iframe')
    frame.src = 'http://127.0.0.1:${gate.adminPort}/'
    frame.onload = () => resolve()
    document.body.append(frame)
  })`)
  t.notMatch(await page.frames()[1]!.content(), /page\.js/, 'nor does it frame the page')
})

test(
  'a gate that goes away is told of, what was seen stays, and a gate that comes back is shown',
  chromium,
  async (t) => {
    const { gate, client } = await echoing(t)
    const port = gate.adminPort
    const browser = await openBrowser(t)
    const { page } = await openTab(browser, port)
    await page.locator('.now', { hasText: '1 tcp' }).waitFor()
    client.end()
    await gate.operator.stop()
    await page.getByText('The gate does not answer; what you see is of').waitFor()
    await page.getByText('no answer').waitFor()
    await shows(t, page.locator('.now'), /1 tcp/, 'what was seen last stays')
    await startGate(
      t,
      ['protocol: tcp, upstream: "127.0.0.1:1"', 'protocol: tcp, upstream: "127.0.0.1:2"'],
      {},
      `admin: { address: "127.0.0.1:${port}" }`,
    )
    await page.locator('.card', { hasText: 'Listeners' }).getByText('l1').waitFor()
    await page.getByText('running').waitFor()
    await page.getByText('nobody is connected').waitFor()
    await counts(t, page.getByRole('alert'), 0)
  },
)

test('one question at a time, and none while nobody sees the page', chromium, async (t) => {
  const { gate } = await echoing(t)
  const browser = await openBrowser(t)
  const { page } = await openTab(browser, gate.adminPort)
  await page.evaluate(() => {
    const questions = Object.assign(globalThis, { questions: { asked: 0, open: 0, most: 0 } }).questions
    const fetch = globalThis.fetch
    globalThis.fetch = async (...args) => {
      questions.asked++
      questions.most = Math.max(questions.most, ++questions.open)
      return fetch(...args).finally(() => questions.open--)
    }
  })
  type Questions = Record<'asked' | 'open' | 'most', number>
  const told = (): Promise<Questions> => page.evaluate('questions')
  await eventually(async () => (await told()).asked >= 6, { what: 'six questions', withinMs: 30_000 })
  t.equal((await told()).most, 1)
  const hide = (isHidden: boolean): Promise<unknown> =>
    page.evaluate(
      `Object.defineProperty(document, 'hidden', { value: ${isHidden}, configurable: true })
       document.dispatchEvent(new Event('visibilitychange'))`,
    )
  await page.clock.install()
  await hide(true)
  await eventually(async () => (await told()).open === 0)
  const { asked } = await told()
  await page.clock.runFor(60_000)
  t.equal((await told()).asked, asked, 'a minute in which nobody looks')
  await hide(false)
  await page.clock.runFor(1000)
  await eventually(async () => (await told()).asked > asked, { what: 'a question as soon as somebody looks' })
})

test('five thousand connections are a table of those in sight', chromium, async (t) => {
  const { port, open } = await setUp(t)
  for (let nth = 0; nth < 5000; nth++) open('app', 5000 - nth, { client: `10.0.${nth >> 8}.${nth & 255}:1` })
  const browser = await openBrowser(t)
  const { page, complaints } = await openTab(browser, port, { view: 'connections?limit=5000' })
  await page.getByText('The first 5,000 of 5,000 connections.').waitFor()
  const rows = page.locator('.rows tbody tr:not(.gap)')
  await rows.first().waitFor()
  t.ok((await rows.count()) < 100, `${await rows.count()} rows are in the page`)
  await tells(t, page.locator('.rows'), 'aria-rowcount', /^5001$/)
  await page.keyboard.press('End')
  await page.getByText('10.0.19.135:1').waitFor()
  t.ok((await rows.count()) < 100)
  await tells(t, rows.last(), 'aria-rowindex', /^5001$/)
  t.same(complaints, [])
})
