import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'tap'
import { eventually } from '../../support/eventually.ts'
import { plainEnv } from '../../support/plain-env.ts'
import { needs } from '../../support/tools.ts'
import { openGate } from './cli.ts'

const cli = new URL('../../../src/cli/cli.ts', import.meta.url).pathname
const wait = { withinMs: 20_000 }

for (const [name, quit] of [['q', 'q'], ['Ctrl-C', '\u0003']] as const) {
  test(`in a terminal top refreshes, takes keys, and gives the terminal back on ${name}`, needs('script'), async (t) => {
    const { at, gate } = await openGate(t)
    // `script` gives it a terminal.
    const child = spawn('script', ['-qec', `"${process.execPath}" "${cli}" top ${at.join(' ')}`, '/dev/null'], { stdio: 'pipe', env: plainEnv() })
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
  })
}
