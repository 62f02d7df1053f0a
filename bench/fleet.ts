// What do limits of a fleet cost, beside the same limits of a gate alone? CPU of the gate for each message, in turn with a gate whose limits
// are its own. Each client is another address, and says a message of 100 B so often that a lease lasts a while, or hardly.
//
//     npm run build && node bench/fleet.ts [gates]
//
// The gates and Redis are processes of their own; clients and the service are this one. Needs redis-server.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from './connect.ts'
import { runGate } from './gate.ts'
import { compare, cpu } from './measure.ts'

const CLIENTS = 300
const SECONDS = 5
const ROUNDS = 5
const MESSAGE = Buffer.concat([Buffer.from([0x82, 0x80 | 100, 0, 0, 0, 0]), Buffer.alloc(100, 'x')])
const UPGRADE =
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
/** To that key. */
const ACCEPTED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'

interface Gate {
  name: string
  pid: number
  port: number
  clients: Socket[]
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Accepts the upgrade, and reads. */
async function service(): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {}).once('data', () => socket.write(ACCEPTED))
    socket.resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function client(port: number, nth: number): Promise<Socket> {
  const localAddress = `127.1.${nth >> 8}.${nth & 255}`
  const socket = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true }).on('error', () => {})
  socket.write(UPGRADE)
  await once(socket, 'data')
  return socket.resume()
}

/** CPU microseconds of the gate for a message, at so many a second from each client, evenly over the time. */
async function cost({ pid, clients }: Gate, perSec: number): Promise<number> {
  const before = cpu(pid)
  const start = performance.now()
  let sent = 0
  for (let now = start; now < start + SECONDS * 1000; now = performance.now()) {
    const due = ((now - start) / 1000) * perSec * clients.length
    for (; sent < due; sent++) clients[Math.floor(Math.random() * clients.length)]!.write(MESSAGE)
    await delay(5)
  }
  await delay(200)
  return ((cpu(pid) - before) * 1e6) / sent
}

async function start(directory: string, upstream: number, redis: number | null): Promise<Gate> {
  const [port, health, admin] = [await freePort(), await freePort(), await freePort()]
  const scope = redis === null ? 'process' : 'fleet'
  const file = join(directory, `${scope}.yaml`)
  const shared = redis === null ? '' : `shared: { redis: { address: "127.0.0.1:${redis}" } }\n`
  writeFileSync(
    file,
    `${shared}log: { level: error }
health: { address: "127.0.0.1:${health}" }
admin: { address: "127.0.0.1:${admin}" }
listeners:
  - address: "127.0.0.1:${port}"
    protocol: http
    upstream: 127.0.0.1:${upstream}
    limits:
      connectionsPerClient: { max: 20, scope: ${scope} }
      messages: { rate: 100, burst: 100, per: client, scope: ${scope} }
`,
  )
  const child = runGate(file, 'ignore')
  ;(await connect(port)).destroy()
  const clients: Socket[] = []
  for (let nth = 0; nth < CLIENTS; nth++) clients.push(await client(port, nth + 1))
  return { name: `limits of ${redis === null ? 'the gate' : 'the fleet'}`, pid: child.pid!, port, clients }
}

/** Other gates, which have given their sign of life for the next hour. */
function pretend(gates: number): void {
  const at = String(Date.now() + 3_600_000)
  for (let nth = 0; nth < gates; nth++)
    execFileSync('redis-cli', ['-p', String(redisPort), 'hset', 'sidegate:gates', `other ${nth}`, at])
}

const directory = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
const redisPort = await freePort()
const redis = spawn(
  'redis-server',
  ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', directory],
  {
    stdio: 'ignore',
  },
)
try {
  ;(await connect(redisPort)).destroy()
  pretend(Number(process.argv[2] ?? 1) - 1)
  const upstream = await service()
  const gates = [await start(directory, upstream, null), await start(directory, upstream, redisPort)]
  for (const gate of gates) await cost(gate, 10)
  await compare(
    gates,
    [2, 10, 30].map((perSec) => ({
      what: `${CLIENTS} clients, ${perSec} messages a second each, of 100 that they may`,
      unit: 'us of CPU a message',
      rounds: ROUNDS,
      ask: (gate: Gate) => cost(gate, perSec),
    })),
  )
} finally {
  redis.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
