// Workers of the built program that end again and again: four times in a minute no other connection notices,
// the fifth time the process ends, so that its supervisor sees it.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { connect, echo } from '../support/peers.ts'
import { runProgram } from './program.ts'
import type { Program } from './program.ts'

const LONG = { withinMs: 30_000 }
const INTERNAL = 70

async function program(t: Test): Promise<{ program: Program; fault: () => void }> {
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'fault')
  const loaded = new URL('../support/faulty-program.ts', import.meta.url)
  const upstream = await echo(t)
  const started = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
    top: 'workers: 2',
    under: ['env', `NODE_OPTIONS=--import=${loaded.href}`, `SIDEGATE_TEST_FAULT=${file}`],
  })
  return { program: started, fault: () => writeFileSync(file, '') }
}

const saw = ({ lines }: Program, message: string): number =>
  lines.filter((line) => (JSON.parse(line) as { msg: string }).msg === message).length

test('five workers that end within a minute end the process with 70; until then it serves', async (t) => {
  const { program: gate, fault } = await program(t)
  for (let nth = 1; nth <= 4; nth++) {
    fault()
    await eventually(() => saw(gate, 'worker ended') === nth, LONG)
    await eventually(() => saw(gate, 'worker replaced') === nth, LONG)
    t.equal(await gate.status('/readyz'), 200)
    const wire = await connect(t, gate.port)
    await wire.write('x')
    await within(wire.read(1), LONG)
    wire.reset()
  }
  t.equal((await gate.metrics()).get('sidegate_workers_ended_total', {}), 4)
  fault()
  t.equal(await within(gate.exited, LONG), INTERNAL)
  t.equal(saw(gate, 'worker ended'), 5, 'its last lines are written')
  t.equal(saw(gate, 'workers end faster than it helps to replace them: the process ends'), 1)
})
