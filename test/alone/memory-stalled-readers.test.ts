import { test } from 'tap'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '../support/eventually.ts'
import { slowReader, type SlowReader } from '../support/processes.ts'
import { flooder } from '../support/peers.ts'
import { configFile, freePorts, runFile, runProgram } from '../system/program.ts'
import { stopwatch } from '../support/stopwatch.ts'

const READERS = 500
const HIGH = 65_536
const CLOSED = 'sidegate_connections_closed_total'

// Over unix sockets, of which the kernel holds 200 KB and not up to 40 MB.
test('500 readers that stall at once cost no more than their bounds, and all are gone within deadlines.write and a second', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const chunk = Buffer.alloc(HIGH)
  const flood = (socket: net.Socket): void => {
    while (socket.writable && socket.write(chunk));
  }
  const upstreams = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    upstreams.add(socket)
    socket
      .on('error', () => {})
      .on('close', () => upstreams.delete(socket))
      .on('drain', () => flood(socket))
    flood(socket)
  })
  await once(server.listen(join(directory, 'up.sock')), 'listening')
  t.teardown(() => {
    for (const socket of upstreams) socket.destroy()
    server.close()
  })
  const [health, admin] = freePorts(2)
  const gatePath = join(directory, 'gate.sock')
  const yaml = `health: { address: "127.0.0.1:${health}" }\nadmin: { address: "127.0.0.1:${admin}" }\nlisteners:\n  - { name: l0, address: "unix:${gatePath}", protocol: tcp, upstream: "unix:${join(directory, 'up.sock')}", buffers: { high: 64KiB }, deadlines: { write: 6s } }\n`
  const program = await runFile(t, configFile(t, yaml), { ports: [health!, admin!] })
  await program.metrics()
  const idle = await program.metrics()
  const external = (samples: typeof idle): number => samples.get('nodejs_external_memory_bytes')!
  const rss = program.rss()
  const descriptors = idle.get('process_open_fds')!
  const readers = await Promise.all(
    Array.from({ length: READERS }, async () => {
      const socket = net
        .connect(gatePath)
        .on('error', () => {})
        .pause()
      await once(socket, 'connect')
      return socket
    }),
  )
  t.teardown(() => readers.forEach((socket) => void socket.destroy()))
  const backpressured = async (): Promise<boolean> =>
    (await program.metrics()).get('sidegate_backpressured_connections') === READERS
  await eventually(backpressured, { withinMs: 20_000, what: 'all of them to be stalled' })
  const watch = stopwatch(t)
  const stalled = await program.metrics()
  const buffered = stalled.get('sidegate_buffered_bytes', { side: 'client' })!
  t.ok(buffered > 0 && buffered <= READERS * HIGH, `${buffered} bytes are buffered`)
  const bound = READERS * 2 * HIGH * 1.5
  t.ok(
    external(stalled) - external(idle) < bound,
    `${external(stalled) - external(idle)} bytes outside the heap over idle`,
  )
  t.ok(program.rss() - rss < bound, `${program.rss() - rss} bytes resident over idle`)
  t.comment(
    `over idle: rss ${((program.rss() - rss) / READERS / 1024).toFixed(1)} KiB, external ${((external(stalled) - external(idle)) / READERS / 1024).toFixed(1)} KiB for each reader`,
  )
  await eventually(
    async () =>
      (await program.metrics()).get(CLOSED, { reason: 'write_timeout', side: 'client' }) === READERS,
    { withinMs: 20_000, what: 'all to be ended by write_timeout' },
  )
  t.ok(watch.livedMs < 6000 + 3000, `${watch.livedMs} of ${watch.ms} ms`)
  const after = await program.metrics()
  t.equal(after.sum('sidegate_buffered_bytes'), 0)
  t.equal(after.get('sidegate_connections', { side: 'client' }), 0)
  t.ok(after.get('process_open_fds')! <= descriptors, 'the descriptors are back')
})

test('readers over TCP that stall are all ended by write_timeout and RST, their upstreams too', async (t) => {
  const upstream = await flooder(t)
  const program = await runProgram(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 1s }`,
  ])
  const readers: SlowReader[] = []
  // Each is a process that must start.
  for (let nth = 0; nth < 10; nth += 1) readers.push(await slowReader(t, program.port))
  t.same(
    new Set((await Promise.all(readers.map(({ closed }) => closed))).map(({ kind }) => kind)),
    new Set(['reset']),
  )
  const samples = await program.metrics()
  t.equal(samples.get(CLOSED, { reason: 'write_timeout', side: 'client' }), 10)
  t.same(
    new Set((await Promise.all(upstream.connections.map(({ closed }) => closed))).map(({ kind }) => kind)),
    new Set(['reset']),
  )
})
