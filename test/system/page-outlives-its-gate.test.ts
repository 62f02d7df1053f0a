// A page that stays open while its gate stands still, goes on, drains, ends and starts again: it says since when what it shows is old, and
// shows the new gate once there is one.

import t, { test } from 'tap'
import { openBrowser, openTab, shows } from '../support/browser.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { freePorts, runProgram } from './program.ts'

t.setTimeout(180_000)

const LONG = { withinMs: 40_000 }
const OLD = /^The gate does not answer; what you see is of \d\d:\d\d:\d\d/

test(
  'what a page shows of a gate that stands still, drains, ends and comes back',
  needs('chromium'),
  async (t) => {
    const upstream = await echo(t)
    const ports = freePorts(4)
    const listeners = ['one', 'two'].map(() => `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`)
    const program = await runProgram(t, listeners, {
      ports,
      top: 'drain: { minDuration: 20s, spread: 1s, timeout: 30s }',
    })
    const wires = await Promise.all([0, 1, 2].map(() => connect(t, program.port)))
    for (const wire of wires) await wire.write('x')
    const { page } = await openTab(await openBrowser(t), program.adminPort)
    const state = page.getByRole('status')
    const alert = page.getByRole('alert')
    const says = (word: string): Promise<void> => shows(t, state.first(), new RegExp(`^${word}$`))
    const now = page.getByRole('region', { name: 'Now' })
    await shows(t, now, /Open connections 3/)
    await says('running')

    program.child.kill('SIGSTOP')
    await shows(t, alert, OLD)
    await says('no answer')
    await shows(t, now, /Open connections 3/, 'the last figures stay')
    program.child.kill('SIGCONT')
    await alert.waitFor({ state: 'detached', timeout: LONG.withinMs })
    await says('running')

    program.child.kill('SIGTERM')
    await says('draining')
    program.child.kill('SIGKILL')
    await program.exited
    await shows(t, alert, OLD)
    const next = await runProgram(t, listeners.slice(0, 1), { ports: ports.slice(0, 3) })
    await alert.waitFor({ state: 'detached', timeout: LONG.withinMs })
    await says('running')
    await shows(t, now, /Open connections 0/)
    const one = await connect(t, next.port)
    await one.write('x')
    await page.getByRole('link', { name: 'Connections', exact: true }).click()
    await shows(t, page.locator('.rows tbody tr'), [/tcp/], 'its one connection')
  },
)
