// The alerts for a service that hangs, dies, flaps, is idle or is well: real gates before a real Prometheus,
// which scrapes them by the relabelings of our PodMonitor. Each workload has its own job; the two without a
// fault raise no alert.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import root from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { mute } from '../support/peers.ts'
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/tools.ts'
import { hastened, prometheus } from './prometheus-server.ts'
import type { Prometheus } from './prometheus-server.ts'

root.setTimeout(120_000)
const rules = join(import.meta.dirname, '../../deploy/monitoring/rules.yaml')
/** Fires where the machine of the test is short of CPU. */
const BY_CHANCE = 'SidegateEventLoopSlow'

/** A web service that a test can stop, and start again at the same port. */
interface Web {
  port: number
  up(): Promise<void>
  down(): Promise<void>
}

function web(t: Test): Web {
  const port = freePort()
  let server: http.Server | null = null
  async function down(): Promise<void> {
    server?.closeAllConnections()
    if (server !== null) await new Promise((resolve) => server!.close(resolve))
    server = null
  }
  t.teardown(down)
  return {
    port,
    async up() {
      server = http.createServer((_, answer) => answer.end('here'))
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
    down,
  }
}

const upstreamOf = (port: number): string =>
  `protocol: http, deadlines: { response: 300ms }, upstream: { addresses: ["127.0.0.1:${port}"], retryFor: off, healthCheck: { type: tcp, interval: 1s, healthy: 1, unhealthy: 1 } }`

/** Send requests to one gate after the other, again and again, until the end of the test. */
function askAlways(t: Test, gates: readonly Gate[]): void {
  const over = new AbortController()
  const ask = async ({ port }: Gate): Promise<void> => {
    while (!over.signal.aborted) {
      await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })
        .then((answer) => answer.text())
        .catch(() => {})
      await delay(50)
    }
  }
  const all = Promise.all(gates.map(ask))
  t.teardown(async () => {
    over.abort()
    await all
  })
}

/** The names of all alerts that have fired for that workload. */
async function fired(server: Prometheus, job: string): Promise<string[]> {
  const series = await server.history(`ALERTS{alertstate="firing", job="${job}", alertname!="${BY_CHANCE}"}`)
  return [...new Set(series.map(({ metric }) => metric['alertname'] ?? ''))].sort()
}

const failing = ['SidegateErrorBudgetBurn', 'SidegateErrorBudgetSlowBurn', 'SidegateInstanceFailing']
const expected = {
  hangs: [...failing, 'SidegateResponseTimeouts'],
  dies: [...failing, 'SidegateNoUpstream', 'SidegateUpstreamUnhealthy'],
  flaps: [...failing.slice(0, 2), 'SidegateUpstreamUnhealthy'],
  idle: [],
  well: [],
}

root.test(
  'a service that hangs, dies or flaps raises the alerts for it, by the name of its workload; one that is idle or well raises none',
  needs('prometheus'),
  async (t) => {
    const hanging = await mute(t)
    const [dying, flapping, well] = [web(t), web(t), web(t)]
    for (const one of [dying, flapping, well]) await one.up()
    const start = (port: number): Promise<Gate> => startGate(t, [upstreamOf(port)])
    const gates = {
      hangs: await start(hanging.port),
      dies: await start(dying.port),
      flaps: await start(flapping.port),
      idle: await start(well.port),
      well: await start(well.port),
    }
    const pods = Object.entries(gates).map(([workload, { healthPort }]) => ({ workload, healthPort }))
    const server = await prometheus(t, pods, hastened(readFileSync(rules, 'utf8')))
    // Ten late answers in ten seconds are an alert, on a busy machine too.
    const late = Array.from({ length: 5 }, () => gates.hangs)
    askAlways(t, [...late, gates.dies, gates.flaps, gates.well])
    const answered = async (gate: Gate): Promise<boolean> =>
      /http_requests_total\{.*code="200"\} [1-9]/.test(await gate.metrics())
    await eventually(async () => (await answered(gates.dies)) && (await answered(gates.flaps)), {
      what: 'answers before anything goes wrong',
    })
    await dying.down()

    let isDown = false
    const toggle = async (): Promise<void> => {
      await (isDown ? flapping.up() : flapping.down())
      isDown = !isDown
      await delay(2500)
    }
    await eventually(
      async () => {
        // Away for half of the time, by Prometheus's seconds.
        await toggle()
        const missing = await Promise.all(
          Object.entries(expected).map(async ([job, names]) => {
            const seen = await fired(server, job)
            return names.filter((name) => !seen.includes(name))
          }),
        )
        return missing.flat().length === 0
      },
      { what: 'the alerts', withinMs: 60_000 },
    ).catch(() => {})
    for (const [job, names] of Object.entries(expected)) {
      const seen = await fired(server, job)
      t.same(
        names.filter((name) => !seen.includes(name)),
        [],
        `${job}: fires`,
      )
      if (names.length === 0) t.same(seen, [], `${job}: nothing fires`)
    }
    const [named] = await server.history('ALERTS{alertname="SidegateInstanceFailing", job="dies"}')
    t.match(named?.metric, { pod: 'dies-7d9f6c5b8-x2x4z', namespace: 'shop', listener: 'l0' })
    t.same(await fired(server, 'sidegate'), [], 'no job is left that is nobody')
  },
)
