// The page of a gate in Chromium. A test fails for anything in the page's console.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import tap from 'tap'
import type { Test } from 'tap'
import { CHROMIUM } from './chromium.ts'
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
