// Three gates with everything that a dashboard asks for going on: the stage of the demo, one with limits, several upstreams and
// TLS that is reloaded and drained, and one whose queues take nearly all of their budget.

import type { Test } from 'tap'
import { badClients, badService, goodClients } from '../../src/demo/scenes.ts'
import type { Scene } from '../../src/demo/scenes.ts'
import { Stage } from '../../src/demo/stage.ts'
import { authority, mountedSecret } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get } from '../support/http-peers.ts'
import { connect, echo, flooder, mute, refuser } from '../support/peers.ts'
import type { Pod } from './prometheus-server.ts'
import { rawClient, wsServer } from '../support/websocket.ts'

const KIB = 1024
/** The bound of all queues of the third gate. */
const BUDGET = 1536 * KIB

export interface MonitoredGates {
  pods: Pod[]
  /** Runs the ill-behaved clients and services of the demo. */
  misbehaviour: readonly Scene[]
  /** Runs all scenes that can run at once, until they have ended. */
  load(): Promise<void>
  /** Ends the second gate: a configuration that it takes, one that it refuses, and a drain that resets. */
  farewell(): Promise<void>
}

export async function monitoredGates(t: Test): Promise<MonitoredGates> {
  const stage = new Stage()
  await stage.start({ web: 0, lines: 0, health: 0, admin: 0 })
  t.teardown(() => stage.stop(1))
  const limited = await limitedGate(t)
  const flood = await flooder(t)
  const full = await startGate(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${flood.port}"`],
    {},
    // At the default of 95 % the gate would end the first readers in the moment in which the last one brings it there.
    `memory: { buffered: ${BUDGET / KIB}KiB, refuseAt: 100% }`,
  )
  const misbehaviour = [...badClients, ...badService]
  return {
    pods: [
      { workload: 'web', healthPort: stage.healthPort },
      { workload: 'limited', healthPort: limited.gate.healthPort },
      { workload: 'full', healthPort: full.healthPort },
    ],
    misbehaviour,
    async load() {
      await requests(stage)
      // So that stalls are more than one in twenty ends.
      const stalls = Array.from({ length: 4 }, () =>
        misbehaviour.filter(({ expected }) => expected.reason === 'write_timeout'),
      ).flat()
      const scenes = [...goodClients, ...misbehaviour, ...stalls].map((scene) => scene.play(stage))
      await Promise.all([...scenes, limited.load(), overload(t, full)])
      await requests(stage)
      // Meanwhile kernels may have taken some of it.
      await overload(t, full)
    },
    farewell: limited.farewell,
  }
}

async function requests(stage: Stage): Promise<void> {
  for (let nth = 0; nth < 3; nth++) {
    const response = await fetch(`http://127.0.0.1:${stage.port('web')}/`, {
      headers: { connection: 'close' },
    })
    await response.text()
  }
}

/** Clients that connect and do nothing; a full gate may reset them before they are connected. */
async function knock(t: Test, port: number, clients: number): Promise<void> {
  await Promise.allSettled(Array.from({ length: clients }, () => connect(t, port, { unread: true })))
}

/** Readers that stop, one after the other: a queue is at most 64 KiB, so the gate comes near its budget and ends nobody. */
async function overload(t: Test, gate: Gate): Promise<void> {
  const { registry } = gate
  const queued = (): number =>
    [...registry].reduce((sum, { owner }) => sum + (owner?.queued('client') ?? 0), 0)
  while (queued() < 0.95 * BUDGET) {
    const clients = registry.size + 1
    await connect(t, gate.port, { unread: true })
    const areStalled = (): boolean =>
      registry.size === clients && [...registry].every(({ owner }) => owner?.isPaused('to_client') === true)
    await eventually(areStalled, { what: `${clients} stalled readers`, withinMs: 60_000 })
  }
}

interface LimitedGate {
  gate: Gate
  load(): Promise<void>
  farewell(): Promise<void>
}

async function limitedGate(t: Test): Promise<LimitedGate> {
  const service = await echo(t)
  const gone = refuser(t)
  const silent = await mute(t)
  const broadcast = await wsServer(t, { echo: false })
  const ca = authority(t)
  const secret = mountedSecret(t, ca.issue('first', { days: 5 }))
  const upstream = `upstream: "127.0.0.1:${service.port}"`
  const rate = 'bytes: { rate: 64KiB, burst: 64KiB }'
  const listeners = [
    `protocol: tcp, ${upstream}, limits: { connections: 2 }`,
    `protocol: tcp, ${upstream}, limits: { ${rate} }`,
    `protocol: tcp, ${upstream}, limits: { mode: observe, ${rate} }`,
    `protocol: http, upstream: "service:${broadcast.port}", websocket: { mode: messages, slowConsumer: { policy: dropOldest, queue: 64KiB }, maxMessage: 32KiB }`,
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${gone.port}"], healthCheck: { type: tcp, interval: 1s } }`,
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${service.port}"], maxConnections: 1, queueTimeout: 10s, healthCheck: { type: tcp, interval: 1s } }`,
    `protocol: http, ${upstream}, tls: { cert: "${secret.cert}", key: "${secret.key}" }`,
    `protocol: http, upstream: "127.0.0.1:${silent.port}"`,
    `protocol: http, upstream: "127.0.0.1:${silent.port}", deadlines: { response: 500ms }`,
    `protocol: http, ${upstream}, http: { trustForwarded: ["127.0.0.0/8"] }, limits: { newConnections: { rate: 1, burst: 1, per: client, onExceed: close } }`,
  ]
  const gate = await startGate(t, listeners, {
    names: { lookup: () => Promise.resolve(['127.0.0.1']), refreshMs: 10_000 },
  })
  const port = (nth: number): number => gate.ports[nth] ?? 0
  const text = yamlOf(listeners)

  async function fill(): Promise<void> {
    await knock(t, port(0), 5)
    // One has the place of the fifth upstream, the other waits for it.
    for (let nth = 0; nth < 2; nth++) await connect(t, port(5))
  }

  async function send(nth: number): Promise<void> {
    const wire = await connect(t, port(nth))
    await wire.write(Buffer.alloc(200 * KIB))
    await wire.read(200 * KIB, { withinMs: 15_000 })
  }

  async function drop(): Promise<void> {
    const client = await rawClient(t, port(3))
    client.wire.socket.pause()
    const { socket } = await broadcast.connection()
    for (let nth = 0; nth < 1500; nth++) socket.send(Buffer.alloc(16 * KIB))
    await eventually(
      async () => /messages_dropped_total\{policy="dropOldest"\} [1-9]/.test(await gate.metrics()),
      { what: 'a dropped message', withinMs: 15_000 },
    )
  }

  /** More requests than a few that are late. */
  async function hang(): Promise<void> {
    const url = `http://127.0.0.1:${port(8)}/`
    const ask = (): Promise<unknown> => fetch(url, { headers: { connection: 'close' } })
    await Promise.all(Array.from({ length: 12 }, ask))
  }

  /** A client behind an ingress that comes too often. */
  async function refuseNamed(): Promise<void> {
    const ask = async (): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port(9)}/`, { headers: { 'x-forwarded-for': '192.0.2.1' } })).status
    await eventually(async () => (await ask()) === 429, { what: 'a refused client', withinMs: 15_000 })
  }

  async function rotate(): Promise<void> {
    secret.swap(ca.issue('second', { days: 5 }))
    await eventually(async () => /tls_reloads_total\{result="success"\} [1-9]/.test(await gate.metrics()), {
      what: 'the new certificate',
      withinMs: 20_000,
    })
  }

  return {
    gate,
    async load() {
      await fill()
      await Promise.all([send(1), send(2), drop(), rotate(), hang(), knock(t, port(4), 6), refuseNamed()])
    },
    async farewell() {
      await gate.reloadText(
        text.replace('health: { address: "127.0.0.1:0" }', 'health: { address: "127.0.0.1:17999" }'),
      )
      await gate.reloadText('listeners: nonsense')
      // HTTP gets its answer before it goes, and this one never comes.
      const patient = await connect(t, port(7))
      await patient.write(get())
      await gate.operator.drain('SIGTERM', { minDurationMs: 3000, spreadMs: 1000, timeoutMs: 6000 })
    },
  }
}
