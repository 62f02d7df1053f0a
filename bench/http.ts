// What shapes of plain HTTP cost: CPU of the gate for each exchange, with and without a limit of bytes, beside HAProxy where it is on
// the path, in one run. `npm run build && node bench/http.ts [SHAPE..]`. Ratios count; figures are in README.md.
//
// Clients and service are Node's own, in this process: they take most of the machine, so what is counted is the gate's CPU alone.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from './connect.ts'
import { runGate } from './gate.ts'
import { compare, cpu } from './measure.ts'

const ROUNDS = 5
const ROUND_MS = 1000
const CLIENTS = 16
const BASE = 18_700

interface Shape {
  method: 'GET' | 'POST'
  path: string
  body?: Buffer
  isChunked?: boolean
}

const KIB = Buffer.alloc(1024, 'x')
const shapes: Record<string, Shape> = {
  'GET, 3 bytes': { method: 'GET', path: '/small' },
  'GET, 64 KiB': { method: 'GET', path: '/large' },
  'GET, 1 KB in chunks': { method: 'GET', path: '/chunks' },
  'POST 1 KB': { method: 'POST', path: '/small', body: KIB },
  'POST 1 KB in chunks': { method: 'POST', path: '/small', body: KIB, isChunked: true },
  '1 KB in chunks, both ways': { method: 'POST', path: '/chunks', body: KIB, isChunked: true },
}

const LARGE = Buffer.alloc(65_536, 'x')

function serve(request: IncomingMessage, response: ServerResponse): void {
  request.resume().once('end', () => {
    // Without a length, and in four writes: four chunks.
    if (request.url === '/chunks') for (let i = 0; i < 4; i++) response.write(KIB.subarray(0, 256))
    response.end(request.url === '/chunks' ? undefined : request.url === '/large' ? LARGE : 'ok\n')
  })
}

interface Gate {
  name: string
  port: number
  pid: number
}

async function startGate(name: string, nth: number, limits: string): Promise<Gate> {
  const port = BASE + nth * 10
  const file = join(folder, `${nth}.yaml`)
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${port + 1}" }\nadmin: { address: "127.0.0.1:${port + 2}" }\nlog: { level: error }\nlisteners:\n  - { address: "127.0.0.1:${port}", protocol: http, upstream: "127.0.0.1:${upstream}"${limits} }\n`,
  )
  const child = runGate(file)
  ;(await connect(port)).destroy()
  return { name, port, pid: child.pid! }
}

/** Null where there is none. */
async function startHaproxy(port: number): Promise<Gate | null> {
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(
    file,
    `global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\nfrontend f\n  bind 127.0.0.1:${port}\n  default_backend b\nbackend b\n  http-reuse always\n  server s 127.0.0.1:${upstream}\n`,
  )
  const child = spawn('haproxy', ['-f', file, '-db'], { stdio: 'ignore' })
  const isThere = await Promise.race([
    once(child, 'error').then(() => false),
    once(child, 'spawn').then(() => true),
  ])
  if (!isThere) return null
  process.once('exit', () => void child.kill('SIGKILL'))
  ;(await connect(port)).destroy()
  return { name: 'HAProxy', port, pid: child.pid! }
}

const agent = new http.Agent({ keepAlive: true, maxSockets: CLIENTS })

function exchange(port: number, { method, path, body, isChunked }: Shape): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = body !== undefined && isChunked !== true ? { 'Content-Length': body.length } : {}
    const request = http.request({ host: '127.0.0.1', port, method, path, agent, headers }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${method} ${path} was answered ${answer.statusCode}`))
      answer.resume().once('end', resolve)
    })
    request.once('error', reject)
    if (body !== undefined) request.write(body)
    request.end()
  })
}

/** Microseconds of the gate's CPU for each exchange. */
async function cost({ port, pid }: Gate, shape: Shape): Promise<number> {
  const until = performance.now() + ROUND_MS
  const before = cpu(pid)
  let done = 0
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (; performance.now() < until; done++) await exchange(port, shape)
    }),
  )
  return ((cpu(pid) - before) / done) * 1e6
}

const folder = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
const server = http.createServer({ keepAliveTimeout: 60_000 }, serve).listen(0, '127.0.0.1')
await once(server, 'listening')
const { port: upstream } = server.address() as AddressInfo
const gates = [
  await startGate('Sidegate', 0, ''),
  // Never reached, but drawn from at each read.
  await startGate('Sidegate, limits.bytes', 1, ', limits: { bytes: { rate: 1024MiB, burst: 1024MiB } }'),
]
const haproxy = await startHaproxy(BASE + 20)
if (haproxy !== null) gates.push(haproxy)

const asked = process.argv.slice(2)
for (const gate of gates) await cost(gate, shapes['POST 1 KB in chunks']!)
await compare(
  gates,
  Object.entries(shapes)
    .filter(([what]) => asked.length === 0 || asked.includes(what))
    .map(([what, shape]) => ({
      what,
      unit: 'us',
      ask: (gate: Gate) => cost(gate, shape),
      rounds: ROUNDS,
    })),
)
rmSync(folder, { recursive: true })
process.exit()
