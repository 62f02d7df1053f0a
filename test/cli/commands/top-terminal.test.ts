import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'tap'
import type { Test } from 'tap'
import { CLI } from '../../support/command.ts'
import { eventually } from '../../support/eventually.ts'
import { connect } from '../../support/peers.ts'
import { plainEnv } from '../../support/plain-env.ts'
import { needs } from '../../support/tools.ts'
import { openGate } from './cli.ts'

const wait = { withinMs: 20_000 }

for (const [name, quit] of [
  ['q', 'q'],
  ['Ctrl-C', '\u0003'],
] as const) {
  test(
    `in a terminal top refreshes, takes keys, and gives the terminal back on ${name}`,
    needs('script'),
    async (t) => {
      const { at, gate } = await openGate(t)
      // `script` gives it a terminal.
      const child = spawn(
        'script',
        ['-qec', `"${process.execPath}" "${CLI}" top ${at.join(' ')}`, '/dev/null'],
        { stdio: 'pipe', env: plainEnv() },
      )
      t.teardown(() => child.kill('SIGKILL'))
      const closed = once(child, 'close') as Promise<[number]>
      let seen = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text))
      await eventually(() => seen.includes('sorted by age'), { ...wait, what: 'the first screen' })
      t.ok(seen.startsWith('\u001b[?1049h\u001b[?25l'), 'on the alternate screen, without a cursor')
      child.stdin.write('r')
      await eventually(() => seen.includes('sorted by rate'), { ...wait, what: 'the order of a key' })
      child.stdin.write('\u001b[D')
      await eventually(() => seen.includes('sorted by buffered'), { ...wait, what: 'the order of an arrow' })
      gate.open().owner?.close({ reason: 'killed', side: 'sidegate', phase: 'relay' })
      await eventually(() => seen.includes('0 connections'), { ...wait, what: 'a refresh' })
      child.stdin.write(quit)
      t.equal((await closed)[0], 0)
      t.ok(seen.trimEnd().endsWith('\u001b[?25h\u001b[?1049l'), 'given back')
    },
  )
}

/** top of that gate in a terminal, and what it has written so far. */
function inTerminal(
  t: Test,
  at: string[],
  columns = 200,
): { struck: (keys: string) => void; seen: () => string; closed: Promise<[number]> } {
  const child = spawn(
    'script',
    ['-qec', `stty cols ${columns} rows 30; "${process.execPath}" "${CLI}" top ${at.join(' ')}`, '/dev/null'],
    { stdio: 'pipe', env: plainEnv() },
  )
  t.teardown(() => child.kill('SIGKILL'))
  let seen = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text))
  return {
    struck(keys) {
      seen = ''
      child.stdin.write(keys)
    },
    seen: () => seen,
    closed: once(child, 'close') as Promise<[number]>,
  }
}

test('one is chosen, opened, and ended after a question', needs('script'), async (t) => {
  const { at, gate, id, port } = await openGate(t).then((it) => ({ ...it, port: it.gate.port }))
  const second = await connect(t, port)
  await second.write('hello')
  await second.read(5)
  const { struck, seen, closed } = inTerminal(t, at)
  // A screen may come in pieces.
  await eventually(() => /WAITS FOR[^]*data either way +idle_timeout in /.test(seen()), {
    ...wait,
    what: 'the table',
  })
  struck('\u001b[B')
  await eventually(() => seen().includes('\u001b[7m'), { ...wait, what: 'the second row is marked' })
  struck('\r')
  await eventually(() => seen().includes('first byte from client'), {
    ...wait,
    what: 'the one that was chosen',
  })
  t.match(seen(), `connection   ${id + 1}, tcp on l0`)
  struck('x')
  await eventually(() => seen().includes(`end connection ${id + 1} of 127.0.0.1`), {
    ...wait,
    what: 'the question',
  })
  struck('n')
  await eventually(() => seen().includes('escape back'), { ...wait, what: 'nothing was done' })
  t.equal(gate.registry.size, 2)
  struck('xy')
  await eventually(() => seen().includes(`connection ${id + 1} was ended`), {
    ...wait,
    what: 'what became of it',
  })
  t.match(await gate.end(), { reason: 'killed' })
  struck('\u001b')
  await eventually(() => seen().includes('1 connection:'), { ...wait, what: 'the list' })
  struck('e')
  await eventually(() => /ENDED .*REASON/.test(seen()) && seen().includes('killed'), {
    ...wait,
    what: 'what has ended',
  })
  struck('\u001bc')
  await eventually(() => /127\.0\.0\.1 +1 /.test(seen()), { ...wait, what: 'clients' })
  struck('\u001bs')
  await eventually(() => seen().includes('only stalled'), { ...wait, what: 'a state' })
  struck('q')
  t.equal((await closed)[0], 0)
})

test('a narrow terminal has the columns that tell most', needs('script'), async (t) => {
  const { at } = await openGate(t)
  const { struck, seen, closed } = inTerminal(t, at, 80)
  await eventually(() => seen().includes('QUEUED'), { ...wait, what: 'the table' })
  const titles = seen()
    .split('\n')
    .find((line) => line.includes('QUEUED'))!
  t.match(titles, /ID .*CLIENT .*RATE .*QUEUED/)
  t.notMatch(titles, /UPSTREAM|PHASE/)
  struck('q')
  t.equal((await closed)[0], 0)
})
