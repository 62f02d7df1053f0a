import { test, type Test } from 'tap'
import { setImmediate as turn } from 'node:timers/promises'
import { pattern } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { wsClient, wsServer } from '../support/websocket.ts'

const RELOADS = 100
const CLIENTS = 50

/** Asks again and again until it is told to stop; throws where an answer is another one. */
type Client = (isOver: () => boolean) => Promise<number>

async function rawClient(t: Test, port: number, seed: number): Promise<Client> {
  const wire = await connect(t, port)
  return async (isOver) => {
    let rounds = 0
    for (; !isOver(); rounds += 1) {
      const bytes = pattern(100 + ((seed * 37 + rounds * 101) % 3000), seed + rounds)
      void wire.write(bytes)
      const answer = await wire.read(bytes.length)
      if (!answer.equals(bytes)) throw new Error(`tcp client ${seed} got other bytes`)
    }
    wire.end()
    if (!(await within(wire.ended))) throw new Error(`tcp client ${seed} was cut`)
    return rounds
  }
}

async function socketClient(t: Test, port: number, seed: number): Promise<Client> {
  const socket = await wsClient(t, `ws://127.0.0.1:${port}`)
  return async (isOver) => {
    let rounds = 0
    for (; !isOver(); rounds += 1) {
      const bytes = pattern(100 + ((seed * 37 + rounds * 101) % 3000), seed + rounds)
      if (!(await socket.send(bytes))) throw new Error(`WebSocket client ${seed} was cut`)
      const { data } = await socket.nextMessage()
      if (!data.equals(bytes)) throw new Error(`WebSocket client ${seed} got another message`)
    }
    socket.socket.close(1000)
    if ((await within(socket.closed)).code !== 1000) throw new Error(`WebSocket client ${seed} was told something else`)
    return rounds
  }
}

async function httpAsker(t: Test, port: number, seed: number): Promise<Client> {
  const client = await httpClient(t, port)
  return async (isOver) => {
    let rounds = 0
    for (; !isOver(); rounds += 1) {
      const { status, body, header } = await client.get(get(`/${seed}/${rounds}`))
      if (status !== 200 || body.toString() !== `/${seed}/${rounds}`) throw new Error(`HTTP client ${seed} got ${status}`)
      // After a thousand requests a connection is given up by design.
      if (header('connection') !== 'keep-alive') throw new Error(`HTTP client ${seed} was sent away after ${rounds} requests`)
      if (rounds === 900) return rounds
    }
    client.wire.end()
    await within(client.wire.closed)
    return rounds
  }
}

test('a hundred reloads, good and bad in turn, cost fifty live clients not a byte and not a connection', async (t) => {
  watchLeaks(t)
  const [upstream, service] = [await echo(t), await wsServer(t)]
  const web = await recordingUpstream(t, ({ target }) => `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`)
  /** Every reload changes every listener, so that each gets new parts. */
  const listeners = (nth: number): string[] => {
    const more = `buffers: { high: ${nth % 2 === 0 ? 64 : 32}KiB }, deadlines: { idle: ${1000 + nth}s }, limits: { connections: ${100 + nth} }`
    return [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${more}`,
      `protocol: http, upstream: "127.0.0.1:${service.port}", ${more}`,
      `protocol: http, upstream: "127.0.0.1:${web.port}", ${more}`,
    ]
  }
  const gate = await startGate(t, listeners(0))
  const kinds = [rawClient, socketClient, httpAsker]
  const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, nth) => kinds[nth % 3]!(t, gate.ports[nth % 3]!, nth)))
  const state = { isOver: false }
  const running = Promise.all(clients.map((client) => client(() => state.isOver)))
  running.catch(() => (state.isOver = true))
  const results: string[] = []
  for (let nth = 1; nth <= RELOADS && !state.isOver; nth += 1) {
    const text = yamlOf(listeners(nth))
    results.push((await gate.reloadText(nth % 2 === 0 ? text.replace('protocol: tcp', 'protocol: udp') : text)).result)
    await turn()
  }
  // One who comes anew is served as well as one who was there.
  const fresh = await connect(t, gate.port)
  await fresh.write('new')
  t.equal((await fresh.read(3)).toString(), 'new')
  fresh.end()
  state.isOver = true
  const rounds = await within(running, { withinMs: 10_000, what: 'all clients to be done' })
  t.same(['success', 'failure'].map((result) => results.filter((one) => one === result).length), [RELOADS / 2, RELOADS / 2])
  t.ok(Math.min(...rounds) > 5, `at least ${Math.min(...rounds)} answers each`)
  await eventually(() => gate.sidegate.registry.size === 0)
  t.equal(gate.lines.length, CLIENTS + 1)
  t.same(gate.lines.filter((line) => line['close'] !== 'eof'), [])
})
