// Services that speak HTTP/2, with several workers: each worker has sessions of its own, and the counts and
// views are those of one gate.

import { once } from 'node:events'
import type { ServerHttp2Stream } from 'node:http2'
import { test, type Test } from 'tap'
import * as grpc from '@grpc/grpc-js'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { codes } from '../support/h2-frames.ts'
import { call, grpcCaller, grpcService } from '../support/grpc.ts'
import { h2Ask, h2Connect, readMetrics } from '../support/h2-client.ts'
import type { H2Answer } from '../support/h2-client.ts'
import { h2Service } from '../support/h2-services.ts'
import { watchLeaks } from '../support/leaks.ts'

const WORKERS = 3
const LONG = { withinMs: 30_000 }
/** So many that the kernel gives some to each worker. */
const CLIENTS = 24

const to = (port: number, more = ''): string =>
  `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c${more} }`

const connections = (t: Test, { port }: Gate, count = CLIENTS) =>
  Promise.all(Array.from({ length: count }, () => h2Connect(t, port)))

interface Held {
  port: number
  waiting: ServerHttp2Stream[]
  sessions(): number
  /** The most streams at a time. */
  most(): number
}

/** Answers when the test says so. */
async function held(t: Test): Promise<Held> {
  const waiting: ServerHttp2Stream[] = []
  let most = 0
  const service = await h2Service(t, (stream) => {
    waiting.push(stream)
    most = Math.max(most, waiting.length)
    stream.once('close', () => waiting.includes(stream) && waiting.splice(waiting.indexOf(stream), 1))
  })
  return {
    port: service.port,
    waiting,
    sessions: () => service.sessions.filter((session) => !session.destroyed).length,
    most: () => most,
  }
}

/** Answers waiting streams, one after the other as they come, until `count` have answers. */
async function answer({ waiting }: Held, count: number): Promise<void> {
  for (let nth = 0; nth < count; nth++) {
    const stream = await eventually(() => waiting[0], LONG)
    const gone = once(stream, 'close')
    stream.respond({ ':status': 200 })
    stream.end('answered')
    await within(gone)
  }
}

interface Target {
  open: number
  sessions: { open: number; leaving: number; streams: number } | null
}

async function targetOf({ adminPort }: Gate): Promise<Target> {
  const answered = await fetch(`http://127.0.0.1:${adminPort}/upstreams`, {
    headers: { connection: 'close' },
  })
  const [upstream] = (await answered.json()) as Array<{ targets: Target[] }>
  return upstream!.targets[0]!
}

test('a session for each worker carries all requests; what is shown is of all of them', async (t) => {
  watchLeaks(t, LONG)
  const service = await held(t)
  const gate = await startGate(t, [to(service.port)], { workers: WORKERS })
  const clients = await connections(t, gate)
  const answers = clients.flatMap((client) => [h2Ask(client), h2Ask(client)])
  await eventually(() => service.waiting.length === 2 * CLIENTS, LONG)
  const sessions = service.sessions()
  t.ok(sessions > 1 && sessions <= WORKERS, `${sessions} sessions`)
  const shown = await targetOf(gate)
  t.same(shown.sessions, { open: sessions, leaving: 0, streams: 2 * CLIENTS })
  t.equal(shown.open, 2 * CLIENTS)
  await answer(service, 2 * CLIENTS)
  for (const { status } of await Promise.all(answers)) t.equal(status, 200)
})

test('upstream.maxConnections counts requests over all workers, whatever sessions carry them; the rest waits, in its order, or is told', async (t) => {
  watchLeaks(t, LONG)
  const service = await held(t)
  const keys = ', maxConnections: 4, queueTimeout: 20s, keepAlive: 30s'
  const gate = await startGate(t, [to(service.port, keys)], { workers: WORKERS })
  const clients = await connections(t, gate)
  const answers = clients.map((client) => h2Ask(client))
  const queued = async (): Promise<number> =>
    readMetrics(await gate.metrics())('sidegate_upstream_queued{listener="l0"}')
  await eventually(async () => (await queued()) === CLIENTS - 4, LONG)
  await eventually(() => service.waiting.length === 4, LONG)
  t.ok(service.sessions() <= WORKERS, 'few sessions, whose streams they are')
  await answer(service, CLIENTS)
  for (const one of await Promise.all(answers)) t.match(one, { status: 200, body: 'answered' })
  t.equal(service.most(), 4)
  t.equal(await queued(), 0)
  t.match(await targetOf(gate), { open: 0, sessions: { streams: 0 } })
  t.ok(service.sessions() >= 1, 'a session without requests takes no place')
})

test('a request or a call that gets no place in time is told so, and takes none', async (t) => {
  watchLeaks(t, LONG)
  const service = await grpcService(t)
  const gate = await startGate(t, [to(service.port, ', maxConnections: 2, queueTimeout: 500ms')], {
    workers: WORKERS,
  })
  const callers = Array.from({ length: 4 }, () => grpcCaller(t, gate.port))
  const chats = callers.slice(0, 2).map((caller) => caller.chat())
  const came: string[] = []
  for (const chat of chats) {
    chat.on('data', (message: Buffer) => came.push(String(message)))
    chat.write(Buffer.from('a'))
  }
  await eventually(() => came.length === 2, LONG)
  for (const caller of callers.slice(2))
    t.match(await call(caller, 'unary', 'b').answer, {
      code: grpc.status.UNAVAILABLE,
      details: /^no_upstream/,
    })
  const [client] = await connections(t, gate, 1)
  t.match(await h2Ask(client!), { status: 503, body: /^no_upstream/ })
  for (const chat of chats) {
    chat.end()
    await within(once(chat, 'end'))
  }
  for (const caller of callers)
    t.match(await call(caller, 'unary', 'c').answer, { message: Buffer.from('c') }, 'a place is free again')
  const counted = async (status: number): Promise<number> =>
    readMetrics(await gate.metrics())(`sidegate_grpc_responses_total{listener="l0",grpc_status="${status}"}`)
  // Two chats and four calls, and the two calls without a place, whichever workers had them.
  await eventually(async () => (await counted(0)) === 6 && (await counted(14)) === 2, LONG)
})

test('requests and calls go on over reloads, whether the upstream stays as it is or not, and a drain lets them end', async (t) => {
  watchLeaks(t, LONG)
  const service = await grpcService(t)
  const plain = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end('plain')
  })
  const listeners = (nth: number): string[] => {
    const keys = nth % 2 === 0 ? '' : `, queueTimeout: ${nth}s`
    return [to(service.port, keys), to(plain.port, keys)].map(
      (one) => `${one}, deadlines: { response: ${50 + nth}s }`,
    )
  }
  const gate = await startGate(t, listeners(0), { workers: WORKERS })
  const callers = Array.from({ length: 6 }, () => grpcCaller(t, gate.port))
  const chats = callers.map((caller) => caller.chat())
  const came: string[] = []
  for (const chat of chats) chat.on('data', (message: Buffer) => came.push(String(message)))
  const say = async (word: string): Promise<void> => {
    came.length = 0
    for (const chat of chats) chat.write(Buffer.from(word))
    await eventually(() => came.length === chats.length, LONG)
  }
  await say('before')
  const clients = await Promise.all(Array.from({ length: 6 }, () => h2Connect(t, gate.ports[1]!)))
  const answers: H2Answer[] = []
  const over = new AbortController()
  const asking = clients.map(async (first) => {
    let client = first
    while (!over.signal.aborted) {
      // A client whose next request would be served otherwise is asked to leave, behind an answer.
      while (!over.signal.aborted && !client.closed) {
        const answer = await h2Ask(client)
        // Its library had not sent it yet when the GOAWAY came.
        if (answer.code === codes.REFUSED_STREAM && client.closed) break
        answers.push(answer)
      }
      client.close()
      if (!over.signal.aborted) client = await h2Connect(t, gate.ports[1]!)
    }
  })
  const results: unknown[] = []
  for (let nth = 1; nth <= 6; nth++) {
    t.match(await gate.reload(listeners(nth)), { result: 'success' })
    await say(`after ${nth}`)
    for (const caller of callers) results.push(await call(caller, 'unary', 'x').answer)
  }
  over.abort()
  await Promise.all(asking)
  t.same([...new Set(answers.map(({ status, body }) => `${status} ${body}`))], ['200 plain'])
  t.equal(results.filter((one) => one instanceof Error).length, 0)
  const drained = gate.drain(20_000)
  await say('while it drains')
  for (const chat of chats) {
    chat.end()
    await within(once(chat, 'end'))
  }
  t.match(await drained, { cut: 0 })
})
