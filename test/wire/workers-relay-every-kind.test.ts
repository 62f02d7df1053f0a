// Requests of every kind and half-closes through four workers: each worker handles the same bytes as one gate
// does, for the client and for the service. Other tests prove that one gate is right.

import net from 'node:net'
import { once } from 'node:events'
import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { chunked, get, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'
import type { Upstream } from '../support/peers.ts'
import { Wire } from '../support/wire.ts'

const WORKERS = 4
/** One kind at a time, until each worker has had one. */
const CLIENTS = 12
const LONG = { withinMs: 60_000 }

const ok = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const coded = (body: string): string => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`
const post = (target: string, headers: string): string => get(target, headers, 'POST')
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
const MUCH = 300_000

/** The service's answers, by target. */
const answers: Record<string, (wire: Wire, head: string) => Promise<unknown> | void> = {
  '/head': (wire, head) =>
    void wire.write(head.startsWith('HEAD') ? 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n' : ok('got it.')),
  '/continue': async (wire) => {
    await wire.write('HTTP/1.1 100 Continue\r\n\r\n')
    await wire.write(ok((await wire.read(5, LONG)).toString()))
  },
  '/refused': (wire) => void wire.write('HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n'),
  '/trailers': async (wire) => {
    const body = await wire.readUntil('0\r\nX-Sum: 7\r\n\r\n', LONG)
    await wire.write(coded(`${body.length.toString(16)}\r\n${body.toString()}\r\n0\r\nX-Sum: 8\r\n\r\n`))
  },
  '/hints': (wire) =>
    void wire.write(
      `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('hinted')}`,
    ),
  '/early': (wire) =>
    void wire.write('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno.'),
  '/chunked': (wire) => void wire.write(coded(chunked('one', 'two'))),
  '/to-its-end': (wire) => wire.end('HTTP/1.1 200 OK\r\n\r\nall of it'),
}

/** Reads heads, and sends the answer of each target; other targets get their own name. */
async function serveHttp(wire: Wire, seen: (what: string) => void): Promise<void> {
  for (;;) {
    const head = (await wire.readUntil('\r\n\r\n', LONG).catch(() => null))?.toString()
    if (head === undefined) return wire.end()
    seen(head)
    const target = head.split(' ')[1]!
    await (answers[target] ?? (() => void wire.write(ok(target))))(wire, head)
  }
}

/** `first`: it ends before its client, and reads the client's bytes after that; `last`: it reads to the end, and then answers. */
async function serveTcp(wire: Wire, seen: (what: string) => void): Promise<void> {
  const first = (await wire.readUntil('\n', LONG)).toString() === 'first\n'
  if (first) wire.end('bye\n')
  await within(wire.ended, LONG)
  const heard = wire.takeUnread()
  seen(`${heard.length} bytes to the end`)
  if (!first) wire.end(`heard ${heard.length}`)
}

interface Kind {
  name: string
  /** Of the listener. */
  port: 'http' | 'tcp'
  say: (wire: Wire) => unknown
}

/** On some listeners a client that sends FIN before its answer counts as gone. */
const answered = (name: string, said: string, rest = ''): Kind => ({
  name,
  port: 'http',
  say: async (wire) => {
    await wire.write(said)
    while (wire.bytes === 0) await within(wire.news(), LONG)
    wire.end(rest)
  },
})

const http = (name: string, ...said: string[]): Kind => ({
  name,
  port: 'http',
  say: (wire) => wire.end(said.join('')),
})

const kinds: Kind[] = [
  http('HEAD, and the next request', get('/head', '', 'HEAD'), get('/head')),
  http('a pipeline', get('/1'), post('/2', 'Content-Length: 0\r\n'), get('/3')),
  http('interim answers', get('/hints')),
  http('HTTP/1.0', 'GET /chunked HTTP/1.0\r\nHost: a\r\n\r\n'),
  http(
    'trailers',
    post('/trailers', 'Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n'),
    '2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n',
  ),
  http('an answer that ends with its connection', get('/to-its-end')),
  answered('an upgrade that is declined', get('/declined', UPGRADE)),
  answered('an upgrade that is declined with chunks', get('/chunked', UPGRADE)),
  answered('an early answer', `${post('/early', `Content-Length: ${MUCH}\r\n`)}begun`),
  answered(
    'Expect: 100-continue',
    post('/continue', 'Expect: 100-continue\r\nContent-Length: 5\r\n'),
    'hello',
  ),
  answered(
    'Expect: 100-continue that is refused',
    post('/refused', 'Expect: 100-continue\r\nContent-Length: 5\r\n'),
  ),
  {
    name: 'a client of tcp that ends first',
    port: 'tcp',
    say: (wire) => wire.end(`last\n${'x'.repeat(MUCH)}`),
  },
  {
    name: 'a service of tcp that ends first',
    port: 'tcp',
    say: async (wire) => {
      await wire.write('first\n')
      await within(wire.ended, LONG)
      wire.end('x'.repeat(MUCH))
    },
  },
]

/** The bytes that a client read, its end, and its port. */
async function ask(port: number, { say }: Kind): Promise<{ told: string; client: string }> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const wire = new Wire(socket)
  await within(once(socket, 'connect'), LONG)
  const client = `127.0.0.1:${socket.localPort}`
  void say(wire)
  const { kind } = await within(wire.closed, LONG)
  // Whether its FIN is there before its answer is chance.
  const told = wire.takeUnread().toString().replaceAll('Connection: keep-alive', 'Connection: close')
  return { told: `${told} ${kind}`, client }
}

class Path {
  readonly seen: string[] = []
  gate!: Gate

  async start(t: Test, workers: number): Promise<this> {
    const seen = (what: string): void => void this.seen.push(what)
    const http = await listen(t, (wire) => serveHttp(wire, seen))
    const tcp = await listen(t, (wire) => serveTcp(wire, seen))
    const to = ({ port }: Upstream): string => `upstream: "127.0.0.1:${port}"`
    const listeners = [`protocol: http, ${to(http)}`, `protocol: tcp, ${to(tcp)}`]
    this.gate = await startGate(t, listeners, { workers })
    return this
  }

  portOf({ port }: Kind): number {
    return this.gate.ports[port === 'http' ? 0 : 1]!
  }
}

test('what one gate makes of a request or of a half-close, each of 4 workers makes of it', async (t) => {
  watchLeaks(t, LONG)
  watchCrashes(t)
  const [one, four] = [await new Path().start(t, 1), await new Path().start(t, WORKERS)]
  for (const kind of kinds) {
    const { told } = await ask(one.portOf(kind), kind)
    // A service sees some ends after its client has gone.
    await eventually(() => one.gate.lines.length > 0 && one.seen.length > 0, LONG)
    one.gate.lines.length = 0
    const seen = one.seen.splice(0)
    const workers = new Set<number>()
    while (workers.size < WORKERS) {
      const port = four.portOf(kind)
      const asked = await Promise.all(Array.from({ length: CLIENTS }, () => ask(port, kind)))
      t.same(new Set(asked.map((client) => client.told)), new Set([told]), kind.name)
      await eventually(() => four.seen.length >= CLIENTS * seen.length, LONG)
      const all = four.seen.splice(0)
      t.same(new Set(all), new Set(seen), `${kind.name}: at the service`)
      t.equal(all.length, CLIENTS * seen.length)
      const clients = new Set(asked.map(({ client }) => client))
      const ended = (): Array<Record<string, unknown>> =>
        four.gate.lines.filter(({ client }) => clients.has(String(client)))
      await eventually(() => ended().length >= CLIENTS, LONG)
      for (const { id } of ended()) workers.add(Number(id) % WORKERS)
      four.gate.lines.length = 0
    }
    t.comment(`${kind.name}: ${JSON.stringify(told)}`)
  }
})
