import { test } from 'tap'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { eventually, within } from '../support/eventually.ts'
import { connect, echo, flooder } from '../support/peers.ts'
import { trickleReader } from '../support/processes.ts'
import { rawClient, wsServer } from '../support/websocket.ts'
import { runProgram } from './program.ts'

const open = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** The limit bounds the numbers of descriptors, and those in use have gaps. */
function limitThatLeaves(pid: number, free: number): number {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number))
  let limit = 0
  for (let left = free; left > 0 || used.has(limit); limit += 1) if (!used.has(limit)) left -= 1
  return limit
}

function limitTo(pid: number, descriptors: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${descriptors}:`])
}

test('with no descriptor left what is open goes on, health answers, and accepting recovers by itself', async (t) => {
  const upstream = await echo(t)
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const inside = await connect(t, program.port)
  await inside.write('before')
  await inside.read(6)
  // A kept-alive connection: the health server needs no new descriptor for it.
  const probe = await connect(t, program.healthPort)
  const ask = async (): Promise<string> => {
    void probe.write('GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n')
    return (await probe.readUntil('ok\n')).toString()
  }
  t.match(await ask(), /^HTTP\/1.1 200/)
  limitTo(program.pid, limitThatLeaves(program.pid, 0))
  const outside = await Promise.allSettled(Array.from({ length: 30 }, () => connect(t, program.port)))
  const ended = outside.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value.closed] : []))
  await within(Promise.all(ended), { what: 'those outside to be let go' })
  await inside.write('during')
  t.equal((await inside.read(6)).toString(), 'during')
  t.match(await ask(), /^HTTP\/1.1 200/)
  limitTo(program.pid, 1024)
  const after = await connect(t, program.port)
  await after.write('after')
  t.equal((await after.read(5)).toString(), 'after')
})

test('with one descriptor left a client is accepted and its dial ends with connect_failed, EMFILE', async (t) => {
  const upstream = await echo(t)
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  // The first accept and the first dial of a process may open descriptors that stay.
  const first = await connect(t, program.port)
  await first.write('x')
  await first.read(1)
  limitTo(program.pid, limitThatLeaves(program.pid, 1))
  // The RST may come before the socket has reported that it is connected.
  const outcome = connect(t, program.port).then(
    ({ closed }) => closed,
    () => ({ kind: 'reset' }),
  )
  t.match(await within(outcome), { kind: 'reset' })
  const closed = (): Record<string, unknown> | undefined =>
    program.lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .find(({ msg }) => msg === 'connection closed')
  t.match(await eventually(closed), {
    close: 'connect_failed',
    side: 'upstream',
    phase: 'connect',
    detail: 'EMFILE',
  })
  await first.write('still')
  t.equal((await first.read(5)).toString(), 'still')
})

test('refused clients that linger do not use up the descriptors of those that are served', async (t) => {
  const service = await wsServer(t)
  const program = await runProgram(t, [`protocol: http, upstream: "127.0.0.1:${service.port}"`], {
    under: ['prlimit', '--nofile=328:328'],
  })
  const fits = (328 - 128) / 2
  const inside = await Promise.all(Array.from({ length: fits }, () => rawClient(t, program.port)))
  t.equal(
    (await program.metrics()).get('sidegate_connections', { side: 'client', protocol: 'websocket' }),
    fits,
  )
  const outside = await Promise.allSettled(
    Array.from({ length: 300 }, () => connect(t, program.port, { halfOpen: true })),
  )
  const refused = outside.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []))
  await eventually(() => refused.every(({ hasEnded, outcome }) => hasEnded || outcome !== null))
  t.ok(open(program.pid) < 328 - 64, `${open(program.pid)} descriptors are open`)
  t.equal(await program.status('/readyz'), 200)
  await inside[0]!.sendFrame({ opcode: 1, payload: Buffer.from('still') })
  t.equal((await inside[0]!.nextFrame()).payload.toString(), 'still')
})

test('with no descriptor left a slow reader outlives its write deadline: the look into the kernel has its own', async (t) => {
  const upstream = await flooder(t)
  const program = await runProgram(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 1500ms }`,
  ])
  const reader = await trickleReader(t, program.port, { bytes: 2000, everyMs: 5, rcvbuf: 65_536 })
  const seen = await upstream.connection()
  limitTo(program.pid, limitThatLeaves(program.pid, 0))
  const start = performance.now()
  // Without answers a verdict waits for forty sweeps, which are eight seconds here.
  await eventually(() => seen.outcome !== null || performance.now() - start > 12_000, { withinMs: 40_000 })
  t.equal(seen.outcome, null, program.lines.join('\n'))
  reader.trickle(1, 60_000)
  t.match(await within(seen.closed, { withinMs: 20_000 }), { kind: 'reset' }, 'once it stops, it is ended')
})
