// The same generated exchanges through a gate and through HAProxy: the service must get the same request, and
// the client the same answer, except for the differences named here.

import t, { test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compare, exchanges } from '../support/exchanges.ts'
import type { Differences } from '../support/exchanges.ts'
import { freePort } from '../support/free-port.ts'
import { needs, program, runTool, temporary, whenListening } from '../support/tools.ts'

t.setTimeout(240_000)

const differences: Differences = {
  /** Connection and the framing of the body belong to each hop; the gate writes X-Forwarded-* and Sidegate-Hops; TE, Keep-Alive and Trailer end at a hop. */
  request:
    /^(connection|transfer-encoding|content-length|x-forwarded-.*|sidegate-hops|te|keep-alive|trailer|proxy-.*|upgrade)$/,
  answer: /^(connection|transfer-encoding|content-length|keep-alive|trailer)$/,
  /** HAProxy passes HTTP/1.0 on as the version of the answer; the gate writes HTTP/1.1, its own version. */
  isLeftOut: (_request, { framing }) => framing === 'HTTP/1.0',
}

test(
  'a gate and HAProxy make the same of any exchange, but for what is named',
  needs('haproxy'),
  async (t) => {
    const both = await exchanges(t, differences)
    const { port } = both.upstream
    const theirs = freePort()
    const file = join(temporary(t), 'haproxy.cfg')
    writeFileSync(
      file,
      `
global
  maxconn 200
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  retries 0
frontend in
  bind 127.0.0.1:${theirs}
  default_backend out
backend out
  server service 127.0.0.1:${port}
`,
    )
    runTool(t, 'haproxy', ['-f', file, '-db'])
    await whenListening(theirs)
    const gate = await program(t, `protocol: http, upstream: "127.0.0.1:${port}"`)
    await compare(both, { ours: gate.port, theirs }, 300)
    t.same(both.upstream.problems, [])
  },
)
