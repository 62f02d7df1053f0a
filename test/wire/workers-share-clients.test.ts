// The places of one client, whichever worker its connections, requests and streams meet, and whoever names it;
// and places of an upstream that idle connections give up to clients of other workers.

import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { bring } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import { threadFile } from '../support/threads.ts'
import type { Wire } from '../support/wire.ts'

const WORKERS = 3
const LONG = { withinMs: 60_000 }
const ANN = '203.0.113.7'

/** A request under way, as its client sees it. */
interface Asked {
  /** Null while it is under way. */
  readonly status: number | 'gone' | null
  leave(): void
}

async function askHttp1(t: Test, port: number): Promise<Asked> {
  const wire = await connect(t, port)
  void wire.write(get('/', `X-Forwarded-For: ${ANN}\r\n`))
  return {
    get status() {
      const head = /^HTTP\/1.1 (\d+)/.exec(text(wire))
      return head !== null ? Number(head[1]) : wire.outcome === null && !wire.hasEnded ? null : 'gone'
    },
    leave: () => wire.reset(),
  }
}

const heads = new WeakMap<Wire, string>()
/** What has come on the wire. */
function text(wire: Wire): string {
  const all = (heads.get(wire) ?? '') + wire.takeUnread().toString('latin1')
  heads.set(wire, all)
  return all
}

/** Three streams of one session. */
async function askHttp2(t: Test, port: number): Promise<Asked[]> {
  const client = await rawH2(t, port)
  return [1, 2, 3].map(() => {
    const id = client.request(h2.request({ 'x-forwarded-for': ANN }))
    let status: Asked['status'] = null
    client.head(id).then(
      (head) => (status = Number(head[':status'])),
      () => (status = 'gone'),
    )
    return {
      get status() {
        return status
      },
      leave: () => void client.send(h2.frame(h2.kinds.RST_STREAM, 0, id, h2.u32(h2.codes.CANCEL))),
    }
  })
}

const underWay = (all: Asked[]): number => all.filter(({ status }) => status === null).length
const refused = (all: Asked[]): number => all.filter(({ status }) => status === 503).length

test('limits.connectionsPerClient of a client that a peer names holds over all workers, sessions and requests, by a worker that ends and a reload', async (t) => {
  watchLeaks(t, LONG)
  const service = await recordingUpstream(t, () => undefined)
  const listener = (most: number): string =>
    `protocol: http, upstream: "127.0.0.1:${service.port}", http: { h2c: on, trustForwarded: ["127.0.0.1"] }, limits: { connectionsPerClient: ${most} }, deadlines: { response: off }`
  const gate = await startGate(t, [listener(20)], {
    workers: WORKERS,
    threadFile: threadFile('faulty-thread'),
  })
  const all: Asked[] = []
  const ask = async (requests: number, sessions: number): Promise<void> => {
    const asked = await Promise.all([
      ...Array.from({ length: requests }, async () => [await askHttp1(t, gate.port)]),
      ...Array.from({ length: sessions }, () => askHttp2(t, gate.port)),
    ])
    const before = refused(all)
    const now = underWay(all)
    all.push(...asked.flat())
    await eventually(() => underWay(all) <= Math.max(now, most), { ...LONG, what: `${most} under way` })
    t.ok(refused(all) >= before)
  }
  let most = 20
  await ask(30, 10)
  t.same([underWay(all), refused(all)], [20, 40])
  await eventually(() => service.requests.length === 20)

  bring({ worker: 1, kind: 'exit' })
  await eventually(() => all.some(({ status }) => status === 'gone'), LONG)
  const gone = all.filter(({ status }) => status === 'gone').length
  t.ok(gone < 20, `${gone} were the worker's`)
  // Clients of that worker, and its service, may not have seen the end yet.
  const live = (): number =>
    service.requests.filter(({ wire }) => wire.outcome === null && !wire.hasEnded).length
  await eventually(async () => (await ask(3, 1), underWay(all) === 20 && live() === 20), LONG)
  const before = refused(all)
  await ask(10, 2)
  t.same([underWay(all), refused(all)], [20, before + 16], 'and no more than that')

  most = 10
  t.match(await gate.reload([listener(10)]), { result: 'success' })
  await ask(5, 1)
  t.equal(underWay(all), 20, 'nobody who is there has to go')
  const open = all.filter(({ status }) => status === null)
  for (const one of open.slice(0, 11)) one.leave()
  await eventually(
    () => gate.lines.filter(({ protocol }) => protocol === 'http').length >= refused(all) + 11,
    LONG,
  )
  most = 30
  for (const one of open.slice(0, 11)) all.splice(all.indexOf(one), 1)
  await ask(2, 0)
  await eventually(() => underWay(all) === 10, LONG)
})

test('connections that are logged in and idle give up their places to clients of any worker', async (t) => {
  watchLeaks(t, LONG)
  let open = 0
  let most = 0
  const service = await listen(t, async (wire) => {
    most = Math.max(most, ++open)
    void wire.closed.then(() => open--)
    void wire.ended.then(() => wire.end())
    for (;;) {
      if ((await wire.readUntil('\r\n\r\n', { withinMs: 120_000 }).catch(() => null)) === null) return
      await wire.write(OK)
    }
  })
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: { maxConnections: 6, queueTimeout: 1h, addresses: ["127.0.0.1:${service.port}"] }`,
    ],
    { workers: WORKERS },
  )
  const clients = []
  for (let nth = 0; nth < 30; nth++) {
    const client = await httpClient(t, gate.port)
    t.equal((await client.get(get('/', `Authorization: NTLM ${nth}\r\n`))).status, 200)
    clients.push(client)
  }
  // All at once: each waits for a place that is idle somewhere.
  const answers = await Promise.all(
    clients.map((client, nth) => client.get(get('/', `Authorization: NTLM ${nth}\r\n`))),
  )
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  // One that was given up may still be there when the one in its place comes.
  t.ok(most <= 6 + WORKERS, `${most} at a time at the service`)
})
