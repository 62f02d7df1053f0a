// Facts that several workers need, one of them asks for, and all know: whether an address is healthy, the
// addresses of a name, where no process listens. No knowledge is lost with a worker that ends.

import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { test } from 'tap'
import type { Test } from 'tap'
import { ask } from '../admin/admin.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { bring } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, refuser } from '../support/peers.ts'
import { threadFile } from '../support/threads.ts'

const WORKERS = 3
const INTERVAL_MS = 200
const LONG = { withinMs: 60_000 }
const workers = { workers: WORKERS, threadFile: threadFile('faulty-thread') }

/** Answers `/healthz` as the test says, and counts those requests; every other target gets 200. */
async function service(t: Test) {
  const seen = { probes: 0, requests: 0, isWell: true }
  const server = http.createServer((request, response) => {
    if (request.url === '/healthz') {
      seen.probes++
      response.writeHead(seen.isWell ? 200 : 503).end()
    } else {
      seen.requests++
      response.end('served')
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { seen, port: (server.address() as AddressInfo).port }
}

async function status(gate: Gate): Promise<number> {
  return (await within(ask(gate.port, '/', {}, 'GET'), LONG)).status
}

/** As many clients as it takes for each worker to meet some. */
async function statuses(gate: Gate): Promise<number[]> {
  const all = await Promise.all(Array.from({ length: 40 }, () => status(gate)))
  return [...new Set(all)].toSorted((one, other) => one - other)
}

async function targets(gate: Gate): Promise<Array<Record<string, unknown>>> {
  const [upstream] = JSON.parse((await ask(gate.adminPort, '/upstreams', {}, 'GET')).body) as Array<{
    targets: Array<Record<string, unknown>>
  }>
  return upstream!.targets
}

async function ended(gate: Gate): Promise<number> {
  return readSamples(await gate.metrics()).get('sidegate_workers_ended_total', {}) ?? 0
}

test('an address is asked once in each interval, whatever the number of workers, and all hold to the answer', async (t) => {
  watchLeaks(t, LONG)
  const { seen, port } = await service(t)
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], healthCheck: { type: http, path: "/healthz", interval: ${INTERVAL_MS}ms, timeout: 10s, healthy: 1, unhealthy: 2 } }`,
    ],
    workers,
  )
  await eventually(() => seen.probes > 0, LONG)
  const [from, at] = [seen.probes, performance.now()]
  await eventually(() => seen.probes >= from + 10, LONG)
  // An interval is a tenth shorter at the least.
  const most = (performance.now() - at) / (0.9 * INTERVAL_MS) + 1
  t.ok(seen.probes - from <= most, `${seen.probes - from} checks of at most ${most.toFixed(1)}`)
  t.same(await statuses(gate), [200])
  seen.isWell = false
  await eventually(async () => (await targets(gate))[0]!['state'] === 'unhealthy', LONG)
  await eventually(async () => (await statuses(gate)).join() === '503', LONG)
  const before = seen.requests
  for (let worker = 0; worker < WORKERS; worker++) {
    bring({ worker, kind: 'exit' })
    await eventually(async () => (await ended(gate)) === worker + 1, LONG)
    // Clients that the end of their worker resets do not count.
    await eventually(async () => (await statuses(gate).catch(() => [])).join() === '503', LONG)
    const probes = seen.probes
    await eventually(() => seen.probes > probes + 1, { ...LONG, what: 'somebody who checks' })
  }
  t.equal(seen.requests, before, 'nobody was sent there, also not by a worker that has just begun')
  seen.isWell = true
  await eventually(async () => (await statuses(gate)).join() === '200', LONG)
  const samples = readSamples(await gate.metrics())
  const counted = samples.sum('sidegate_upstream_health_checks_total', { listener: 'l0' })
  t.ok(
    counted <= seen.probes,
    `${counted} counted of ${seen.probes}, less what those that ended had not shown`,
  )
})

test('a reload to other checks asks by them, once, and one that takes them out asks no more', async (t) => {
  watchLeaks(t, LONG)
  const { seen, port } = await service(t)
  const listener = (healthCheck: string): string =>
    `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"]${healthCheck} }`
  const check = (path: string): string =>
    listener(`, healthCheck: { type: http, path: "${path}", interval: ${INTERVAL_MS}ms, timeout: 10s }`)
  const gate = await startGate(t, [check('/other')], workers)
  await eventually(() => seen.requests > 1, LONG)
  // Connections keep the parts under which they were admitted, and their checks.
  const held = await Promise.all(Array.from({ length: 10 }, () => connect(t, gate.port)))
  t.match(await gate.reload([check('/healthz')]), { result: 'success' })
  await eventually(() => seen.probes > 2, LONG)
  for (const wire of held) wire.end()
  t.match(await gate.reload([listener('')]), { result: 'success' })
  await eventually(() => gate.operator.open === 0, LONG)
  const { probes, requests } = seen
  await new Promise((resolve) => setTimeout(resolve, 5 * INTERVAL_MS))
  t.ok(seen.probes <= probes + 1 && seen.requests <= requests + 1, 'but for one that was under way')
  t.match(await targets(gate), [{ state: 'unknown', lastCheck: null }])
})

test('where nobody listens is found out once: every worker avoids the address', async (t) => {
  watchLeaks(t, LONG)
  const [gone, well] = [refuser(t), await echo(t)]
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: { addresses: ["127.0.0.1:${gone.port}", "127.0.0.1:${well.port}"], balance: roundRobin }`,
    ],
    workers,
  )
  const say = async (): Promise<void> => {
    const wire = await connect(t, gate.port)
    await wire.write('x')
    await within(wire.read(1), LONG)
  }
  const failures = async (): Promise<number> =>
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', { listener: 'l0' })
  while ((await failures()) === 0) await say()
  await eventually(async () => (await targets(gate)).some((one) => one['lastFailure'] !== null), LONG)
  // Once all workers have answered, all know the finding.
  await targets(gate)
  const from = performance.now()
  for (let nth = 0; nth < 60; nth++) await say()
  // No worker tries it for ten seconds.
  if (performance.now() - from < 9000) t.equal(await failures(), 1)
})

test('a name is asked for once for all workers', async (t) => {
  watchLeaks(t, LONG)
  const service = await echo(t)
  let lookups = 0
  const names = {
    refreshMs: 60_000,
    lookup: () => {
      lookups++
      return Promise.resolve(['127.0.0.1'])
    },
  }
  const gate = await startGate(t, [`protocol: tcp, upstream: "service.test:${service.port}"`], {
    ...workers,
    names,
  })
  const wires = await Promise.all(Array.from({ length: 30 }, () => connect(t, gate.port)))
  for (const wire of wires) {
    await wire.write('x')
    await within(wire.read(1), LONG)
  }
  t.equal(lookups, 1)
})

test('every worker gives up the addresses of a name once the resolver says that there is no such name', async (t) => {
  watchLeaks(t)
  const service = await echo(t)
  let answer = 'EAI_AGAIN'
  const lookup = (): Promise<string[]> =>
    answer === ''
      ? Promise.resolve(['127.0.0.1'])
      : Promise.reject(Object.assign(new Error('none'), { code: answer }))
  const upstream = `{ addresses: ["service.test:${service.port}"], staleFor: 300ms, retryFor: off }`
  const gate = await startGate(t, [`protocol: http, upstream: ${upstream}`], {
    ...workers,
    names: { refreshMs: 50, lookup },
  })
  const stateIs = (state: string, problem: string | null): Promise<unknown> =>
    eventually(async () => {
      const [view] = JSON.parse((await ask(gate.adminPort, '/upstreams', {}, 'GET')).body) as Array<{
        names: Array<{ state: string; problem: string | null }>
      }>
      return view!.names.every((name) => name.state === state && name.problem === problem)
    }, LONG)
  await stateIs('unresolved', 'EAI_AGAIN')
  answer = ''
  await stateIs('resolved', null)
  answer = 'ENOTFOUND'
  await stateIs('absent', 'ENOTFOUND')
  await eventually(async () => (await statuses(gate)).join() === '503', LONG)
})
