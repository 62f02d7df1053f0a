// HTTP/2 beside HAProxy and nginx: CPU of each for a request, over TLS and, as far as they know it, in the clear; and the memory of an idle connection and
// of an idle stream. `npm run build && node bench/http2.ts [NAME...]` (all gates, or those). Ratios count; figures are in README.md.
//
// h2load asks; the service is Node's. What is counted is the CPU of the gate alone.

import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { selfSigned } from './certificate.ts'
import { connect } from './connect.ts'
import { runGate } from './gate.ts'
import { compare, cpu, memory } from './measure.ts'

const ROUNDS = 5
const REQUESTS = 50_000
/** Before any that count: a process that has begun compiles for a while. */
const WARM_UP = 100_000
const IDLE = 500
const STREAMS = 10
const BASE = 18_800

interface Gate {
  name: string
  /** Over TLS, and in the clear. */
  tls: number
  clear: number
  pid: number
}

const folder = mkdtempSync(join(tmpdir(), 'sidegate-'))
const { cert, key } = selfSigned(folder)
writeFileSync(join(folder, 'both.pem'), execFileSync('cat', [cert, key]))

/** Answers all but /never at once. */
const service = http.createServer((request, response) => {
  if (request.url !== '/never') response.end('ok\n')
})
service.keepAliveTimeout = 0
service.listen(0, '127.0.0.1')
await once(service, 'listening')
const upstream = (service.address() as AddressInfo).port

function run(command: string, args: string[]): number {
  const child = spawn(command, args, { stdio: 'ignore' })
  process.once('exit', () => child.kill('SIGKILL'))
  return child.pid!
}

async function there(name: string, tls: number, clear: number, pid: number): Promise<Gate> {
  for (const port of [tls, clear]) (await connect(port)).destroy()
  return { name, tls, clear, pid }
}

function sidegate(): Promise<Gate> {
  const file = join(folder, 'sidegate.yaml')
  const rest = `protocol: http, upstream: "127.0.0.1:${upstream}"`
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${BASE + 2}" }\nadmin: { address: "127.0.0.1:${BASE + 3}" }\nlog: { level: error }\nlisteners:\n` +
      `  - { address: "127.0.0.1:${BASE}", ${rest}, tls: { cert: ${cert}, key: ${key} } }\n` +
      `  - { address: "127.0.0.1:${BASE + 1}", ${rest}, http: { h2c: on } }\n`,
  )
  return there('Sidegate', BASE, BASE + 1, runGate(file).pid!)
}

function haproxy(): Promise<Gate> {
  const [tls, clear] = [BASE + 10, BASE + 11]
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(
    file,
    `global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\nfrontend f\n` +
      `  bind 127.0.0.1:${tls} ssl crt ${join(folder, 'both.pem')} alpn h2\n  bind 127.0.0.1:${clear} proto h2\n` +
      `  default_backend b\nbackend b\n  http-reuse always\n  server s 127.0.0.1:${upstream}\n`,
  )
  return there('HAProxy', tls, clear, run('haproxy', ['-f', file, '-db']))
}

function nginx(): Promise<Gate> {
  const [tls, clear] = [BASE + 20, BASE + 21]
  const file = join(folder, 'nginx.conf')
  const at = `keepalive_requests 10000000; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; }`
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${join(folder, 'nginx.pid')}; error_log /dev/null; events { worker_connections 8192; }\n` +
      `http { access_log off; upstream u { server 127.0.0.1:${upstream}; keepalive 64; keepalive_requests 10000000; }\n` +
      `server { listen 127.0.0.1:${tls} ssl http2; ssl_certificate ${cert}; ssl_certificate_key ${key}; ${at} }\n` +
      `server { listen 127.0.0.1:${clear} http2; ${at} } }\n`,
  )
  return there('nginx', tls, clear, run('nginx', ['-p', folder, '-c', file]))
}

function httpProxy3(): Promise<Gate> {
  const [tls, clear] = [BASE + 30, BASE + 31]
  const file = join(import.meta.dirname, 'http-proxy-3.ts')
  const pid = run(process.execPath, [
    '--no-warnings',
    file,
    String(tls),
    String(clear),
    String(upstream),
    cert,
    key,
  ])
  return there('http-proxy-3', tls, clear, pid)
}

/** Microseconds of the gate's CPU for a request. */
async function load(gate: Gate, url: string, requests = REQUESTS): Promise<number> {
  const before = cpu(gate.pid)
  const child = spawn('h2load', ['-n', String(requests), '-c', '8', '-m', '10', url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += String(chunk)))
  await once(child, 'close')
  if (!output.includes(`${requests} succeeded`)) throw new Error(`${gate.name}: ${output}`)
  return ((cpu(gate.pid) - before) * 1e6) / requests
}

/** Kilobytes of an idle connection that has asked once, and of a stream that waits for its answer. */
async function idle(gate: Gate): Promise<{ connection: number; stream: number }> {
  const empty = memory(gate.pid)
  const sessions = Array.from({ length: IDLE }, () =>
    http2.connect(`http://127.0.0.1:${gate.clear}`).on('error', () => {}),
  )
  const ask = (session: http2.ClientHttp2Session, path: string): http2.ClientHttp2Stream => {
    const stream = session.request({ ':path': path })
    return stream.on('error', () => {}).resume()
  }
  await Promise.all(sessions.map((session) => once(ask(session, '/'), 'close')))
  await delay(2000)
  const connected = memory(gate.pid)
  for (const session of sessions) for (let nth = 0; nth < STREAMS; nth++) ask(session, '/never')
  await delay(3000)
  const asked = memory(gate.pid)
  for (const session of sessions) session.destroy()
  await delay(1000)
  return {
    connection: (connected - empty) / IDLE / 1000,
    stream: (asked - connected) / (IDLE * STREAMS) / 1000,
  }
}

const names = process.argv.slice(2)
const gates: Gate[] = []
for (const start of [sidegate, haproxy, nginx, httpProxy3]) {
  const gate = await start()
  if (names.length === 0 || names.includes(gate.name)) gates.push(gate)
}
for (const gate of gates)
  for (const url of [`https://127.0.0.1:${gate.tls}/`, `http://127.0.0.1:${gate.clear}/`])
    await load(gate, url, WARM_UP)
await compare(gates, [
  {
    what: 'a request over TLS, 8 connections of 10 streams',
    unit: 'us',
    rounds: ROUNDS,
    ask: (gate) => load(gate, `https://127.0.0.1:${gate.tls}/`),
  },
  {
    what: 'a request in the clear',
    unit: 'us',
    rounds: ROUNDS,
    ask: (gate) => load(gate, `http://127.0.0.1:${gate.clear}/`),
  },
])
for (const gate of gates) {
  const { connection, stream } = await idle(gate)
  console.log(
    `${gate.name}: ${connection.toFixed(1)} KB an idle connection, ${stream.toFixed(1)} KB a stream that waits (its connection to the service included)`,
  )
}
rmSync(folder, { recursive: true, force: true })
process.exit()
