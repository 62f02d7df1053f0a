import { test, type Test } from 'tap'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, within } from '../support/eventually.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { connect, echo, listen } from '../support/peers.ts'
import { kolmogorovSmirnov } from '../support/uniform.ts'
import { wsClient, wsServer } from '../support/websocket.ts'
import { freePorts, get as ask, runFile, runProgram, type Program } from './program.ts'

function post(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { port, path, host: '127.0.0.1', method: 'POST', agent: false },
      (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => (body += text))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      },
    )
    request.on('error', reject).end()
  })
}

const said = (program: Program, message: string): Record<string, unknown>[] =>
  program.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === message)

const timeOf = (line: Record<string, unknown> | undefined): number => Date.parse(String(line?.['time']))

test('SIGTERM asks 750 clients to go, evenly over drain.spread, resets nobody, and ends with 0', async (t) => {
  const [upstream, service, web] = [await echo(t), await wsServer(t), await recordingUpstream(t)]
  const spreadMs = 6000
  const program = await runProgram(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`,
      `protocol: http, upstream: "127.0.0.1:${service.port}"`,
      `protocol: http, upstream: "127.0.0.1:${web.port}"`,
    ],
    { top: `drain: { minDuration: 2s, spread: ${spreadMs}ms, timeout: 30s, tcp: spread }` },
  )
  const sockets = await Promise.all(
    Array.from({ length: 500 }, () => wsClient(t, `ws://127.0.0.1:${program.ports[1]}`)),
  )
  const wires = await Promise.all(Array.from({ length: 200 }, () => connect(t, program.ports[0]!)))
  const clients = await Promise.all(Array.from({ length: 50 }, () => httpClient(t, program.ports[2]!)))
  for (const client of clients) await client.get(get())
  await eventually(
    async () => (await program.metrics()).sum('sidegate_connections', { side: 'client' }) === 750,
  )
  program.child.kill('SIGTERM')
  await eventually(async () => (await program.status('/readyz')) === 503)
  const late = await connect(t, program.ports[0]!)
  await late.write('late')
  t.equal((await late.read(4)).toString(), 'late', 'it goes on to accept')
  t.equal(await within(program.exited, { withinMs: 40_000 }), 0)
  t.same(
    new Set(
      (await Promise.all(sockets.map(({ closed }) => closed))).map(({ code, reason }) => `${code} ${reason}`),
    ),
    new Set(['1012 drain']),
  )
  const closed = await Promise.all(
    [...wires, late, ...clients.map(({ wire }) => wire)].map((wire) => wire.closed),
  )
  t.same(new Set(closed.map(({ kind }) => kind)), new Set(['fin']))
  await eventually(() => said(program, 'drain finished').length === 1)
  t.match(said(program, 'drain finished'), [{ drained: 751, forced: 0, others: 0 }])
  // Idle ones go first, so only all of them together are uniform. A line comes late where a process stood still, never early.
  const start = timeOf(said(program, 'drain: listeners closed')[0])
  const moments = said(program, 'connection closed').map((line) => timeOf(line) - start)
  t.equal(moments.length, 751)
  const tenths = Array.from({ length: 11 }, (_, nth) => moments[75 * nth])
  t.ok(
    kolmogorovSmirnov(moments, spreadMs, spreadMs / 3) > 1e-6,
    `a tenth each until ${tenths.join(', ')} ms`,
  )
})

test('as the kubelet does it: POST /drain, a hook of the application that waits, and SIGTERM, which then ends it at once', async (t) => {
  const upstream = await echo(t)
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
    top: 'drain: { minDuration: 300ms, spread: 300ms, timeout: 10s, tcp: spread }',
  })
  const client = await connect(t, program.port)
  await client.write('live')
  await client.read(4)
  const hook = ask(program.healthPort, '/drain/wait')
  t.equal((await post(program.adminPort, '/drain')).status, 200)
  await within(client.ended)
  client.end()
  t.equal((await hook).status, 200)
  t.equal(program.child.exitCode, null, 'it stays')
  t.equal((await ask(program.healthPort, '/drain/wait')).status, 200)
  t.match(await post(program.adminPort, '/drain?undo=1'), { status: 409, body: /"finished"/ })
  program.child.kill('SIGTERM')
  t.equal(await within(program.exited), 0)
  t.equal(
    program.lines.filter((line) => line.includes('"drain begins"')).length,
    1,
    'what is drained does not drain again',
  )
})

/** A mounted ConfigMap. */
class Mount {
  readonly path = mkdtempSync(join(tmpdir(), 'sidegate-mount-'))
  readonly file = join(this.path, 'sidegate.yaml')
  #nth = 0

  constructor(t: Test, text: string) {
    t.teardown(() => rmSync(this.path, { recursive: true, force: true }))
    this.swap(text)
    symlinkSync('..data/sidegate.yaml', this.file)
  }

  /** Swaps the files as the kubelet does: a new directory, a new symlink, one rename, and the old directory goes. */
  swap(text: string): void {
    const [old, fresh] = [`..2026_${this.#nth}`, `..2026_${++this.#nth}`]
    mkdirSync(join(this.path, fresh))
    writeFileSync(join(this.path, fresh, 'sidegate.yaml'), text)
    symlinkSync(fresh, join(this.path, '..data_tmp'))
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'))
    rmSync(join(this.path, old), { recursive: true, force: true })
  }
}

test('a ConfigMap that is swapped is in effect soon, a bad one changes nothing and is complained of once, and SIGHUP reloads', async (t) => {
  const [one, two] = await Promise.all(
    ['one', 'two'].map((name) => listen(t, (wire) => void wire.write(name))),
  )
  const [healthPort = 0, adminPort = 0, port = 0] = freePorts(3)
  const yaml = (upstream: number): string =>
    `health: { address: "127.0.0.1:${healthPort}" }\nadmin: { address: "127.0.0.1:${adminPort}" }\nlisteners:\n  - { name: l0, address: "127.0.0.1:${port}", protocol: tcp, upstream: "127.0.0.1:${upstream}" }\n`
  const mount = new Mount(t, yaml(one!.port))
  const program = await runFile(t, mount.file, { ports: [healthPort, adminPort, port] })
  const greeting = async (): Promise<string> => {
    const client = await connect(t, port)
    return (await client.read(3)).toString()
  }
  const old = await connect(t, port)
  t.equal((await old.read(3)).toString(), 'one')
  for (const [upstream, name] of [
    [two!, 'two'],
    [one!, 'one'],
    [two!, 'two'],
  ] as const) {
    mount.swap(yaml(upstream.port))
    await eventually(async () => (await greeting()) === name, {
      withinMs: 20_000,
      what: `the swap to ${name}`,
    })
  }
  mount.swap(yaml(two!.port).replace('tcp', 'udp'))
  await eventually(
    async () => (await program.metrics()).get('sidegate_config_last_reload_successful') === 0,
    { what: 'the bad file to be noticed' },
  )
  t.same(
    [await program.status('/readyz'), await program.status('/livez'), await greeting()],
    [200, 200, 'two'],
  )
  t.match(await post(adminPort, '/reload'), {
    status: 422,
    body: /sidegate\.yaml:4:\d+ listeners\[0\]\.protocol: got udp/,
  })
  t.equal(
    said(program, 'reload failed, the last good configuration stays').length,
    2,
    'once for the file, once for who asked',
  )
  mount.swap(yaml(one!.port))
  await eventually(async () => (await greeting()) === 'one')
  const reloads = (): number => said(program, 'reloaded').length
  const before = reloads()
  program.child.kill('SIGHUP')
  await eventually(() => reloads() === before + 1, { what: 'SIGHUP to reload what did not change' })
  const samples = await program.metrics()
  t.equal(samples.get('sidegate_config_last_reload_successful'), 1)
  t.ok((samples.get('sidegate_config_last_reload_success_timestamp_seconds') ?? 0) > Date.now() / 1000 - 60)
  t.equal(samples.get('sidegate_config_reloads_total', { result: 'failure' }), 2)
  t.equal(old.outcome, null, 'who was there from the beginning is still there')
})
