// What an idle connection of each protocol costs a container: what the kernel counts in a memory cgroup of its own, as
// docs/sizing.md tells it. `npm run build && node bench/memory.ts`, as root, where a memory cgroup (v1 or v2) can be made, with openssl on the path.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import tls from 'node:tls'
import { selfSigned } from './certificate.ts'

const PAIRS = 2000
const isV2 = existsSync('/sys/fs/cgroup/cgroup.controllers')
const cgroup = join(isV2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory', `sidegate-bench-${process.pid}`)
const folder = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
const { cert, key } = selfSigned(folder)

/** The working set, as Kubernetes counts it: usage less the file cache that goes first. */
function workingSet(): number {
  const stat = readFileSync(join(cgroup, 'memory.stat'), 'latin1')
  const inactive = Number(
    new RegExp(`^${isV2 ? 'inactive_file' : 'total_inactive_file'} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0,
  )
  return (
    Number(readFileSync(join(cgroup, isV2 ? 'memory.current' : 'memory.usage_in_bytes'), 'latin1')) - inactive
  )
}

/** Answers an upgrade with 101, a GET with a small answer, anything else with itself. */
const service = net.createServer((socket) => {
  socket
    .on('error', () => {})
    .on('data', (bytes) => {
      const text = bytes.toString('latin1')
      const secret = /^sec-websocket-key: (.*)\r$/im.exec(text)?.[1]
      if (secret !== undefined) {
        const accept = createHash('sha1')
          .update(`${secret}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest('base64')
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        )
      } else if (text.startsWith('GET ')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      else socket.write(bytes)
    })
})
service.listen(0, '127.0.0.1')
await once(service, 'listening')
const upstream = `127.0.0.1:${(service.address() as AddressInfo).port}`

const upgrade =
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const withTls = `, tls: { cert: "${cert}", key: "${key}" }`
const rows: Array<[what: string, keys: string, hello: string, isSecure: boolean]> = [
  ['tcp', 'protocol: tcp', 'hello', false],
  ['tcp over TLS', `protocol: tcp${withTls}`, 'hello', true],
  ['HTTP, kept alive after a request', 'protocol: http, http: { keepAlive: 10m }', get, false],
  ['HTTP over TLS, the same', `protocol: http, http: { keepAlive: 10m }${withTls}`, get, true],
  ['WebSocket, frames', 'protocol: http', upgrade, false],
  ['WebSocket, messages', 'protocol: http, websocket: { mode: messages }', upgrade, false],
  ['WebSocket over TLS', `protocol: http${withTls}`, upgrade, true],
]

async function open(port: number, hello: string, isSecure: boolean): Promise<Socket> {
  const socket = isSecure
    ? tls.connect({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false })
    : net.connect(port, '127.0.0.1')
  socket.on('error', (error) => console.error(error.message))
  await once(socket, isSecure ? 'secureConnect' : 'connect')
  socket.write(hello)
  await once(socket, 'data')
  return socket
}

async function isListening(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1')
  const isThere = await new Promise<boolean>((resolve) =>
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
  )
  socket.destroy()
  return isThere
}

async function measure(
  keys: string,
  hello: string,
  isSecure: boolean,
  port: number,
): Promise<{ before: number; after: number }> {
  mkdirSync(cgroup)
  const file = join(folder, 'sidegate.yaml')
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${port + 1}" }\nadmin: { address: "127.0.0.1:${port + 2}" }\nlisteners:\n  - { address: "127.0.0.1:${port}", upstream: "${upstream}", ${keys} }\n`,
  )
  const child = spawn(
    'sh',
    [
      '-c',
      `echo $$ > ${cgroup}/cgroup.procs && exec "$@"`,
      'sh',
      process.execPath,
      'dist/cli.js',
      'run',
      '-c',
      file,
    ],
    { stdio: 'ignore' },
  )
  const sockets: Socket[] = []
  try {
    for (let tries = 0; !(await isListening(port)); tries++) {
      if (tries === 300) throw new Error('the gate did not start')
      await delay(200)
    }
    await delay(4000)
    const before = workingSet()
    for (let left = PAIRS; left > 0; left -= 50)
      sockets.push(...(await Promise.all(Array.from({ length: 50 }, () => open(port, hello, isSecure)))))
    await delay(15_000)
    return { before, after: workingSet() }
  } finally {
    const gone = once(child, 'close')
    child.kill('SIGKILL')
    for (const socket of sockets) socket.destroy()
    await gone
    await delay(500)
    rmdirSync(cgroup)
  }
}

try {
  console.log(`cgroup ${isV2 ? 'v2' : 'v1'}, ${PAIRS} connections of each kind`)
  for (const [nth, [what, keys, hello, isSecure]] of rows.entries()) {
    const { before, after } = await measure(keys, hello, isSecure, 24_100 + 10 * nth)
    console.log(
      `${what.padEnd(36)} idle process ${(before / 1e6).toFixed(1)} MB, ${((after - before) / PAIRS / 1000).toFixed(1)} KB a connection`,
    )
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
  service.close()
}
