// The page of a gate in Chromium. A test fails for anything in the page's console.
//
// The page shows each thing with the answer that has it, which comes whenever it comes: a test waits for what it asserts. That
// something is not there holds only after an event with which it would be there.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page, Request } from 'playwright-core'
import tap from 'tap'
import type { Test } from 'tap'
import { CHROMIUM } from './chromium.ts'
import { eventually } from './eventually.ts'
import { plainEnv } from './plain-env.ts'

const root = join(import.meta.dirname, '../..')
const axe = join(root, 'node_modules/axe-core/axe.min.js')

/** Built from the sources as they are now; `npm test` has built it. */
export function buildPage(): void {
  if (process.env['TAP'] !== undefined && existsSync(join(root, 'dist/page/page.js.gz'))) return
  execFileSync(process.execPath, [join(root, 'page/build.ts')], { env: plainEnv() })
}

const plainLook = { viewport: { width: 1280, height: 860 } }
let browser: Promise<Browser> | null = null

/** One browser for all tests of a file, since its start costs more than most tests; each test closes its tabs. */
export async function openBrowser(t: Test): Promise<Browser> {
  buildPage()
  browser ??= launch()
  const opened = await browser
  const plain = await plainWindow(opened)
  t.teardown(async () => {
    const [, ...others] = opened.contexts()
    const [, ...tabs] = plain.pages()
    await Promise.all([...others, ...tabs].map((one) => one.close()))
  })
  return opened
}

/**
 * The first window of a browser, which an empty tab keeps open: a window costs more than its contents. Tabs in it share nothing,
 * since the page keeps nothing for longer than a tab.
 */
async function plainWindow(browser: Browser): Promise<BrowserContext> {
  const [known] = browser.contexts()
  if (known !== undefined) return known
  const context = await browser.newContext(plainLook)
  await context.newPage()
  return context
}

async function launch(): Promise<Browser> {
  const launched = await launchChromium()
  tap.teardown(() => launched.close())
  return launched
}

/** The caller closes it. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: `/usr/bin/${CHROMIUM}`,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--no-proxy-server', '--disable-quic'],
  })
}

export interface Opened {
  page: Page
  /** The lines of the console so far. */
  complaints: string[]
  go(view: string): Promise<void>
}

/** A tab of its own, in a window of its own if it needs another size or scheme. */
export async function openTab(
  browser: Browser,
  port: number,
  { view = '', ...options }: BrowserContextOptions & { view?: string } = {},
): Promise<Opened> {
  const plain = await plainWindow(browser)
  const isPlain = Object.keys(options).length === 0
  const context = isPlain ? plain : await browser.newContext({ ...plainLook, ...options })
  context.setDefaultTimeout(20_000)
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error.stack)))
  const go = async (to: string): Promise<void> => {
    await page.goto(`http://127.0.0.1:${port}/#/${to}`)
  }
  await go(view)
  return { page, complaints, go }
}

/** How long a page may take to show a thing: some questions of ten seconds each on a busy machine. */
const SHOWN_MS = 40_000

/** What `read` finds once it is right; at last what it finds then, for the assertion to tell. */
async function settled<T>(read: () => Promise<T>, isRight: (found: T) => boolean): Promise<T> {
  const until = performance.now() + SHOWN_MS
  return eventually(
    async () => {
      const found = await read()
      return isRight(found) || performance.now() >= until ? { found } : null
    },
    { what: 'what the page shows', withinMs: 2 * SHOWN_MS },
  ).then(({ found }) => found)
}

/** The text of the elements comes to match; a list has a pattern for each element. White space counts as one blank. */
export async function shows(
  t: Test,
  locator: Locator,
  wanted: RegExp | readonly RegExp[],
  name?: string,
): Promise<void> {
  const texts = async (): Promise<string[]> =>
    (await locator.allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ').trim())
  if (wanted instanceof RegExp) {
    const text = await settled(
      async () => (await texts()).join(' '),
      (found) => wanted.test(found),
    )
    t.match(text, wanted, name ?? `shows ${wanted}`)
    return
  }
  const list = await settled(
    texts,
    (found) => found.length === wanted.length && wanted.every((one, nth) => one.test(found[nth]!)),
  )
  const title = name ?? `shows ${wanted.join(', ')}`
  t.equal(list.length, wanted.length, title)
  t.match(list, wanted, title)
}

/** There come to be so many elements. */
export async function counts(t: Test, locator: Locator, wanted: number, name?: string): Promise<void> {
  const count = await settled(
    () => locator.count(),
    (found) => found === wanted,
  )
  t.equal(count, wanted, name ?? `${wanted} of ${String(locator)}`)
}

/** The attribute comes to match. */
export async function tells(t: Test, locator: Locator, attribute: string, wanted: RegExp): Promise<void> {
  const value = await settled(
    async () => (await locator.getAttribute(attribute)) ?? '',
    (found) => wanted.test(found),
  )
  t.match(value, wanted, `${attribute} of ${String(locator)}`)
}

/** Resolves once the page has used an answer from now on: it asks no more before it has. */
export async function nextAnswer(page: Page, path: string): Promise<void> {
  const isOfPath = (request: Request): boolean => new URL(request.url()).pathname === path
  await page.waitForRequest(isOfPath)
  await page.waitForRequest(isOfPath)
}

/** The faults that axe finds, a line each. Only tests that call this load axe: it is larger than the page. */
export async function barriers(page: Page): Promise<string[]> {
  interface Axe {
    run: (options: { resultTypes: string[] }) => Promise<{
      violations: Array<{ id: string; nodes: Array<{ html: string; failureSummary?: string }> }>
    }>
  }
  if (!(await page.evaluate('"axe" in globalThis'))) await page.evaluate(readFileSync(axe, 'utf8'))
  // The results that pass stay in the page: a test needs only their number.
  const violations = await page.evaluate(
    async () =>
      (await (globalThis as unknown as { axe: Axe }).axe.run({ resultTypes: ['violations'] })).violations,
  )
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  )
}
