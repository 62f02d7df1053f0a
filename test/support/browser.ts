// The page of a gate in Debian's Chromium, and a word on whatever the page complains of: nothing may stand in its console.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import tap from 'tap'
import type { Test } from 'tap'
import { plainEnv } from './plain-env.ts'

const root = join(import.meta.dirname, '../..')
const axe = join(root, 'node_modules/axe-core/axe.min.js')

/** As the sources are now; `npm test` has built it. */
export function buildPage(): void {
  if (process.env['TAP'] !== undefined && existsSync(join(root, 'dist/page/page.js.gz'))) return
  execFileSync(process.execPath, [join(root, 'page/build.ts')], { env: plainEnv() })
}

let browser: Promise<Browser> | null = null

/** One for all tests of a file, whose start costs more than most of them; its tabs go with the test. */
export async function openBrowser(t: Test): Promise<Browser> {
  buildPage()
  browser ??= launch()
  const opened = await browser
  t.teardown(() => Promise.all(opened.contexts().map((context) => context.close())))
  return opened
}

async function launch(): Promise<Browser> {
  const launched = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--no-proxy-server'],
  })
  tap.teardown(() => launched.close())
  return launched
}

export interface Opened {
  page: Page
  /** What the console has said so far. */
  complaints: string[]
  go(view: string): Promise<void>
}

/** A tab of its own, with nothing kept from others. */
export async function openTab(
  browser: Browser,
  port: number,
  { view = '', ...options }: BrowserContextOptions & { view?: string } = {},
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })
  context.setDefaultTimeout(20_000)
  await context.addInitScript({ path: axe })
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

/** What axe finds wrong, a line each. */
export async function barriers(page: Page): Promise<string[]> {
  interface Axe {
    run: () => Promise<{
      violations: Array<{ id: string; nodes: Array<{ html: string; failureSummary?: string }> }>
    }>
  }
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: Axe }).axe.run())
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  )
}
