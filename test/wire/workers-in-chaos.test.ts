// Clients of every kind come and go, reloads change the configuration, and meanwhile the test kills workers,
// and makes them throw and hang, at random moments: nothing leaks, no count is off afterwards, and clients of
// other workers notice nothing. `SEED=` repeats a run, as far as threads allow.

import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import type { Test } from 'tap'
import { ask } from '../admin/admin.ts'
import type { Row } from '../admin/admin.ts'
import { chanceOf } from '../fuzz/random.ts'
import type { Chance } from '../fuzz/random.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { bring } from '../support/faults.ts'
import type { EndKind } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { killWorker } from '../support/kill-worker.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { threadFile } from '../support/threads.ts'

const WORKERS = 3
const PASSERS = 15
const SENTINELS = 10
/**
 * The places of each listener, by their limit. Far more than there are clients at a time: a client that has left counts until its worker has
 * noticed, which takes a second where the machine is busy.
 */
const PLACES = [120, 110, 100]
const LONG = { withinMs: 60_000 }
/** Five in a minute would end the process. */
const FAULTS = 4
const MOST_BYTES = 100_000
/** The difference of wall clock and performance clock, and of the threads. */
const CLOCKS_MS = 20

interface Window {
  worker: number
  from: number
  until: number
}

/** A client that came, sent something, and went; `problem` is a fault that it saw. */
interface Passage {
  /** Its listener and address: two listeners may see the same port. */
  client: string
  from: number
  until: number
  problem: string | null
}

const listenersOf = (port: number, isChanged: boolean): string[] => {
  const upstream = `upstream: { addresses: ["127.0.0.1:${port}"], queueTimeout: 5s`
  const rest = `protocol: tcp, noDelay: ${isChanged}`
  return [
    `${rest}, ${upstream} }, limits: { connections: ${PLACES[0]} }`,
    `${rest}, ${upstream} }, limits: { connectionsPerClient: ${PLACES[1]} }`,
    `${rest}, ${upstream}, maxConnections: ${PLACES[2]} }`,
  ]
}

async function say(wire: Wire): Promise<void> {
  await wire.write('x')
  await within(wire.read(1, LONG), LONG)
}

/** Sends, and reads as much back, unless it leaves in the middle. */
async function pass(ports: readonly number[], nth: number, chance: Chance): Promise<Passage> {
  const from = performance.now()
  const [size, leaves, holdMs] = [1 + chance.below(MOST_BYTES), chance.oneIn(4), chance.below(200)]
  const socket = net.connect({ port: ports[nth]!, host: '127.0.0.1', allowHalfOpen: true })
  let [got, hasEnded, problem] = [0, false, null as string | null]
  socket.on('error', (error: NodeJS.ErrnoException) => (problem = error.code ?? error.message))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('data', (bytes: Buffer) => (got += bytes.length)).once('end', () => (hasEnded = true))
  await Promise.race([once(socket, 'connect').catch(() => {}), closed])
  const client = `l${nth} 127.0.0.1:${socket.localPort}`
  socket.write(Buffer.alloc(size))
  await Promise.race([delay(holdMs), closed])
  if (leaves) socket.resetAndDestroy()
  else socket.end()
  await within(closed, LONG)
  if (leaves) problem = null
  else if (problem === null && (got !== size || !hasEnded)) problem = `${got} of ${size} bytes came back`
  return { client, from, until: performance.now(), problem }
}

class Scene {
  readonly gate: Gate
  readonly #lines: Row[]
  readonly #t: Test
  readonly passages: Passage[] = []
  readonly windows: Window[] = []
  sentinels: Array<{ wire: Wire; worker: number }> = []
  #isOver = false

  constructor(t: Test, gate: Gate, lines: Row[]) {
    this.#t = t
    this.gate = gate
    this.#lines = lines
  }

  saw(message: string): number {
    return this.#lines.filter(({ msg }) => msg === message).length
  }

  /** Runs clients until `stop` is called. */
  async passers(chance: Chance): Promise<void> {
    await Promise.all(
      Array.from({ length: PASSERS }, async () => {
        while (!this.#isOver) this.passages.push(await pass(this.gate.ports, chance.below(3), chance))
      }),
    )
  }

  stop(): void {
    this.#isOver = true
  }

  async say(wire: Wire): Promise<void> {
    const client = `127.0.0.1:${wire.socket.localPort}`
    await say(wire).catch((cause: unknown) => {
      const told = JSON.stringify(this.gate.lines.findLast((line) => line['client'] === client))
      throw new Error(`${client}: ${told} ${JSON.stringify(wire.outcome)}`, { cause })
    })
  }

  /** As many as there were, each known by its worker. */
  async post(): Promise<void> {
    while (this.sentinels.length < SENTINELS * WORKERS) {
      const nth = this.sentinels.length % 3
      const wire = await connect(this.#t, this.gate.ports[nth]!)
      await this.say(wire)
      const { body } = await ask(this.gate.adminPort, '/connections', {}, 'GET')
      const client = `127.0.0.1:${wire.socket.localPort}`
      const row = (JSON.parse(body) as Row[]).find(
        (one) => one['client'] === client && one['listener'] === `l${nth}`,
      )!
      this.sentinels.push({ wire, worker: Number(row['id']) % WORKERS })
    }
  }

  /** Clients of other workers get their answers all the while. */
  async bring(worker: number, kind: EndKind | 'kill'): Promise<void> {
    const [ended, replaced] = [this.saw('worker ended'), this.saw('worker replaced')]
    const window = { worker, from: performance.now(), until: Number.POSITIVE_INFINITY }
    this.windows.push(window)
    if (kind === 'kill') await killWorker(worker)
    else bring({ worker, kind })
    const others = this.sentinels.filter((one) => one.worker !== worker)
    while (this.saw('worker ended') === ended) for (const { wire } of others) await this.say(wire)
    for (const { wire } of this.sentinels.filter((one) => one.worker === worker))
      await within(wire.closed, LONG)
    window.until = performance.now()
    this.sentinels = others
    await eventually(() => this.saw('worker replaced') > replaced, LONG)
    for (const { wire } of others) await this.say(wire)
  }

  /** The end of a client as its worker reported it; killed workers report nothing. */
  #lineOf({ client, from, until }: Passage): Row | undefined {
    return this.gate.lines.find((line) => {
      if (`${String(line['listener'])} ${String(line['client'])}` !== client) return false
      // Another one may have had its port before or after it.
      const beganAt = Date.parse(String(line['time'])) - Number(line['durationMs']) - performance.timeOrigin
      return beganAt >= from - CLOCKS_MS && beganAt <= until + CLOCKS_MS
    })
  }

  /** Clients without a fault to explain their problem: of another worker, or at another time. */
  get unexplained(): string[] {
    return this.passages.flatMap((passage) => {
      const { client, from, until, problem } = passage
      if (problem === null) return []
      const around = this.windows.filter((window) => from < window.until && until > window.from)
      const line = this.#lineOf(passage)
      const isExplained =
        line === undefined
          ? around.length > 0
          : around.some(({ worker }) => worker === Number(line['id']) % WORKERS)
      return isExplained ? [] : [`${client}: ${problem}: ${JSON.stringify(line)}`]
    })
  }
}

/** The number of clients that get service of so many at once. */
async function served(port: number, clients: number): Promise<{ count: number; leave: () => void }> {
  const sockets = Array.from({ length: clients }, () => net.connect(port, '127.0.0.1'))
  const answers = await Promise.all(
    sockets.map(async (socket) => {
      socket.on('error', () => {}).write('x')
      const closed = new Promise((resolve) => socket.once('close', resolve))
      const isServed = await Promise.race([
        new Promise<boolean>((resolve) => socket.once('data', () => resolve(true))),
        closed.then(() => false),
      ])
      return isServed
    }),
  )
  return {
    count: answers.filter(Boolean).length,
    leave: () => sockets.forEach((socket) => socket.destroy()),
  }
}

test(
  'workers that are killed, throw and hang at random moments leave nothing, and take nothing from the others',
  { timeout: 280_000 },
  async (t) => {
    watchLeaks(t, LONG)
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
    t.comment(`SEED=${seed}`)
    const chance = chanceOf(seed)
    const upstream = await echo(t)
    const lines: Row[] = []
    const gate = await startGate(t, listenersOf(upstream.port, true), {
      workers: WORKERS,
      threadFile: threadFile('faulty-thread'),
      onLine: (line) => void lines.push(line),
    })
    const scene = new Scene(t, gate, lines)
    const passing = scene.passers(chance)
    const kinds = [
      ...Array.from({ length: FAULTS - 1 }, () => chance.pick(['kill', 'throw'] as const)),
      'hang',
    ] as const
    let reloads = 0
    for (const [nth, kind] of kinds.entries()) {
      await scene.post()
      await delay(chance.below(500))
      const reloading = gate.reload(listenersOf(upstream.port, nth % 2 === 1))
      await scene.bring(chance.below(WORKERS), kind)
      const { result } = await within(reloading, LONG)
      if (result === 'success') reloads++
    }
    t.comment(`${kinds.join(', ')}; ${scene.passages.length} clients, ${reloads} reloads`)
    await scene.post()
    scene.stop()
    await passing
    t.same(scene.unexplained, [])
    t.ok(scene.passages.length > 100)
    for (const { wire } of scene.sentinels) {
      await say(wire)
      wire.end()
    }
    await eventually(() => gate.operator.open === 0, LONG)
    for (const [nth, places] of PLACES.entries()) {
      const { count, leave } = await within(served(gate.ports[nth]!, 2 * places), LONG)
      t.equal(count, places, `as many as l${nth} has places for`)
      leave()
      await eventually(() => gate.operator.open === 0, LONG)
    }
    const samples = readSamples(await gate.metrics())
    t.equal(
      samples.sum('sidegate_connections_opened_total', {}),
      samples.sum('sidegate_connections_closed_total', {}),
      'the account balances',
    )
    t.equal(samples.sum('sidegate_buffered_bytes', {}), 0)
    t.equal(samples.sum('sidegate_upstream_queued', {}), 0)
    t.equal(samples.get('sidegate_workers_ended_total', {}), FAULTS)
    await eventually(() => upstream.connections.every(({ outcome }) => outcome !== null), LONG)
    await within(gate.drain(5000), LONG)
    t.equal(gate.operator.drainState, 'finished')
  },
)
