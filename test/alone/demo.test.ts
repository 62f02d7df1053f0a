import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import root, { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'

const cli = new URL('../../dist/cli.js', import.meta.url).pathname
/** In the order of the screen. */
const reasons = [
  'eof',
  'eof',
  'eof',
  'eof',
  'eof',
  'idle_timeout',
  'ping_timeout',
  'write_timeout',
  'handshake_timeout',
  'aborted',
  'protocol_error',
  'message_too_big',
  'rate_limited',
  'rate_limited',
  'protocol_error',
  'denied',
  'too_many',
  'connect_refused',
  'response_timeout',
  'reset',
  'half_close_timeout',
]

/** The show has ports of its own, and runs while the test looks at the ports of --keep: it mostly waits. */
const show = run(root, [], { npm_command: 'run-script' })

test('the demo with --keep says which port is taken', async (t) => {
  const holder = createServer().listen(17_081, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const { status, stdout, stderr } = await run(t, ['--keep']).ended
  t.strictSame([status, stdout], [78, ''])
  t.match(
    stderr,
    'cannot listen on 127.0.0.1:17081: the address is in use, write another, or end what listens there\n--keep needs the ports 17080, 17081, 17021, 17020;',
  )
})

test('the demo with --keep serves until Ctrl-C, then exits 0', async (t) => {
  const demo = run(t, ['--keep'])
  await eventually(() => demo.stdout().includes('Ctrl-C ends it'), {
    withinMs: 60_000,
    what: 'the end of the show',
  })
  t.equal((await fetch('http://127.0.0.1:17021/metrics')).status, 200)
  t.equal((await fetch('http://127.0.0.1:17020/connections')).status, 200)
  demo.interrupt()
  const { status, stdout, stderr } = await demo.ended
  if (status !== 0) t.comment(stdout)
  t.strictSame([status, stderr], [0, ''])
  t.match(stdout, '"msg":"drain finished"')
  t.match(stdout, /^ {2}sidegate explain ping_timeout$/m, 'as it was called')
})

test('the demo shows on one screen how each client and service ended, as expected, and exits 0 by itself', async (t) => {
  const { status, stdout, stderr } = await show.ended
  if (status !== 0) t.comment(stdout)
  t.strictSame([status, stderr], [0, ''])
  const lines = stdout.trimEnd().split('\n')
  t.ok(lines.length <= 47, `${lines.length} lines`)
  t.strictSame(
    lines.filter((line) => line.length > 100),
    [],
  )
  t.notMatch(stdout, '\u001b', 'no colours where nobody looks')
  const rows = lines.filter((line) => /^ok {2}(tcp|ws|h2) /.test(line))
  t.strictSame(
    rows.map((line) => line.slice(46).split(' ')[0]),
    reasons,
  )
  t.match(stdout, /connections_closed_total +\w+ \d/)
  t.match(stdout, 'ok  the log counts the same ends; connections left: 0')
  t.equal(lines.at(-1), 'all 22 as expected; npx --no -- sidegate explain REASON tells more of each')
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const excerpt = readme.split('\n').filter((line) => /^ok {2}/.test(line))
  t.ok(excerpt.length > 5)
  t.strictSame(
    excerpt.filter((line) => !lines.includes(line)),
    [],
    'the excerpt in README.md is real',
  )
})

interface Ended {
  status: number | null
  stdout: string
  stderr: string
}

function run(
  t: Test,
  options: string[],
  environment: NodeJS.ProcessEnv = {},
): { stdout: () => string; interrupt: () => void; ended: Promise<Ended> } {
  const { npm_command: _, ...mine } = process.env
  const child = spawn(process.execPath, [cli, 'demo', ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...mine, ...environment },
  })
  t.teardown(() => child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  const ended = within(once(child, 'close'), { withinMs: 60_000, what: 'the end of the demo' }).then(
    ([status]) => ({ status: status as number | null, stdout, stderr }),
  )
  return { stdout: () => stdout, interrupt: () => void child.kill('SIGINT'), ended }
}
