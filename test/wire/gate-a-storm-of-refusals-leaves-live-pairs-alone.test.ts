import root, { test, type Test } from 'tap'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { readSamples } from '../metrics/samples.ts'
import { pattern } from '../support/bytes.ts'
import { startGate } from '../support/gate.ts'
import { assertNoLeaks, resources, watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import { wsClient, wsServer } from '../support/websocket.ts'

// Thousands of connections, on a machine that may be busy.
root.setTimeout(120_000)

const STORM = 2000
const AT_A_TIME = 50
const PAIRS = 20
const BYTES = 1000

/** Sends so many bytes of the nth stream, and gets them back. */
type Exchange = (nth: number) => Promise<Buffer>

const kinds: Record<
  string,
  (t: Test) => Promise<{ port: number; live: (port: number, seed: number) => Promise<Exchange> }>
> = {
  tcp: async (t) => ({
    port: (await echo(t)).port,
    async live(port, seed) {
      const wire = await connect(t, port)
      return async (nth) => {
        void wire.write(pattern(BYTES, seed, nth * BYTES))
        return wire.read(BYTES)
      }
    },
  }),
  http: async (t) => ({
    port: (await wsServer(t)).port,
    async live(port, seed) {
      const client = await wsClient(t, `ws://127.0.0.1:${port}`)
      return async (nth) => {
        void client.send(pattern(BYTES, seed, nth * BYTES))
        return (await client.nextMessage()).data
      }
    },
  }),
}

/** One client of the storm: sends something, and waits for its end, whichever it is. */
function refused(port: number): Promise<void> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.1.1' })
  socket.on('error', () => {}).resume()
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

async function storm(port: number): Promise<void> {
  let left = STORM
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      while (left-- > 0) await refused(port)
    }),
  )
}

const full = `limits: { connections: ${PAIRS} }`
/** Places that the gate does not give back would run out. */
const denying = `limits: { connections: ${STORM} }, access: { deny: [127.0.1.0/24] }`
for (const [what, protocol, keys, reason] of [
  ['limits.connections', 'tcp', full, 'too_many'],
  ['limits.connections', 'http', full, 'too_many'],
  [
    'limits.newConnections',
    'tcp',
    `limits: { connections: ${STORM}, newConnections: { rate: 1, burst: ${PAIRS}, onExceed: close } }`,
    'rate_limited',
  ],
  ['access.deny', 'tcp', denying, 'denied'],
] as const) {
  test(`${STORM} connections that ${what} refuses (${protocol}) are each counted once, leave nothing behind, and cost no live pair a byte`, async (t) => {
    watchLeaks(t)
    const { port: upstream, live } = await kinds[protocol]!(t)
    const gate = await startGate(t, [`protocol: ${protocol}, upstream: "127.0.0.1:${upstream}", ${keys}`], {
      clock: stillClock(),
    })
    const exchanges = await Promise.all(Array.from({ length: PAIRS }, (_, seed) => live(gate.port, seed)))
    const isWhole = async (seed: number, nth: number): Promise<boolean> =>
      (await exchanges[seed]!(nth)).equals(pattern(BYTES, seed, nth * BYTES))
    const first = await Promise.all(exchanges.map((_, seed) => isWhole(seed, 0)))
    t.notOk(first.includes(false))
    const before = resources()
    const over = new AbortController()
    const pairs = exchanges.map(async (_, seed) => {
      let rounds = 1
      // In steps: libuv accepts once a turn, and pairs that never rest would make each turn a long one.
      for (; !over.signal.aborted; rounds++, await delay(20))
        if (!(await isWhole(seed, rounds))) return `not what pair ${seed} sent in round ${rounds}`
      return rounds > 2 ? null : `pair ${seed} waited for the storm to end`
    })
    await storm(gate.port)
    over.abort()
    t.same(
      (await Promise.all(pairs)).filter((problem) => problem !== null),
      [],
    )
    const samples = readSamples(await gate.metrics())
    t.equal(samples.get('sidegate_connections_rejected_total', { listener: 'l0', reason }), STORM)
    t.equal(
      samples.get('sidegate_connections_opened_total', {
        listener: 'l0',
        protocol: protocol === 'http' ? 'websocket' : 'tcp',
      }),
      PAIRS,
    )
    t.same([gate.registry.size, gate.lines.length], [PAIRS, 0], 'no live pair ended')
    await assertNoLeaks(t, before)
  })
}
