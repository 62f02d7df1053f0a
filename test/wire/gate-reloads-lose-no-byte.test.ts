import root, { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { authority, mountedSecret } from '../support/certificates.ts'
import {
  httpEchoClient,
  namesTheTarget,
  tcpEchoClient,
  webSocketEchoClient,
} from '../support/echo-clients.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { certificateShown } from '../support/tls-peers.ts'
import { wsServer } from '../support/websocket.ts'

root.setTimeout(300_000)

const RELOADS = 100
/** Ten of each protocol, in the clear and over TLS. */
const CLIENTS = 60
/** The number of reloads for one swap of the certificates. */
const TO_A_SWAP = 10
/** For all clients of one process on a busy machine. */
const LONG = { withinMs: 60_000 }

test('a hundred reloads, good and bad in turn, and ten rotations of certificates cost sixty live clients not a byte and not a connection', async (t) => {
  watchLeaks(t)
  const upstreams = [await echo(t), await wsServer(t), await namesTheTarget(t)]
  const ca = authority(t)
  const [first, second, stranger] = ['first', 'second', 'stranger'].map((name) => ca.issue(name))
  const mounted = mountedSecret(t, first!)
  /** In the clear and over TLS. Every reload changes every listener, so that each gets new parts. */
  const listeners = (nth: number): string[] =>
    ['', `, tls: { cert: "${mounted.cert}", key: "${mounted.key}" }`].flatMap((tls) =>
      upstreams.map(({ port }, kind) => {
        const more = `buffers: { high: ${nth % 2 === 0 ? 64 : 32}KiB }, deadlines: { idle: ${1000 + nth}s }, limits: { connections: ${400 + nth} }`
        return `protocol: ${kind === 0 ? 'tcp' : 'http'}, upstream: "127.0.0.1:${port}", ${more}${tls}`
      }),
    )
  const gate = await startGate(t, listeners(0))
  const kinds = [tcpEchoClient, webSocketEchoClient, httpEchoClient]
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, seed) => {
      const client = await kinds[seed % 3]!(t, {
        port: gate.ports[seed % 6]!,
        seed,
        ca: seed % 6 < 3 ? null : ca.cert,
      })
      // An event loop accepts one connection a turn: all connections are open before all clients send at once.
      await client.ask(0)
      return client
    }),
  )
  const state = { isOver: false }
  const rounds = clients.map(() => 1)
  const running = Promise.all(
    clients.map(async (client, which) => {
      for (; !state.isOver; rounds[which]!++) await client.ask(rounds[which]!)
      await client.leave()
    }),
  )
  running.catch(() => (state.isOver = true))
  /** Resolves when each client has got one more answer; rejects if one has not. */
  const answered = async (): Promise<unknown> => {
    const before = [...rounds]
    return Promise.race([
      running,
      eventually(() => state.isOver || rounds.every((count, which) => count > before[which]!), {
        what: 'every client to be answered',
        ...LONG,
      }),
    ])
  }

  const told = { success: 0, failure: 0 }
  const results: string[] = []
  let good = 'first'
  for (let nth = 1; nth <= RELOADS; nth += 1) {
    if (nth % TO_A_SWAP === 1) {
      const isBad = (nth - 1) % (3 * TO_A_SWAP) === TO_A_SWAP
      if (!isBad) good = good === 'first' ? 'second' : 'first'
      mounted.swap(isBad ? { cert: stranger!.cert, key: first!.key } : good === 'first' ? first! : second!)
      // Of each listener with TLS.
      told[isBad ? 'failure' : 'success'] += 3
    }
    const text = yamlOf(listeners(nth))
    results.push(
      (await gate.reloadText(nth % 2 === 0 ? text.replace('protocol: tcp', 'protocol: udp') : text)).result,
    )
    await answered()
    if (nth % TO_A_SWAP !== 0) continue
    for (const [result, count] of Object.entries(told)) {
      await eventually(
        async () => readSamples(await gate.metrics()).get('sidegate_tls_reloads_total', { result }) === count,
        { what: `${count} times ${result}` },
      )
    }
    t.equal(
      await certificateShown(t, gate.ports[3 + ((nth / TO_A_SWAP) % 3)]!, { ca: ca.cert }),
      `CN=${good}`,
    )
  }
  // The gate serves a new client as well as an earlier one.
  const fresh = await connect(t, gate.port)
  await fresh.write('new')
  t.equal((await fresh.read(3)).toString(), 'new')
  fresh.end()
  state.isOver = true
  await within(running, { what: 'all clients to be done', ...LONG })
  t.same(
    ['success', 'failure'].map((result) => results.filter((one) => one === result).length),
    [RELOADS / 2, RELOADS / 2],
  )
  await eventually(() => gate.registry.size === 0)
  t.equal(gate.lines.length, CLIENTS + RELOADS / TO_A_SWAP + 1)
  t.same(
    gate.lines.filter((line) => line['close'] !== 'eof'),
    [],
  )
})
