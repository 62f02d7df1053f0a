// The walk of docs/operating.md, against a gate with one of each ill-behaved client: with the commands, and
// with the page. Each client has an address of its own, as real ones would.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { test } from 'tap'
import type { Test } from 'tap'
import { openBrowser, openTab, shows, tells } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { CLI } from '../support/command.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { connect, flooder, mute, refuser } from '../support/peers.ts'
import { plainEnv } from '../support/plain-env.ts'
import { needs } from '../support/tools.ts'
import { rawClient, wsServer } from '../support/websocket.ts'

t.setTimeout(240_000)

const page = readFileSync(join(import.meta.dirname, '../../docs/operating.md'), 'utf8')
const HANGS = '127.0.0.10'

interface Complaint {
  from: string
  side: string
  key: string | null
}

/** By the reason of each end. */
const complaints: Record<string, Complaint> = {
  write_timeout: { from: '127.0.0.11', side: 'client', key: 'deadlines.write' },
  protocol_error: { from: '127.0.0.12', side: 'client', key: null },
  handshake_timeout: { from: '127.0.0.13', side: 'client', key: 'deadlines.handshake' },
  idle_timeout: { from: '127.0.0.14', side: 'sidegate', key: 'deadlines.idle' },
  half_close_timeout: { from: '127.0.0.15', side: 'upstream', key: 'deadlines.halfClose' },
  connect_refused: { from: '127.0.0.16', side: 'upstream', key: 'upstream.retryFor' },
  message_too_big: { from: '127.0.0.17', side: 'client', key: 'websocket.maxMessage' },
}

/** A gate with all of these ends, and one client that hangs. */
async function gateWithComplaints(t: Test): Promise<Gate> {
  const flood = await flooder(t)
  const silent = await mute(t)
  const service = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${flood.port}"`,
    `protocol: tcp, upstream: "127.0.0.1:${flood.port}", deadlines: { write: 300ms }`,
    `protocol: http, upstream: "127.0.0.1:${service.port}", deadlines: { handshake: 300ms }, websocket: { maxMessage: 1KiB }`,
    `protocol: tcp, upstream: "127.0.0.1:${silent.port}", deadlines: { idle: 300ms }`,
    `protocol: tcp, upstream: "127.0.0.1:${silent.port}", deadlines: { halfClose: 300ms }`,
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${refuser(t).port}"], retryFor: off }`,
  ])
  const from = (reason: keyof typeof complaints): { from: string } => ({ from: complaints[reason]!.from })
  await connect(t, gate.ports[0]!, { from: HANGS, unread: true })
  await connect(t, gate.ports[1]!, { ...from('write_timeout'), unread: true })
  const garbage = await connect(t, gate.ports[2]!, from('protocol_error'))
  await garbage.write('NONSENSE\r\n\r\n')
  const slow = await connect(t, gate.ports[2]!, from('handshake_timeout'))
  await slow.write('GET / HT')
  await connect(t, gate.ports[3]!, from('idle_timeout'))
  const half = await connect(t, gate.ports[4]!, { ...from('half_close_timeout'), halfOpen: true })
  half.end()
  await connect(t, gate.ports[5]!, from('connect_refused'))
  const big = await rawClient(t, gate.ports[2]!, from('message_too_big'))
  await big.sendFrame({ opcode: 2, payload: Buffer.alloc(2000) })
  await eventually(() => gate.lines.length === Object.keys(complaints).length, {
    what: 'an end of each of them',
    withinMs: 20_000,
  })
  const hangs = [...gate.registry].find(({ client }) => client.ip === HANGS)
  await heldBack(hangs!, 'to_client')
  return gate
}

async function sidegate(gate: Gate, ...args: string[]): Promise<string> {
  const child = spawn(
    process.execPath,
    [CLI, ...args, ...(args[0] === 'explain' ? [] : ['--admin', `127.0.0.1:${gate.adminPort}`])],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: plainEnv(),
    },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${output}`)
  return output
}

test('the page tells of each of these complaints, and of no other', async (t) => {
  const told = page.split('| the complaint |')[1]!.split('\n\n')[0]!
  const reasons = [...told.matchAll(/`(\w+)` by the \w+|`(\w+_timeout)`|`(message_too_big)`/g)].map((match) =>
    match.slice(1).find(Boolean)!,
  )
  t.same([...new Set(reasons)].sort(), Object.keys(complaints).sort())
})

test('with commands: from the complaint to the key', async (t) => {
  const gate = await gateWithComplaints(t)
  const top = await eventually(
    async () => {
      const shown = await sidegate(gate, 'top')
      return Object.keys(complaints).every((reason) => shown.includes(`1 ${reason}`)) ? shown : null
    },
    { what: 'ends in the head of top', withinMs: 60_000 },
  )
  t.match(top, /running, up .*, memory /)
  t.match(await sidegate(gate, 'config', '--error'), /./)

  const stalled = await eventually(
    async () => {
      const rows = (await sidegate(gate, 'top', '--state', 'stalled'))
        .split('\n')
        .filter((line) => / l\d /.test(line))
      return rows.length === 0 ? null : rows
    },
    { what: 'a second in which nothing was taken', withinMs: 60_000 },
  )
  t.equal(stalled.length, 1)
  t.match(stalled[0], new RegExp(`${HANGS}:\\d+ .* the client to take .* write_timeout in `))
  const [, id = ''] = /^ *(\d+) /.exec(stalled[0]!) ?? []
  t.match(
    await sidegate(gate, 'connections', id),
    /waits for +the client to take .*\nnext +write_timeout by the client/,
  )

  for (const [reason, { from, side, key }] of Object.entries(complaints)) {
    const why = await sidegate(gate, 'why', from)
    t.match(why, `with ${reason}. `, from)
    t.match(why, side === 'sidegate' ? 'Sidegate ended it.' : `It was the ${side}'s doing.`, from)
    if (key !== null) t.match(why, `The key is ${key}`, from)
    t.match(await sidegate(gate, 'explain', reason), reason)
  }
})

test('with the page: from the complaint to the key', needs(CHROMIUM), async (t) => {
  const gate = await gateWithComplaints(t)
  const browser = await openBrowser(t)
  const tab = await openTab(browser, gate.adminPort)
  const ends = tab.page.getByRole('img', { name: /^Ends by reason: / })
  const everyReason = Object.keys(complaints).map((reason) => `(?=.*${reason})`)
  await tells(t, ends, 'aria-label', new RegExp(`^${everyReason.join('')}`))

  await tab.go(`connections?client=${HANGS}`)
  await tab.page.locator('.rows tbody a').click()
  await shows(
    t,
    tab.page.locator('.waiting'),
    /the client to take \d.*write_timeout by the client \(deadlines\.write\)/,
  )

  for (const [reason, { from, key }] of Object.entries(complaints)) {
    await tab.go(`ended?client=${from}`)
    const row = tab.page.locator('.end', { hasText: from })
    await row.click()
    await shows(t, row, new RegExp(reason), from)
    const story = key === null ? '' : `The key is ${key.replace('.', '\\.')}.* `
    await shows(t, tab.page.locator('.story'), new RegExp(`${story}ended`), `${from}, with what happened`)
  }

  await tab.go('configuration')
  await tab.page.getByLabel('Find').fill('listeners[1].deadlines.write')
  await shows(t, tab.page.locator('.keys tbody tr'), /^listeners\[1\]\.deadlines\.write 300ms/)
  t.same(tab.complaints, [])
})
