// Ten open pages over a gate with hundreds of connections: the number of their requests is bounded, whatever
// the gate does, and hidden pages send none. The test counts requests and measures no time: bench/README.md
// has their cost.

import { setTimeout as delay } from 'node:timers/promises'
import type { Page, Request } from 'playwright-core'
import t, { test } from 'tap'
import type { Test } from 'tap'
import { openBrowser, openTab } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import type { Wire } from '../support/wire.ts'

t.setTimeout(240_000)
const PAGES = 10
const CONNECTIONS = 300
/** The most requests of any view: `info`, `series`, `listeners`, `upstreams` of the overview, each once more at first. */
const mostIn = (ms: number): number => 4 + ms / 2000 + (3 * ms) / 5000

interface Watched {
  page: Page
  asked: number
  /** Requests under way. */
  open: Set<Request>
  most: number
  bytes: number
}

/** Its requests to the gate, without those for the files of the page. */
function watch(page: Page): Watched {
  const it: Watched = { page, asked: 0, open: new Set(), most: 0, bytes: 0 }
  const isQuestion = (url: string): boolean => !/\/($|page[.])/.test(new URL(url).pathname)
  page.on('request', (request) => {
    if (!isQuestion(request.url())) return
    it.asked++
    it.most = Math.max(it.most, it.open.add(request).size)
  })
  page.on('requestfinished', (request) => {
    if (!it.open.delete(request)) return
    void request.sizes().then(
      ({ responseBodySize }) => (it.bytes += responseBodySize),
      () => {},
    )
  })
  page.on('requestfailed', (request) => void it.open.delete(request))
  return it
}

interface Scene {
  gate: Gate
  wires: Wire[]
  watched: Watched[]
  since: number
}

async function scene(t: Test): Promise<Scene> {
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const wires = await Promise.all(Array.from({ length: CONNECTIONS }, () => connect(t, gate.port)))
  const browser = await openBrowser(t)
  const pages: Page[] = []
  for (let nth = 0; nth < PAGES; nth++) {
    const { page } = await openTab(browser, gate.adminPort, { view: nth % 2 === 0 ? '' : 'connections' })
    await page
      .getByText(nth % 2 === 0 ? 'Open connections' : 'connections')
      .first()
      .waitFor()
    pages.push(page)
  }
  const watched = pages.map(watch)
  return { gate, wires, watched, since: performance.now() }
}

/** Hides the page, or shows it again. */
const hide = (page: Page, isHidden: boolean): Promise<unknown> =>
  page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, get: () => ${isHidden} })
    document.dispatchEvent(new Event('visibilitychange'))`)

const sum = (watched: readonly Watched[], of: (one: Watched) => number): number =>
  watched.reduce((all, one) => all + of(one), 0)

test('ten open pages', needs(CHROMIUM), async (t) => {
  const it = await scene(t)
  await t.test(
    'they ask one thing at a time, so many a minute and no more, and nothing while they are hidden',
    (t) => asksLittle(t, it),
  )
  await t.test('the slower the gate answers, the more seldom they ask', (t) => asksMoreSeldom(t, it))
})

async function asksLittle(t: Test, { gate, wires, watched, since }: Scene): Promise<void> {
  let echoes = 0
  const talk = { isOver: false }
  const talking = wires.slice(0, 20).map(async (wire) => {
    for (; !talk.isOver; echoes++) {
      await wire.write('x')
      await wire.read(1)
      await delay(20)
    }
  })
  await delay(6000)
  await eventually(() => watched.every(({ asked }) => asked > 0), { what: 'each page', withinMs: 30_000 })
  const ms = performance.now() - since
  for (const { asked, most } of watched) {
    t.ok(asked <= mostIn(ms), `${asked} questions in ${Math.round(ms)} ms`)
    t.ok(most <= 1, 'one at a time')
  }
  t.ok(sum(watched, ({ asked }) => asked) >= 2 * PAGES, 'and they do ask')
  const bytes = sum(watched, ({ bytes }) => bytes)
  t.ok(bytes < 6 * 1024 * 1024, `${bytes} bytes of answers`)
  t.equal(gate.lines.length, 0, 'nobody ended')
  t.ok(echoes > 20, `${echoes} echoes beside it`)

  for (const { page } of watched) await hide(page, true)
  // What waits for its turn then is not asked: the page drops it with the last answer.
  await eventually(() => watched.every(({ open }) => open.size === 0), { what: 'the last answers' })
  const before = sum(watched, ({ asked }) => asked)
  await delay(6000)
  t.equal(
    sum(watched, ({ asked }) => asked),
    before,
    'hidden pages ask nothing',
  )
  await hide(watched[0]!.page, false)
  await eventually(() => sum(watched, ({ asked }) => asked) > before, { what: 'a page that is seen again' })
  talk.isOver = true
  await Promise.all(talking)
}

async function asksMoreSeldom(t: Test, { watched }: Scene): Promise<void> {
  for (const { page } of watched) {
    await page.route(/\/(info|series|listeners|upstreams|connections)\b/, async (route) => {
      await delay(400)
      await route.continue().catch(() => {})
    })
    await hide(page, false)
  }
  // The viewer looks away and back again while a question is under way: that adds no poll.
  await eventually(() => watched.every(({ open }) => open.size > 0), { what: 'a question of each' })
  for (let nth = 0; nth < 10; nth++)
    for (const { page } of watched) {
      await hide(page, true)
      await hide(page, false)
    }
  await delay(2000)
  const before = watched.map(({ asked }) => asked)
  const from = performance.now()
  await delay(12_000)
  const ms = performance.now() - from
  for (const [nth, { asked, most }] of watched.entries()) {
    // Each request pauses for fifteen times the time of its answer, at least six seconds.
    t.ok(asked - before[nth]! <= 4 * (1 + ms / 6000), `${asked - before[nth]!} questions`)
    t.ok(most <= 1)
  }
}
