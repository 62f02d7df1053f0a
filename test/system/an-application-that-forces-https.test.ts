// The shipped configurations, behind HAProxy as an ingress that ends TLS and in front of an application that
// redirects every request that did not come by HTTPS: the application must see the same as when HAProxy
// connects to it directly.

import t, { test, type Test } from 'tap'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { WebSocket, WebSocketServer } from 'ws'
import { parse } from 'yaml'
import { smallestConfig } from '../../src/inject/sidecar.ts'
import { authority } from '../support/certificates.ts'
import { CLI } from '../support/command.ts'
import { within } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { needs, runTool, temporary, whenListening } from '../support/tools.ts'

t.setTimeout(240_000)

type Listener = Record<string, unknown>
interface File {
  listeners: [Listener]
}

/** Loopback, but not the address of HAProxy. */
const CLIENT = '127.0.0.9'
const MAX_REDIRECTS = 5
const root = join(import.meta.dirname, '../..')
const read = (path: string): unknown => parse(readFileSync(join(root, path), 'utf8'))

const shipped: Readonly<Record<string, File>> = {
  inject: parse(smallestConfig([{ port: 17_080, appPort: 8080, protocol: 'http' }])) as File,
  manifests: parse(
    (read('deploy/manifests/configmap.yaml') as { data: Record<string, string> }).data['sidegate.yaml'] ?? '',
  ) as File,
  kustomize: read('deploy/kustomize/example/overlay/sidegate.yaml') as File,
  compose: read('deploy/compose/config/sidegate.yaml') as File,
  gateway: (read('helm/sidegate/values.yaml') as { config: File }).config,
  sidecar: (read('helm/sidegate-sidecar/values.yaml') as { config: File }).config,
}

/** The application's view of its client, in the form of its answers. */
const said = (headers: http.IncomingHttpHeaders): Record<string, string> =>
  Object.fromEntries(
    ['host', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-port', 'x-forwarded-host', 'x-real-ip'].map(
      (name) => [name, String(headers[name])],
    ),
  )

async function forcingApp(t: Test): Promise<number> {
  const app = http.createServer(({ headers, url }, response) => {
    if (headers['x-forwarded-proto'] === 'https') response.end(JSON.stringify(said(headers)))
    else response.writeHead(301, { location: `https://${headers.host}${url}` }).end()
  })
  const sockets = new WebSocketServer({ server: app })
  sockets.on('connection', (socket, { headers }) => socket.send(JSON.stringify(said(headers))))
  app.listen(0, '127.0.0.1')
  await once(app, 'listening')
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate()
    app.closeAllConnections()
    app.close()
  })
  return (app.address() as AddressInfo).port
}

/** One gate with a listener for each name, on every interface as shipped; resolves with their ports. */
async function startGates(t: Test, names: readonly string[], app: number): Promise<Map<string, number>> {
  const ports = new Map(names.map((name) => [name, freePort()]))
  const listeners = [...ports].map(([name, port]) => {
    const { http: trust, ...others } = (shipped[name] ?? shipped['inject']!).listeners[0]
    t.equal(others['address'], ':17080', name)
    return {
      ...others,
      name,
      address: `:${port}`,
      upstream: `127.0.0.1:${app}`,
      ...(name === 'without' ? {} : { http: trust }),
    }
  })
  const file = join(temporary(t), 'sidegate.yaml')
  const [health, admin] = [freePort(), freePort()].map((port) => ({ address: `127.0.0.1:${port}` }))
  writeFileSync(
    file,
    JSON.stringify({
      drain: { minDuration: 'off', spread: 'off', timeout: '5s', tcp: 'spread' },
      health,
      admin,
      listeners,
    }),
  )
  runTool(t, process.execPath, ['--no-warnings', CLI, 'run', '-c', file])
  for (const port of ports.values()) await whenListening(port)
  return ports
}

interface Ingress {
  ca: Buffer
  /** Ports, by the name of the upstream. */
  ports: ReadonlyMap<string, number>
}

/** The headers by which ingress controllers name their clients, ingress-nginx among them. */
async function ingress(t: Test, behind: ReadonlyMap<string, number>): Promise<Ingress> {
  const ca = authority(t)
  const { cert, key } = ca.issue('app')
  const [file, bundle] = ['haproxy.cfg', 'app.pem'].map((name) => join(temporary(t), name)) as [
    string,
    string,
  ]
  writeFileSync(bundle, readFileSync(cert, 'latin1') + readFileSync(key, 'latin1'))
  const ports = new Map([...behind.keys()].map((name) => [name, freePort()]))
  const proxies = [...behind].map(
    ([name, port]) => `
listen ${name}
  bind 127.0.0.1:${ports.get(name)} ssl crt ${bundle} alpn http/1.1
  option forwardfor
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Forwarded-Port 443
  http-request set-header X-Forwarded-Host shop.example
  http-request set-header X-Real-IP %[src]
  server it 127.0.0.1:${port}`,
  )
  writeFileSync(
    file,
    `global\n  maxconn 200\ndefaults\n  mode http\n  timeout connect 20s\n  timeout client 60s\n  timeout server 60s\n${proxies.join('\n')}\n`,
  )
  runTool(t, 'haproxy', ['-f', file])
  for (const port of ports.values()) await whenListening(port)
  return { ca: readFileSync(ca.cert), ports }
}

/** Follows redirects as a browser would: the answer, or null where it gives up. */
async function browse(url: string, ca: Buffer): Promise<Record<string, string> | null> {
  for (let left = MAX_REDIRECTS; left >= 0; left--) {
    const request = https.get(url, { ca, localAddress: CLIENT, agent: false })
    const [response] = (await within(once(request, 'response'), { what: url, withinMs: 20_000 })) as [
      http.IncomingMessage,
    ]
    const body = Buffer.concat(await response.toArray()).toString()
    if (response.statusCode === 200) return JSON.parse(body) as Record<string, string>
    if (response.statusCode !== 301) throw new Error(`${response.statusCode}: ${body}`)
    url = response.headers.location!
  }
  return null
}

async function upgrade(url: string, ca: Buffer): Promise<Record<string, string>> {
  const client = new WebSocket(url, { ca, localAddress: CLIENT })
  const [message] = (await within(once(client, 'message'), { what: url, withinMs: 20_000 })) as [Buffer]
  client.close()
  await within(once(client, 'close'), { what: 'the end', withinMs: 20_000 })
  return JSON.parse(message.toString()) as Record<string, string>
}

test(
  'behind an ingress that ends TLS an application sees with every shipped configuration what it saw before, and loops without its word of trust',
  needs('haproxy', 'openssl'),
  async (t) => {
    const app = await forcingApp(t)
    const names = [...Object.keys(shipped), 'without']
    const gates = await startGates(t, names, app)
    const { ca, ports } = await ingress(t, new Map([['direct', app], ...gates]))
    const expected = {
      'x-forwarded-for': CLIENT,
      'x-forwarded-proto': 'https',
      'x-forwarded-port': '443',
      'x-forwarded-host': 'shop.example',
      'x-real-ip': CLIENT,
    }
    for (const name of ['direct', ...Object.keys(shipped)]) {
      const host = `localhost:${ports.get(name)}`
      // The gate adds its own peer, as every proxy of a chain does.
      const chain = name === 'direct' ? {} : { 'x-forwarded-for': `${CLIENT}, 127.0.0.1` }
      t.strictSame(await browse(`https://${host}/a`, ca), { host, ...expected, ...chain }, name)
      t.strictSame(
        await upgrade(`wss://${host}/`, ca),
        { host, ...expected, ...chain },
        `${name}, a WebSocket`,
      )
    }
    const without = `localhost:${ports.get('without')}`
    t.equal(await browse(`https://${without}/a`, ca), null, 'redirected for ever')
    t.match(await upgrade(`wss://${without}/`, ca), {
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-port': 'undefined',
      'x-real-ip': 'undefined',
    })
  },
)
