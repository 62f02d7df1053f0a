import t, { test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../support/eventually.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { connect, echo } from '../support/peers.ts'
import { freePort } from '../support/free-port.ts'
import { needs, program, runTool, temporary, whenListening } from '../support/tools.ts'

t.setTimeout(240_000)

const defaults =
  'global\n  maxconn 100\ndefaults\n  timeout connect 2s\n  timeout client 20s\n  timeout server 20s\n'

test(
  'behind HAProxy with send-proxy and send-proxy-v2, the clients are those of HAProxy, and its checks no incident',
  needs('haproxy'),
  async (t) => {
    const upstream = await echo(t)
    const gate = await program(
      t,
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", proxyProtocol: { accept: any, trusted: [127.0.0.1] }`,
    )
    const ports = [freePort(), freePort()]
    const file = join(temporary(t), 'haproxy.cfg')
    writeFileSync(
      file,
      `${defaults}
listen v1
  bind 127.0.0.1:${ports[0]}
  server gate 127.0.0.1:${gate.port} send-proxy check inter 100ms
listen v2
  bind 127.0.0.1:${ports[1]}
  server gate 127.0.0.1:${gate.port} send-proxy-v2 proxy-v2-options unique-id,crc32c check-send-proxy check inter 100ms
`,
    )
    runTool(t, 'haproxy', ['-f', file])
    for (const [nth, port] of ports.entries()) {
      await whenListening(port)
      const client = await connect(t, port, { from: `127.0.0.1${nth}` })
      const { localPort } = client.socket
      client.end('hello')
      t.equal((await client.received).toString(), 'hello')
      await eventually(
        () =>
          gate
            .ends()
            .some((line) => line['client'] === `127.0.0.1${nth}:${localPort}` && line['close'] === 'eof'),
        { what: 'the end of that client', withinMs: 30_000 },
      )
    }
    t.notMatch(gate.output(), /"close":"protocol_error"/)
  },
)

test(
  'in front of HAProxy with accept-proxy, HAProxy learns the client, of tcp and of http',
  needs('haproxy'),
  async (t) => {
    const upstream = await recordingUpstream(t)
    const port = freePort()
    const file = join(temporary(t), 'haproxy.cfg')
    writeFileSync(
      file,
      `${defaults}  mode http
frontend f
  bind 127.0.0.1:${port} accept-proxy
  http-request set-header X-Seen %[src]:%[src_port]
  http-request set-header X-Seen-At %[dst]:%[dst_port]
  default_backend b
backend b
  server app 127.0.0.1:${upstream.port}
`,
    )
    runTool(t, 'haproxy', ['-f', file])
    await whenListening(port)
    let nth = 0
    for (const protocol of ['tcp', 'http']) {
      for (const version of ['v1', 'v2']) {
        const gate = await program(
          t,
          `protocol: ${protocol}, upstream: { addresses: ["127.0.0.1:${port}"], proxyProtocol: ${version} }`,
        )
        for (const from of ['127.0.0.5', '127.0.0.6']) {
          const client = await httpClient(t, gate.port, { from })
          t.equal((await client.get(get())).status, 200)
          const seen = await upstream.request(nth++)
          t.equal(seen.header('x-seen'), `${from}:${client.wire.socket.localPort}`, `${protocol} ${version}`)
          t.equal(seen.header('x-seen-at'), `127.0.0.1:${gate.port}`)
        }
      }
    }
  },
)
