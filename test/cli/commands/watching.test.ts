import { test } from 'tap'
import { fakeGate, openGate, sidegate } from './cli.ts'

test('connections: a table, JSON, and one in full', async (t) => {
  const { at, id } = await openGate(t)
  const table = await sidegate(t, 'connections', ...at, '--listener', 'l0')
  t.match(table, {
    code: 0,
    stderr: '',
    stdout: new RegExp(`^ID  LISTENER .*QUEUED\\n *${id}  l0 +tcp +127`),
  })
  t.match(await sidegate(t, 'connections', ...at, '--client', '192.0.2.1'), { code: 0, stdout: /^ID .*\n$/ })
  t.match(JSON.parse((await sidegate(t, 'connections', '--json', ...at)).stdout), [
    { id, protocol: 'tcp', toUpstream: { received: 5 } },
  ])
  t.match(await sidegate(t, 'connections', String(id), ...at), {
    code: 0,
    stdout: /waits for    data either way\nnext         idle_timeout by Sidegate in (59m|1h00m)/,
  })
  t.match(JSON.parse((await sidegate(t, 'connections', String(id), '--json', ...at)).stdout), {
    id,
    waitsFor: 'data either way',
    nextDeadline: { key: 'deadlines.idle' },
  })
})

test('connections --sort rate looks twice where the first look has nothing to compare with', async (t) => {
  const { at } = await openGate(t)
  t.match(await sidegate(t, 'connections', '--sort', 'rate', ...at), { code: 0, stdout: /0 B\/s/ })
})

test('top prints once where there is no terminal', async (t) => {
  const { at, id } = await openGate(t)
  t.match(await sidegate(t, 'top', ...at), {
    code: 0,
    stderr: '',
    stdout: new RegExp(
      `^sidegate \\S+ at 127.* running, up .*, memory .*\\n1 connection: 1 tcp; 1 relay; sorted by age\\nended in 15 minutes: none\\n\\nID .* WAITS FOR +NEXT\\n *${id} .* data either way +idle_timeout in `,
    ),
  })
  t.match(JSON.parse((await sidegate(t, 'top', '--json', ...at)).stdout), {
    info: { state: 'running', connections: 1 },
    connections: [{ id }],
  })
})

test('top counts who was refused beside what has ended', async (t) => {
  const column = (name: string, reason: string, values: number[]) => ({
    name,
    labels: { reason },
    kind: 'count',
    values,
  })
  const gate = await fakeGate(t, {
    'GET /info': { version: '1', state: 'running', uptimeMs: 1000, connections: 0, memory: null },
    'GET /connections?limit=7&sort=age&wait=1': [],
    'GET /series?after=0': {
      stepMs: 5000,
      last: 2,
      at: ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:05.000Z'],
      columns: [column('ended', 'eof', [3, 4]), column('refused', 'too_many', [0, 38])],
    },
  })
  t.match(await sidegate(t, 'top', '--limit', '7', '--admin', gate.address), {
    code: 0,
    stdout: /^ended in 15 minutes: 38 refused with too_many, 7 eof$/m,
  })
})

test('kill ends a connection; one that is not there is a no', async (t) => {
  const { at, id, gate } = await openGate(t)
  t.match(await sidegate(t, 'kill', String(id), ...at), {
    code: 0,
    stdout: new RegExp(`^killed: connection ${id}, tcp, 127`),
  })
  t.match(await gate.end(), { reason: 'killed' })
  t.match(await sidegate(t, 'kill', String(id), ...at), {
    code: 1,
    stdout: '',
    stderr: /said 404: no such connection/,
  })
})

test('log looks at the level and changes it for a while', async (t) => {
  const { at } = await openGate(t)
  t.match(await sidegate(t, 'log', ...at), { code: 0, stdout: 'the log level is info\n' })
  t.match(await sidegate(t, 'log', 'debug', '--for', '5m', ...at), {
    code: 0,
    stdout: /^the log level is debug; back to info at \d{4}-.*Z\n$/,
  })
  t.match(JSON.parse((await sidegate(t, 'log', '--json', ...at)).stdout), {
    level: 'debug',
    goesBackTo: 'info',
  })
  t.match(await sidegate(t, 'log', 'loud', ...at), {
    code: 64,
    stderr: /the level must be one of error, warn, info, debug, not "loud"/,
  })
})

test('several gates are one table with a column for the gate, and one that is gone is told of', async (t) => {
  const one = await openGate(t)
  const other = await openGate(t)
  const both = [...one.at, ...other.at]
  for (const command of ['top', 'connections']) {
    const { code, stdout } = await sidegate(t, command, ...both)
    t.equal(code, 0)
    t.match(stdout, /^GATE +ID /m, command)
    for (const { gate, id } of [one, other])
      t.match(stdout, new RegExp(`^127\\.0\\.0\\.1:${gate.adminPort} +${id} `, 'm'), command)
  }
  await other.gate.operator.stop()
  const { code, stdout } = await sidegate(t, 'top', ...both)
  t.equal(code, 0, 'the other one is there')
  t.match(stdout, new RegExp(`cannot reach a gate at 127\\.0\\.0\\.1:${other.gate.adminPort}`))
  t.match(
    await sidegate(t, 'connections', ...both),
    { code: 1, stderr: /cannot reach a gate/ },
    'half a list is none',
  )
  t.match(await sidegate(t, 'connections', '1', ...both), { code: 64, stderr: /one gate/ })
})

test('several gates of which none is there are told of in one line', async (t) => {
  const { code, stderr } = await sidegate(t, 'top', '--admin', '127.0.0.1:1', '--admin', '127.0.0.1:2')
  t.equal(code, 1)
  t.match(
    stderr,
    /^sidegate: cannot reach a gate at 127\.0\.0\.1:1: .*; cannot reach a gate at 127\.0\.0\.1:2: [^\\]*\n$/,
  )
})

test('a client that is none and a listener that is none are refused', async (t) => {
  const { at } = await openGate(t)
  t.match(await sidegate(t, 'connections', '--client', '10.0.0', ...at), {
    code: 64,
    stderr: /client must be an address such as 10\.0\.0\.7, with its port or without, or a network/,
  })
  t.match(await sidegate(t, 'connections', '--listener', 'l1', ...at), {
    code: 64,
    stderr: /no such listener, known are l0/,
  })
  t.match(await sidegate(t, 'connections', '--client', '127.0.0.0/8', ...at), { code: 0, stdout: / l0 / })
  t.match(await sidegate(t, 'top', '--state', 'stalled', ...at), { code: 0, stdout: /only stalled/ })
})
