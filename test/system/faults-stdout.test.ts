import { test } from 'tap'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually, within } from '../support/eventually.ts'
import { connect, echo } from '../support/peers.ts'
import type { Test } from 'tap'
import { temporary } from '../support/tools.ts'
import { runProgram, type Program } from './program.ts'

async function talk(t: Test, program: Program, times: number): Promise<void> {
  for (let done = 0; done < times; done += 50) {
    const clients = await Promise.all(Array.from({ length: 50 }, () => connect(t, program.port)))
    await Promise.all(
      clients.map(async (client) => {
        await client.write('hello')
        await client.read(5)
        client.end()
        await client.closed
      }),
    )
  }
}

/** The process that checked the configuration has ended, and has not made the gate's stdout blocking. */
async function checked({ pid }: Program): Promise<void> {
  await eventually(() => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim() === '', {
    what: 'the child to be gone',
  })
  const flags = Number.parseInt(
    /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/1`, 'utf8'))![1]!,
    8,
  )
  if ((flags & constants.O_NONBLOCK) === 0) throw new Error('its stdout blocks')
}

async function goes(t: Test, program: Program): Promise<void> {
  program.child.kill('SIGINT')
  t.equal(await within(program.exited, { withinMs: 30_000 }), 0)
}

test('a full disk behind stdout neither stops nor ends it, and what was not written is counted', async (t) => {
  const upstream = await echo(t)
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
    stdio: ['ignore', full, 'pipe'],
  })
  await talk(t, program, 200)
  await eventually(async () => ((await program.metrics()).get('sidegate_log_lines_dropped_total') ?? 0) > 0, {
    what: 'drops to be counted',
  })
  await goes(t, program)
})

test('a reader of its log that stalls neither stops nor ends it, and what does not fit is counted', async (t) => {
  const upstream = await echo(t)
  // A blocking pipe, as a container runtime provides it.
  const pipe = join(temporary(t), 'pipe')
  execFileSync('mkfifo', [pipe])
  const stdout = openSync(pipe, 'r+')
  t.teardown(() => closeSync(stdout))
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
    stdio: ['ignore', stdout, 'pipe'],
  })
  await checked(program)
  const before = program.rss()
  const dropped = async (): Promise<number> =>
    (await program.metrics()).get('sidegate_log_lines_dropped_total') ?? 0
  // 1 MiB of lines and the content of the pipe.
  for (let round = 0; round < 12 && (await dropped()) === 0; round += 1) await talk(t, program, 500)
  t.ok((await dropped()) > 0, 'drops are counted')
  const grown = program.rss() - before
  t.ok(grown < 64 * 2 ** 20, `${grown} bytes more than before`)
  await goes(t, program)
})

test('a reader of its log that goes away does not end it', async (t) => {
  const upstream = await echo(t)
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  program.child.stdout!.destroy()
  await talk(t, program, 100)
  t.equal(await program.status('/livez'), 200)
  await goes(t, program)
})
