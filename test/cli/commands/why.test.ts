import { test } from 'tap'
import { eventually } from '../../support/eventually.ts'
import { startGate } from '../../support/gate.ts'
import { watchLeaks } from '../../support/leaks.ts'
import { connect, echo } from '../../support/peers.ts'
import { fakeGate, sidegate } from './cli.ts'

async function gateWithAnEnd(t: Parameters<typeof startGate>[0]) {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 300ms }`,
  ])
  const client = await connect(t, gate.port, { from: '127.0.0.7' })
  void client.write('x')
  await gate.end()
  return { gate, admin: `127.0.0.1:${gate.adminPort}`, upstream }
}

test('recent lists what has ended, and takes the words of its route', async (t) => {
  const { admin } = await gateWithAnEnd(t)
  const table = await sidegate(t, 'recent', '--admin', admin)
  t.equal(table.code, 0)
  t.match(table.stdout, /^ENDED +ID +LISTENER +CLIENT +REASON +SIDE +LASTED +IN +OUT +DETAIL\n/)
  t.match(
    table.stdout,
    /\n\d\d:\d\d:\d\d +1 +l0 +127\.0\.0\.7:\d+ +idle_timeout +sidegate +\d+\.\ds +1 B +1 B +no data for/,
  )
  const json = await sidegate(
    t,
    'recent',
    '--admin',
    admin,
    '--reason',
    'idle_timeout',
    '--client',
    '127.0.0.7',
    '--json',
  )
  t.match(JSON.parse(json.stdout), [{ id: 1, reason: 'idle_timeout' }])
  t.equal(
    (await sidegate(t, 'recent', '--admin', admin, '--reason', 'eof')).stdout,
    'nothing that fits has ended lately\n',
  )
  const refused = await sidegate(t, 'recent', '--admin', admin, '--reason', 'nonsense')
  t.equal(refused.code, 64)
  t.match(refused.stderr, /--reason must be one of/)
})

test('why tells in sentences, with the value in force, and what is still open', async (t) => {
  const { gate, admin, upstream } = await gateWithAnEnd(t)
  const told = await sidegate(t, 'why', '127.0.0.7', '--admin', admin)
  t.equal(told.code, 0)
  t.match(
    told.stdout,
    /^Connection 1 of 127\.0\.0\.7:\d+, a TCP connection on l0 to 127\.0\.0\.1:\d+, ended at .* with idle_timeout\. Sidegate ended it\.\n/,
  )
  t.match(told.stdout, /\nThe key is deadlines\.idle \(300ms\)\.\n/)
  t.match(told.stdout, /\n {2}[\d:.]+ +\+0ms {2}accepted: 127\.0\.0\.7:\d+\n/)
  await gate.reload([`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port, { from: '127.0.0.8' })
  await eventually(() => gate.registry.size === 1)
  const other = await sidegate(t, 'why', '127.0.0.8', '--admin', admin)
  t.match(
    other.stdout,
    /^None of the connections that ended lately is of 127\.0\.0\.8\..*\nOne connection of 127\.0\.0\.8 is open:/,
  )
  client.end()
  const json = await sidegate(t, 'why', '127.0.0.7', '--admin', admin, '--json')
  t.match(JSON.parse(json.stdout), [{ id: 1, why: [/^Connection 1/] }])
})

test('why passes over orderly ends where there are others, and counts them', async (t) => {
  const end = (id: number, reason: string) => ({
    id,
    listener: 'app',
    protocol: 'http',
    client: '10.0.0.7:1',
    upstream: null,
    reason,
    side: 'client',
    phase: 'relay',
    detail: null,
    cut: false,
    count: 1,
    started: '2026-01-01T00:00:00.000Z',
    ended: '2026-01-01T00:00:01.000Z',
    durationMs: 1000,
    timeline: [],
  })
  const ends = [end(5, 'eof'), end(4, 'aborted'), end(3, 'eof'), end(2, 'reset'), end(1, 'aborted')]
  const gate = await fakeGate(t, {
    'GET /recent?client=10.0.0.7&limit=10000': ends,
    'GET /recent?client=10.0.0.8&limit=10000': [ends[0], ends[2]],
    'GET /config': {},
    'GET /connections?client=10.0.0.7&limit=10000': [],
    'GET /connections?client=10.0.0.8&limit=10000': [],
  })
  const of = async (...args: string[]) =>
    (await sidegate(t, 'why', ...args, '--admin', gate.address)).stdout
      .split('\n')
      .filter((line) => /^(Connection|Of) /.test(line))
      .map((line) => /^Connection \d+/.exec(line)?.[0] ?? line)
  t.same(await of('10.0.0.7', '--limit', '2'), [
    'Of 10.0.0.7 the gate remembers 2 eof, 2 aborted, 1 reset. These are the last 2 that are not eof; sidegate recent --client 10.0.0.7 lists all.',
    'Connection 4',
    'Connection 2',
  ])
  t.same(await of('10.0.0.8', '--limit', '1'), [
    'Of 10.0.0.8 the gate remembers 2 eof. This is the last one; sidegate recent --client 10.0.0.8 lists all.',
    'Connection 5',
  ])
  t.same(await of('10.0.0.8'), ['Connection 5', 'Connection 3'])
  t.match(await sidegate(t, 'why', 'x', '--limit', 'all', '--admin', gate.address), {
    code: 64,
    stderr: /--limit must be 1 to 10000/,
  })
})

test('why says how it is called, and survives what is no client', async (t) => {
  const gate = await fakeGate(t, {
    'GET /recent?client=x&limit=10000': [],
    'GET /config': {},
    'GET /connections?client=x&limit=10000': [],
    'GET /info': {},
  })
  t.match(await sidegate(t, 'why', '--admin', gate.address), { code: 64, stderr: /why takes one client/ })
  t.match(await sidegate(t, 'why', 'x', '--admin', gate.address), {
    code: 0,
    stdout: /^None of the connections/,
  })
})
