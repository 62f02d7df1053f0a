// Eight workers under a low limit of descriptors: as many connections as the gate says that it holds are open at a time, and the next
// ones are refused. Without a descriptor left, libuv lets clients go without a word, or a thread turns in vain.

import { test } from 'tap'
import { readdirSync } from 'node:fs'
import { eventually } from '../support/eventually.ts'
import { connect, echo } from '../support/peers.ts'
import { runProgram } from './program.ts'

const DESCRIPTORS = 420
const LISTENERS = 10
const LONG = { withinMs: 60_000 }

test(
  'as many connections as the gate holds are served, with eight workers as with one, and more are refused',
  { timeout: 100_000 },
  async (t) => {
    const service = await echo(t)
    const program = await runProgram(
      t,
      Array.from({ length: LISTENERS }, () => `protocol: tcp, upstream: "127.0.0.1:${service.port}"`),
      { top: 'workers: 8', under: ['prlimit', `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`] },
    )
    const limit = (await program.metrics()).get('sidegate_connections_limit', { listener: 'l0' })!
    t.ok(limit > 20, `${limit} connections`)
    const ask = async (nth: number): Promise<string> => {
      const wire = await connect(t, program.ports[nth % LISTENERS]!)
      await wire.write('ok')
      return String(await wire.read(2, LONG))
    }
    for (let nth = 0; nth < limit; nth++) t.equal(await ask(nth), 'ok')
    t.ok(readdirSync(`/proc/${program.pid}/fd`).length < DESCRIPTORS - 40, 'with some to spare')
    for (let nth = 0; nth < 8; nth++) await t.rejects(ask(nth))
    await eventually(
      async () =>
        (await program.metrics()).sum('sidegate_connections_rejected_total', { reason: 'too_many' }) === 8,
      LONG,
    )
  },
)
