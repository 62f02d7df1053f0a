import { test, type Test } from 'tap'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { pattern } from '../support/bytes.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { Wire } from '../support/wire.ts'
import { systemClock } from '../../src/core/clock.ts'
import { parseConfig } from '../../src/config/load.ts'
import { Log } from '../../src/log/log.ts'
import { startOperator } from '../support/start-operator.ts'
import type { StartedOperator } from '../support/start-operator.ts'

/** The path of a socket may be at most 107 bytes long, and tap's own directories are longer. */
function shortDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const silent = { dropped: 0, write() {} }

/** A gate that listens on `path`; rejects as the gate does. */
async function listenOn(t: Test, path: string, upstream: string, keys = ''): Promise<StartedOperator> {
  const yaml = `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n  - { name: u, address: "unix:${path}", protocol: tcp, upstream: ${upstream.startsWith('{') ? upstream : `"${upstream}"`}${keys} }\n`
  const started = await startOperator(parseConfig(yaml, 'test.yaml'), {
    log: new Log({ writer: silent, clock: systemClock }),
    logWriter: silent,
  })
  t.teardown(async () => {
    await started.operator.stop()
    await eventually(() => started.registry.size === 0)
  })
  return started
}

async function connectUnix(t: Test, path: string): Promise<Wire> {
  const socket = net.connect({ path, allowHalfOpen: true })
  await once(socket, 'connect')
  const wire = new Wire(socket)
  t.teardown(() => {
    socket.destroy()
    return wire.closed
  })
  return wire
}

test('a listener and an upstream on unix sockets relay every byte, half-close included', async (t) => {
  watchLeaks(t)
  const directory = shortDirectory(t)
  const behind = join(directory, 'upstream.sock')
  const server = net.createServer({ allowHalfOpen: true }, (socket) =>
    socket.on('error', () => {}).pipe(socket),
  )
  server.listen(behind)
  await once(server, 'listening')
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const path = join(directory, 'gate.sock')
  await listenOn(t, path, `unix:${behind}`)
  const bytes = pattern(5_000_000, 3)
  const client = await connectUnix(t, path)
  client.end(bytes)
  t.ok(bytes.equals(await within(client.received)))
})

test('a reset on one side of a unix pair ends the other', async (t) => {
  watchLeaks(t)
  const directory = shortDirectory(t)
  const behind = join(directory, 'upstream.sock')
  const accepted: net.Socket[] = []
  const server = net.createServer(
    { allowHalfOpen: true },
    (socket) => void accepted.push(socket.on('error', () => {}).resume()),
  )
  server.listen(behind)
  await once(server, 'listening')
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const gate = await startGate(t, [`protocol: tcp, upstream: "unix:${behind}"`])
  const client = await connect(t, gate.port)
  await client.write('x')
  await eventually(() => accepted[0] !== undefined)
  client.reset()
  await eventually(() => accepted[0]!.closed || (accepted[0]!.write('?'), false))
  t.match(await gate.end(), { reason: 'reset', side: 'client', line: { upstream: `unix:${behind}` } })
})

test('a unix upstream that is not there ends the client, and so does one that refuses', async (t) => {
  watchLeaks(t)
  const directory = shortDirectory(t)
  writeFileSync(join(directory, 'file'), 'no socket')
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["unix:${join(directory, 'absent.sock')}"], retryFor: off }`,
    `protocol: tcp, upstream: { addresses: ["unix:${join(directory, 'file')}"], retryFor: off }`,
  ])
  for (const [nth, port] of gate.ports.entries()) {
    const client = await connect(t, port)
    t.match(await within(client.closed), { kind: 'reset' })
    t.match(await gate.end(nth), {
      reason: nth === 0 ? 'connect_failed' : 'connect_refused',
      phase: 'connect',
    })
  }
})

test('the file of a listener goes when it closes, and a second gate can have the path', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const path = join(shortDirectory(t), 'gate.sock')
  const first = await listenOn(t, path, `127.0.0.1:${upstream.port}`)
  await first.operator.stop()
  await eventually(() => !existsSync(path))
  await listenOn(t, path, `127.0.0.1:${upstream.port}`)
  const client = await connectUnix(t, path)
  client.end('again')
  t.equal((await within(client.received)).toString(), 'again')
})

const leaveBehind = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`

test('a socket file that a crash left behind is replaced', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const path = join(shortDirectory(t), 'gate.sock')
  await once(spawn(process.execPath, ['-e', leaveBehind, path]), 'close')
  t.ok(existsSync(path))
  await listenOn(t, path, `127.0.0.1:${upstream.port}`)
  const client = await connectUnix(t, path)
  client.end('new')
  t.equal((await within(client.received)).toString(), 'new')
})

test('a socket that somebody listens on is not taken over', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const path = join(shortDirectory(t), 'gate.sock')
  await listenOn(t, path, `127.0.0.1:${upstream.port}`)
  await t.rejects(listenOn(t, path, `127.0.0.1:${upstream.port}`), {
    message: /cannot listen on unix:.*in use/,
  })
  const client = await connectUnix(t, path)
  client.end('mine')
  t.equal((await within(client.received)).toString(), 'mine')
})

const stuckListener = `
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(0)
waiting = []
try:
    while True:
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].setblocking(False)
        waiting[-1].connect(sys.argv[1])
except BlockingIOError: pass
print('full', flush=True)
sys.stdin.read()
`

test('a socket whose listener is too busy to accept is not taken over', async (t) => {
  watchLeaks(t)
  const path = join(shortDirectory(t), 'gate.sock')
  const child = spawn('python3', ['-c', stuckListener, path], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  t.teardown(() => {
    child.kill('SIGKILL')
    return closed
  })
  await within(once(child.stdout, 'data'))
  await t.rejects(listenOn(t, path, '127.0.0.1:1'), { message: /cannot listen on unix:.*in use/ })
  t.ok(existsSync(path), 'its file is still there')
})

test('a file that is no socket is not removed', async (t) => {
  watchLeaks(t)
  const path = join(shortDirectory(t), 'notes.txt')
  writeFileSync(path, 'precious')
  await t.rejects(listenOn(t, path, '127.0.0.1:1'), { message: /cannot listen on unix:/ })
  t.equal(readFileSync(path, 'utf8'), 'precious')
})

test('a peer on a unix socket is let in whatever the access list says, and its PROXY header is believed', async (t) => {
  watchLeaks(t)
  const path = join(shortDirectory(t), 'gate.sock')
  const upstream = await echo(t)
  const { registry } = await listenOn(
    t,
    path,
    `127.0.0.1:${upstream.port}`,
    ', access: { allow: [192.0.2.0/24] }, proxyProtocol: { accept: v1 }',
  )
  const named = await connectUnix(t, path)
  void named.write('PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\nx')
  t.equal((await named.read(1)).toString(), 'x')
  const unnamed = await connectUnix(t, path)
  void unnamed.write('PROXY UNKNOWN\r\nx')
  t.equal((await unnamed.read(1)).toString(), 'x')
  t.same(
    [...registry].map(({ client }) => client.text),
    ['192.0.2.1:1', 'unix'],
  )
  const denied = await connectUnix(t, path)
  void denied.write('PROXY TCP4 203.0.113.1 198.51.100.1 1 2\r\nx')
  await within(denied.ended)
  t.equal(upstream.connections.length, 2)
})

test('TLS goes over a unix socket, and a client on it is introduced to the upstream as UNKNOWN', async (t) => {
  watchLeaks(t)
  const path = join(shortDirectory(t), 'gate.sock')
  const upstream = await echo(t)
  const ca = authority(t)
  const { cert, key } = ca.issue('app')
  await listenOn(t, path, `127.0.0.1:${upstream.port}`, `, tls: { cert: "${cert}", key: "${key}" }`)
  const client = tls.connect({ path, servername: 'localhost', ca: readFileSync(ca.cert) })
  t.teardown(() => client.destroy())
  const wire = new Wire(client)
  void wire.write('hello')
  t.equal((await wire.read(5)).toString(), 'hello')
  const second = join(shortDirectory(t), 'gate.sock')
  await listenOn(t, second, `{ addresses: ["127.0.0.1:${upstream.port}"], proxyProtocol: v1 }`)
  const plain = await connectUnix(t, second)
  plain.end('x')
  t.equal((await plain.received).toString(), 'PROXY UNKNOWN\r\nx')
})

test('the mode of a Unix socket is as it is written, from the start and after a reload', async (t) => {
  watchLeaks(t)
  const path = join(shortDirectory(t), 's')
  const upstream = await echo(t)
  const modeOf = (): number => statSync(path).mode & 0o777
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const at = (keys: string): Promise<unknown> =>
    gate.reloadText(
      `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n  - { name: u, address: "unix:${path}", protocol: tcp, upstream: "127.0.0.1:${upstream.port}"${keys} }\n`,
    )
  t.match(await at(', mode: "0660"'), { result: 'success' })
  t.equal(modeOf(), 0o660)
  const client = await connectUnix(t, path)
  t.match(await at(', mode: "666"'), { result: 'success' })
  t.equal(modeOf(), 0o666)
  void client.write('?')
  t.equal((await client.read(1)).toString(), '?', 'the socket is the same')
  t.match(await at(''), { result: 'success' })
  t.equal(modeOf(), 0o755)
  t.match(await at(', mode: 0660'), {
    result: 'failure',
    problems: [/mode: got 660, write a file mode in quotes/],
  })
  client.end()
})

test(
  'another user gets in only where the mode lets them',
  { skip: process.getuid?.() === 0 ? false : 'needs root' },
  async (t) => {
    watchLeaks(t)
    const directory = shortDirectory(t)
    chmodSync(directory, 0o755)
    const path = join(directory, 's')
    const upstream = await echo(t)
    const asNobody = (): Promise<string> =>
      new Promise((resolve) => {
        const script = `require('net').connect(${JSON.stringify(path)}).on('connect', () => { console.log('in'); process.exit() }).on('error', (error) => console.log(error.code))`
        const child = spawn(process.execPath, ['-e', script], { uid: 65_534, gid: 65_534 })
        let said = ''
        child.stdout.on('data', (chunk) => (said += String(chunk)))
        child.once('close', () => resolve(said.trim()))
      })
    for (const [mode, outcome] of [
      ['', 'EACCES'],
      [', mode: "0666"', 'in'],
    ] as const) {
      const { operator } = await listenOn(t, path, `127.0.0.1:${upstream.port}`, mode)
      t.equal(await asNobody(), outcome)
      await operator.stop()
    }
  },
)
