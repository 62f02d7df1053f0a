import t, { test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../support/eventually.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { freePort } from '../support/free-port.ts'
import { needs, program, runTool, temporary, whenListening } from '../support/tools.ts'

t.setTimeout(240_000)

test(
  'behind HAProxy: keep-alive shared by its clients, its word on the client believed, its checks no incident',
  needs('haproxy'),
  async (t) => {
    const directory = temporary(t)
    const port = freePort()
    const upstream = await recordingUpstream(t)
    const gate = await program(
      t,
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { trustForwarded: ["127.0.0.1"] }`,
    )
    writeFileSync(
      join(directory, 'haproxy.cfg'),
      `
global
  maxconn 200
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
  # Without it a check has its interval: too little for the first one on a busy machine, and the server is down.
  timeout check 5s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  option httpchk GET /check
  http-check send meth GET uri /check ver HTTP/1.1 hdr Host a
  server gate 127.0.0.1:${gate.port} check inter 100ms
`,
    )
    runTool(t, 'haproxy', ['-f', join(directory, 'haproxy.cfg')])
    await whenListening(port)
    await eventually(() => upstream.requests.some(({ target }) => target === '/check'), {
      what: 'a check',
      withinMs: 30_000,
    })
    const clients = await Promise.all(Array.from({ length: 10 }, () => httpClient(t, port)))
    for (let i = 0; i < 20; i++) {
      const answers = await Promise.all(
        clients.map((client, n) =>
          client.get(
            get(`/${n}/${i}`, i % 2 ? `Content-Length: 3\r\n` : '', i % 2 ? 'POST' : 'GET') +
              (i % 2 ? 'abc' : ''),
          ),
        ),
      )
      t.ok(
        answers.every(({ status }) => status === 200),
        `round ${i}`,
      )
    }
    const seen = upstream.requests.filter(({ target }) => target !== '/check')
    t.equal(seen.length, 200)
    t.equal(seen[0]!.header('x-forwarded-for'), '127.0.0.1, 127.0.0.1')
    t.same(upstream.problems, [])
    t.same(
      gate.ends().filter(({ close }) => close !== 'eof' && close !== 'reset'),
      [],
    )
  },
)
