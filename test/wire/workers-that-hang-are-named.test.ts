// A worker that hangs, or has ended, and an operator who asks: each command ends within seconds, and says what
// its answer lacks. Without a word a listing of the other workers looks like all connections.

import { test } from 'tap'
import type { Test } from 'tap'
import { ask } from '../admin/admin.ts'
import { sidegate } from '../cli/commands/cli.ts'
import type { Ran } from '../cli/commands/cli.ts'
import type { Info } from '../../src/admin/types.ts'
import { eventually, within } from '../support/eventually.ts'
import { bring, holdStill } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { threadFile } from '../support/threads.ts'

const LONG = { withinMs: 60_000 }
const HUNG = 1
const SILENT = /worker 1 does not answer: its connections and ends are left out/

interface Client {
  wire: Wire
  id: number
  name: string
}

/** A gate of two workers with some connections in each. */
async function setUp(t: Test): Promise<{ gate: Gate; clients: Client[] }> {
  watchLeaks(t, LONG)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
    workers: 2,
    threadFile: threadFile('faulty-thread'),
  })
  const clients: Client[] = []
  const countOf = (worker: number): number => clients.filter(({ id }) => id % 2 === worker).length
  while (countOf(0) < 2 || countOf(1) < 2) {
    const wire = await connect(t, gate.port)
    await wire.write('x')
    await wire.read(1)
    const rows = JSON.parse((await ask(gate.adminPort, '/connections', {}, 'GET')).body) as Array<{
      id: number
      client: string
    }>
    const row = rows.find(({ id }) => clients.every((one) => one.id !== id))!
    clients.push({ wire, id: row.id, name: row.client })
  }
  return { gate, clients }
}

const infoOf = async ({ adminPort }: Gate): Promise<Info> =>
  JSON.parse((await ask(adminPort, '/info', {}, 'GET')).body) as Info

/** Each command, its exit code, and what it says. */
type Said = ReadonlyArray<readonly [args: string[], code: number, words: RegExp]>

async function say(t: Test, gate: Gate, said: Said): Promise<void> {
  const at = ['--admin', `127.0.0.1:${gate.adminPort}`]
  const ran = (args: string[]): Promise<Ran> => within(sidegate(t, ...args, ...at), LONG)
  for (const [index, answer] of (await Promise.all(said.map(([args]) => ran(args)))).entries()) {
    const [args, code, words] = said[index]!
    t.equal(answer.code, code, args.join(' '))
    t.match(answer.stdout + answer.stderr, words, args.join(' '))
  }
}

test('each command ends while a worker hangs, and says what is left out', { timeout: 120_000 }, async (t) => {
  const { gate, clients } = await setUp(t)
  const [asked, killed] = clients.filter(({ id }) => id % 2 === HUNG)
  const kept = clients.filter(({ id }) => id % 2 !== HUNG)
  t.match(await infoOf(gate), { workers: { count: 2, silent: [], lastEnd: null } })
  const letGo = holdStill(HUNG)
  t.teardown(letGo)
  const directory = t.testdir()
  await say(t, gate, [
    [['top'], 0, SILENT],
    [['info'], 0, SILENT],
    [['connections'], 0, SILENT],
    [['recent'], 0, SILENT],
    [['why', asked!.name], 0, SILENT],
    [['upstreams'], 0, SILENT],
    [['listeners'], 0, SILENT],
    [['advise'], 0, SILENT],
    [['connections', String(asked!.id)], 1, /said 504: its worker does not answer; ask again/],
    [['kill', String(kept[0]!.id)], 0, /^killed: connection/],
    [['profile', 'cpu', '--seconds', '1', '--worker', '1', '-o', `${directory}/p`], 1, /said 504: worker 1 /],
  ])
  t.match(await infoOf(gate), { workers: { silent: [HUNG] } })
  const order = /said 504: its worker does not answer; .* It has the order/
  await say(t, gate, [[['kill', String(killed!.id)], 1, order]])
  letGo()
  await within(killed!.wire.closed, LONG)
  await eventually(async () => (await infoOf(gate)).workers!.silent.length === 0, LONG)
  await asked!.wire.write('y')
  t.equal((await within(asked!.wire.read(1), LONG)).toString(), 'y', 'nothing else happened to it')
  await say(t, gate, [[['connections'], 0, new RegExp(`\\n +${asked!.id} (?!.*does not answer)`, 's')]])
})

test('what ended with a worker is told where a client is asked for', { timeout: 120_000 }, async (t) => {
  const { gate, clients } = await setUp(t)
  const lost = clients.filter(({ id }) => id % 2 === HUNG)
  bring({ worker: HUNG, kind: 'exit' })
  await eventually(async () => (await infoOf(gate)).workers!.lastEnd !== null, LONG)
  const words = new RegExp(
    `Worker 1 ended at \\d\\d:\\d\\d:\\d\\d UTC with ${lost.length} connections \\(.*\\)`,
  )
  await say(t, gate, [
    [['why', lost[0]!.name], 0, words],
    [['recent'], 0, words],
    [['info'], 0, words],
    [['connections', String(lost[0]!.id)], 1, /404: no such connection/],
    [['kill', String(lost[0]!.id)], 1, /404: no such connection/],
  ])
})

test('a drain, and its end, are not held up by a worker that hangs', { timeout: 120_000 }, async (t) => {
  const { gate, clients } = await setUp(t)
  t.teardown(holdStill(HUNG))
  await say(t, gate, [[['drain'], 0, /^draining: not ready/]])
  t.equal(gate.operator.drainState, 'announced')
  await say(t, gate, [[['drain', '--undo'], 0, /^not draining any more/]])
  const drained = gate.operator.drain('SIGINT', { timeoutMs: 300 })
  await within(drained, LONG)
  for (const { wire } of clients.filter(({ id }) => id % 2 !== HUNG)) await within(wire.closed, LONG)
})
