// The peers of limits of a fleet: clients of many addresses over WebSocket, a service that reads, a Redis, and gates.

import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect } from './connect.ts'
import { freePort } from './free-port.ts'
import { runGate } from './gate.ts'

export const MESSAGE = Buffer.concat([Buffer.from([0x82, 0x80 | 100, 0, 0, 0, 0]), Buffer.alloc(100, 'x')])
const UPGRADE =
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
/** To that key. */
const ACCEPTED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'

/** Accepts the upgrade, and reads. Returns its port. */
export async function service(): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {}).once('data', () => socket.write(ACCEPTED))
    socket.resume()
  })
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** The address of the client is the `nth`, from 1. */
export async function client(port: number, nth: number): Promise<Socket> {
  const localAddress = `127.1.${nth >> 8}.${nth & 255}`
  const socket = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true }).on('error', () => {})
  socket.write(UPGRADE)
  await once(socket, 'data')
  return socket.resume()
}

/** A gate that limits connections and messages of each client, by the Redis on that port or alone. Returns its process and port. */
export async function gate(
  directory: string,
  upstream: number,
  redis: number | null,
): Promise<{ pid: number; port: number }> {
  const [port, health, admin] = [await freePort(), await freePort(), await freePort()]
  const scope = redis === null ? 'process' : 'fleet'
  const file = join(directory, `${port}.yaml`)
  const shared = redis === null ? '' : `shared: { redis: { address: "127.0.0.1:${redis}" } }\n`
  writeFileSync(
    file,
    `${shared}log: { level: error }
health: { address: "127.0.0.1:${health}" }
admin: { address: "127.0.0.1:${admin}" }
listeners:
  - name: l
    address: "127.0.0.1:${port}"
    protocol: http
    upstream: 127.0.0.1:${upstream}
    limits:
      connectionsPerClient: { max: 20, scope: ${scope} }
      messages: { rate: 100, burst: 100, per: client, scope: ${scope} }
`,
  )
  const child = runGate(file, 'ignore')
  ;(await connect(port)).destroy()
  return { pid: child.pid!, port }
}

/** On `port`, with nothing that it keeps. */
export async function redisServer(directory: string, port: number): Promise<ChildProcess> {
  const redis = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', directory],
    { stdio: 'ignore' },
  )
  ;(await connect(port)).destroy()
  return redis
}

export function redisCli(port: number, ...args: string[]): string {
  return execFileSync('redis-cli', ['-p', String(port), ...args], { encoding: 'utf8' })
}

/** Sends `perSec` messages a second for each client, each by one at random, evenly over the time. Returns their number. */
export async function talk(clients: readonly Socket[], perSec: number, seconds: number): Promise<number> {
  const start = performance.now()
  let sent = 0
  for (let now = start; now < start + seconds * 1000; now = performance.now()) {
    const due = ((now - start) / 1000) * perSec * clients.length
    for (; sent < due; sent++) clients[Math.floor(Math.random() * clients.length)]!.write(MESSAGE)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return sent
}
