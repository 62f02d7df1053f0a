// The running gate without descriptors, when it is to change: a reload leaves what is there and is made up for, and a drain ends as ever.

import { test } from 'tap'
import type { Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { leave, limitTo, used } from '../support/descriptors.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect, echo } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { configFile, freePorts, runFile } from './program.ts'
import type { Program } from './program.ts'

const LONG = { withinMs: 30_000 }
/** Up to as many as the check of a configuration takes: one at a time is missing. */
const FREE = 12

async function talk(wire: Wire): Promise<string> {
  await wire.write('ok')
  return String(await wire.read(2, LONG))
}

/** A gate with a listener and a client; `write` gives its file another listener. */
async function start(t: Test, workers: number) {
  const service = await echo(t)
  const [health, admin, port, later] = freePorts(4) as [number, number, number, number]
  const listener = (name: string, at: number): string =>
    `  - { name: ${name}, address: "127.0.0.1:${at}", protocol: tcp, upstream: "127.0.0.1:${service.port}" }\n`
  const head = `workers: ${workers}
drain: { minDuration: 100ms, spread: off, timeout: 20s, tcp: wait }
health: { address: "127.0.0.1:${health}" }
admin: { address: "127.0.0.1:${admin}" }
listeners:
${listener('first', port)}`
  const file = configFile(t, head)
  const program = await runFile(t, file, { ports: [health, admin, port] })
  const wire = await connect(t, port)
  t.equal(await talk(wire), 'ok')
  return { program, wire, later, write: () => writeFileSync(file, head + listener('later', later)) }
}

const saying = ({ lines }: Program, what: RegExp): string[] => lines.filter((line) => what.test(line))

for (const workers of [1, 2]) {
  test(`a reload for which there is no descriptor says so, changes nothing, and is made up for; workers: ${workers}`, async (t) => {
    const { program, wire, later, write } = await start(t, workers)
    const { pid } = program
    let failures = 0
    for (let free = 0; free < FREE && saying(program, /"reloaded"/).length === 0; free++) {
      leave(pid, free)
      write()
      program.child.kill('SIGHUP')
      const isOver = (): boolean => saying(program, /"reload failed|"reloaded"/).length > failures
      await eventually(isOver, { what: `a reload with ${free} descriptors`, ...LONG })
      failures = saying(program, /"reload failed/).length
      t.equal(await talk(wire), 'ok')
    }
    t.ok(failures > 1)
    t.same(
      saying(program, /"reload failed/).filter((line) => !line.includes('EMFILE')),
      [],
    )
    t.same(saying(program, /this is a bug/), [])
    limitTo(pid, 1024)
    // The same file, at which the gate looks again.
    write()
    await eventually(async () => (await connect(t, later).then(talk, () => '')) === 'ok', LONG)
    t.equal(await talk(wire), 'ok')
    const before = used(pid)
    program.child.kill('SIGHUP')
    await eventually(() => saying(program, /"reloaded"/).length > 1, LONG)
    await eventually(() => used(pid) <= before, {
      what: 'no descriptor of a failed reload to be left',
      ...LONG,
    })
  })

  test(`a drain without a descriptor waits for its clients, and ends well; workers: ${workers}`, async (t) => {
    const { program, wire } = await start(t, workers)
    leave(program.pid, 0)
    program.child.kill('SIGTERM')
    await eventually(() => saying(program, /"drain: listeners closed"/).length === 1, LONG)
    t.equal(await talk(wire), 'ok')
    wire.end()
    t.equal(await within(program.exited, LONG), 0)
    t.match(JSON.parse(saying(program, /"drain finished"/)[0]!), { forced: 0, cut: 0 })
    t.same(saying(program, /this is a bug|internal_error|"level":"error"/), [])
  })
}
