// The commands that only look: each asks one route of a real gate.

import { test } from 'tap'
import { startGate } from '../../support/gate.ts'
import { h2Service } from '../../support/h2-services.ts'
import { connect, echo, refuser } from '../../support/peers.ts'
import { eventually } from '../../support/eventually.ts'
import { fakeGate, openGate, sidegate } from './cli.ts'

test('info: version, state, connections, memory, configuration; JSON as it came', async (t) => {
  const { at, gate } = await openGate(t)
  const { code, stdout, stderr } = await sidegate(t, 'info', ...at)
  t.same([code, stderr], [0, ''])
  t.match(
    stdout,
    /^version      \d+\.\d+\.\d+ .*\nstate        running\nup           for .*\nconnections  1: 1 tcp; 1 relay\n/,
  )
  t.match(stdout, /configuration start, applied \d{4}-/)
  await gate.reloadText('listeners: nonsense')
  t.match(
    (await sidegate(t, 'info', ...at)).stdout,
    /refused +a newer one at \d{4}-.*sidegate config --error/,
  )
  t.match(JSON.parse((await sidegate(t, 'info', '--json', ...at)).stdout), {
    state: 'running',
    connections: 1,
  })
})

const ways: Record<string, (redis: string) => { key: string; where: string; why: string }> = {
  'a Redis': (redis) => ({ key: `address: "${redis}"`, where: redis, why: '' }),
  'a Redis that sentinels know': (redis) => ({
    key: `sentinels: ["${redis}"], master: main`,
    where: `main of sentinels ${redis}`,
    why: 'no sentinel can be asked: ',
  }),
  'a cluster': (redis) => ({
    key: `cluster: ["${redis}"]`,
    where: `cluster ${redis}`,
    why: 'no node of the cluster can be asked: ',
  }),
}
for (const [what, way] of Object.entries(ways))
  test(`info and top: ${what} that is away, since when, why, and what holds`, async (t) => {
    const { port } = refuser(t)
    const redis = `127.0.0.1:${port}`
    const { key, where, why } = way(redis)
    const { at } = await openGate(t, `shared: { redis: { ${key}, onUnavailable: closed } }`)
    await eventually(async () => (await sidegate(t, 'info', ...at)).stdout.includes('ECONNREFUSED'), {
      what: 'why it is away',
    })
    t.match(
      (await sidegate(t, 'top', ...at)).stdout.split('\n')[0],
      new RegExp(`; Redis at ${where} is away: only what was granted is let through$`),
      'top says it in the line of the gate',
    )
    t.match(
      (await sidegate(t, 'info', ...at)).stdout,
      new RegExp(
        `\\nfleet        ${where} is away since \\d{4}-.* \\(${why}connect ECONNREFUSED ${redis}\\): only what was granted is let through, of 1 gate\\n`,
      ),
    )
  })

test('listeners: where it listens, and how many are there', async (t) => {
  const { at } = await openGate(t)
  const { code, stdout } = await sidegate(t, 'listeners', ...at)
  t.equal(code, 0)
  t.match(
    stdout,
    new RegExp(`^LISTENER  ADDRESS +PROTO  UPSTREAM +CONNECTIONS\\nl0 +127.0.0.1:\\d+ +tcp +127.* 1\\n$`),
  )
  t.match(JSON.parse((await sidegate(t, 'listeners', '--json', ...at)).stdout), [
    { name: 'l0', connections: 1 },
  ])
})

test('upstreams: the state of each address, what a check and a dial said, who waits', async (t) => {
  const service = await echo(t)
  const gone = refuser(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${gone.port}"], retryFor: off, healthCheck: { type: tcp, interval: 1s, unhealthy: 1 } }`,
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${service.port}"], maxConnections: 1, queueTimeout: 10s }`,
  ])
  const at = ['--admin', `127.0.0.1:${gate.adminPort}`]
  for (const port of [gate.port, gate.ports[1]!, gate.ports[1]!]) await connect(t, port)
  await eventually(async () => /check.*\{.*failed.* [1-9]/.test(await gate.metrics()), {
    what: 'a failed check',
  })
  await gate.end()
  const { code, stdout } = await sidegate(t, 'upstreams', ...at)
  t.equal(code, 0)
  t.match(stdout, /^LISTENER  ADDRESS .*STATE .*OPEN  LAST CHECK .*LAST FAILED DIAL/)
  t.match(stdout, new RegExp(`l0 +127.0.0.1:${gone.port} +unhealthy +0  .*ECONNREFUSED.*, \\d{4}-`))
  t.match(stdout, new RegExp(`l1 +127.0.0.1:${service.port} +unknown +1  - +-\n`))
  t.match(stdout, /l1: 1 wait for a place, 1 for each address\n$/)
  t.match(JSON.parse((await sidegate(t, 'upstreams', '--json', ...at)).stdout), [
    { listener: 'l0', targets: [{ state: 'unhealthy' }] },
    { listener: 'l1', queued: 1 },
  ])
})

test('upstreams: of a service that speaks HTTP/2 its sessions and their streams, those that leave too', async (t) => {
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.write('x')
  })
  const plain = await echo(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`,
    `protocol: tcp, upstream: "127.0.0.1:${plain.port}"`,
  ])
  const at = ['--admin', `127.0.0.1:${gate.adminPort}`]
  const lines = async () => (await sidegate(t, 'upstreams', ...at)).stdout
  t.notMatch(await lines(), /SESSIONS/, 'before the first request')
  const ask = async (): Promise<void> => {
    const client = await connect(t, gate.port)
    await client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.readUntil('x')
  }
  await ask()
  t.match(await lines(), new RegExp(`l0 +127.0.0.1:${service.port} +unknown +1  1, 1 stream `))
  service.sessions[0]!.close()
  await eventually(async () => /1  0 and 1 leaving, 1 stream /.test(await lines()), {
    what: 'GOAWAY to be heard',
  })
  await ask()
  await ask()
  t.match(await lines(), /3  1 and 1 leaving, 3 streams /)
  t.match(await lines(), new RegExp(`l1 +127.0.0.1:${plain.port} +unknown +0  - `))
  t.match(JSON.parse((await sidegate(t, 'upstreams', '--json', ...at)).stdout), [
    { targets: [{ open: 3, sessions: { open: 1, leaving: 1, streams: 3 } }] },
    { targets: [{ sessions: null }] },
  ])
})

test('upstreams: a name that nobody knows is told of', async (t) => {
  const gate = await startGate(t, ['protocol: tcp, upstream: "nowhere:80"'], {
    names: {
      lookup: () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' })),
      refreshMs: 10_000,
    },
  })
  await connect(t, gate.port).catch(() => {})
  await gate.end()
  t.match(
    (await sidegate(t, 'upstreams', '--admin', `127.0.0.1:${gate.adminPort}`)).stdout,
    /l0: the name nowhere is (unresolved|absent): .*ENOTFOUND/,
  )
})

test('config: what is in force, as it would be written; --error says why a newer one is not', async (t) => {
  const { at, gate } = await openGate(t)
  t.match(await sidegate(t, 'config', ...at), { code: 0, stdout: /^health:\n/, stderr: '' })
  t.match(JSON.parse((await sidegate(t, 'config', '--json', ...at)).stdout), { listeners: [{ name: 'l0' }] })
  t.match(await sidegate(t, 'config', '--error', ...at), { code: 0, stdout: /^no error: / })
  await gate.reloadText('listeners: nonsense')
  t.match(await sidegate(t, 'config', '--error', ...at), {
    code: 1,
    stdout: /^refused at \d{4}-.*\ntest\.yaml:1:12 listeners: got nonsense, /,
  })
  t.match(JSON.parse((await sidegate(t, 'config', '--error', '--json', ...at)).stdout), {
    error: { file: 'test.yaml' },
  })
})

test('nothing that a gate says acts on a terminal', async (t) => {
  const bell = '\u001b[2J'
  const { address } = await fakeGate(t, {
    'GET /listeners': [{ name: bell, address: bell, protocol: 'tcp', upstream: bell, connections: 1 }],
    'GET /config': { log: bell },
  })
  for (const command of ['listeners', 'config'])
    t.notMatch((await sidegate(t, command, '--admin', address)).stdout, '\u001b', command)
})

test('health asks where it is told, or there where the admin server says', async (t) => {
  const { gate, at } = await openGate(t)
  t.match(await sidegate(t, 'health', '--health', `127.0.0.1:${gate.healthPort}`), {
    code: 0,
    stdout: /^ready\n/,
  })
  const told = await fakeGate(t, { 'GET /config': { health: { address: `127.0.0.1:${gate.healthPort}` } } })
  t.match(await sidegate(t, 'health', '--admin', told.address), { code: 0, stdout: /^ready\n/ })
  t.same(told.asked, ['GET /config'])
  // What is in force here says port 0, at which nobody listens.
  t.match(await sidegate(t, 'health', ...at), { code: 1, stderr: /cannot reach a gate at 127\.0\.0\.1:0/ })
})

test('what a gate does not understand is wrong usage', async (t) => {
  const { address } = await fakeGate(
    t,
    { 'GET /connections?client=x&limit=100&sort=age': { error: 'no' } },
    400,
  )
  t.match(await sidegate(t, 'connections', '--client', 'x', '--admin', address), {
    code: 64,
    stderr: /said 400: no\ntry: sidegate connections --help\n$/,
  })
})
