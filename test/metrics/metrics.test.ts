import fc from 'fast-check'
import { test, type Test } from 'tap'
import { makeClose, reasonNames, type Close, type PeerSide } from '../../src/core/close.ts'
import { Connection, Registry, type Direction, type Protocol } from '../../src/core/connection.ts'
import { GateMetrics, type GateMetricsOptions } from '../../src/metrics/gate-metrics.ts'
import { Metrics, type MetricsOptions } from '../../src/metrics/metrics.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { readSamples, type Samples } from './samples.ts'
import { addressOf } from '../support/addresses.ts'

const listeners: GateMetricsOptions['listeners'] = [
  { name: 'app', protocols: ['http', 'websocket'], maxConnections: 100, bufferHighBytes: 65_536 },
  { name: 'raw', protocols: ['tcp'], maxConnections: 200, bufferHighBytes: 1000 },
]

function setUp(t: Test, options: Partial<MetricsOptions> = {}, ofGate: Partial<GateMetricsOptions> = {}) {
  const clock = fakeClock({ now: 0 })
  const registry = new Registry()
  const metrics = new GateMetrics({ listeners, registry, clock, ...ofGate })
  const shown = new Metrics({
    version: '1.2.3',
    revision: 'abc',
    gates: async () => [await metrics.rows()],
    gateFigures: async () => [metrics.figures()],
    ...options,
  })
  const stop = (): void => {
    shown.stop()
    metrics.stop()
  }
  t.teardown(stop)
  const scrape = async () => readSamples((await shown.render()).body)

  function accept(listener: string, protocol: Protocol): Connection {
    const connection = new Connection(
      registry.nextId(),
      listener,
      protocol,
      addressOf('10.0.0.1:1'),
      clock.now(),
    )
    registry.add(connection)
    return connection
  }
  function open(listener: string, protocol: Protocol): Connection {
    const connection = accept(listener, protocol)
    metrics.onOpened(connection)
    return connection
  }
  function close(connection: Connection, end: Close = makeClose('eof', 'client', 'relay')): void {
    connection.end = end
    registry.delete(connection)
    metrics.onClosed(connection)
  }
  return { clock, registry, metrics, shown, stop, scrape, accept, open, close }
}

function own(
  connection: Connection,
  queued: Record<PeerSide, number>,
  paused: Direction | null = null,
): void {
  connection.owner = {
    close() {},
    queued: (side) => queued[side],
    lastDrainAt: () => 0,
    isPaused: (direction) => direction === paused,
  }
}

function balance(samples: Samples, listener: string, protocol: string): number {
  const labels = { listener, protocol }
  return (
    samples.sum('sidegate_connections_opened_total', labels) -
    samples.sum('sidegate_connections_closed_total', labels)
  )
}

test('every reason stands at 0 for every listener and protocol before anything happened', async (t) => {
  const samples = await setUp(t).scrape()
  for (const [listener, protocol] of [
    ['app', 'http'],
    ['app', 'websocket'],
    ['raw', 'tcp'],
  ]) {
    for (const reason of reasonNames) {
      const labels = { listener: listener!, protocol: protocol!, reason }
      t.ok(samples.count('sidegate_connections_closed_total', labels) >= 1, `${protocol} ${reason}`)
    }
    t.equal(
      samples.count('sidegate_connection_duration_seconds_count', {
        listener: listener!,
        protocol: protocol!,
      }),
      1,
    )
  }
  t.equal(samples.sum('sidegate_connections_closed_total'), 0)
  t.equal(samples.count('sidegate_connections_closed_total'), 3 * 43)
  t.equal(samples.get('sidegate_connections_rejected_total', { listener: 'raw', reason: 'too_many' }), 0)
  t.equal(
    samples.get('sidegate_upstream_connect_failures_total', { listener: 'raw', reason: 'connect_refused' }),
    0,
  )
  t.equal(samples.get('sidegate_upstream_connect_duration_seconds_count', { listener: 'raw' }), 0)
  t.equal(samples.get('sidegate_upstream_no_local_port_total', { listener: 'raw' }), 0)
})

test('opened less closed is the gauge, by listener and protocol', async (t) => {
  const { scrape, open, close, accept, metrics } = setUp(t)
  open('raw', 'tcp')
  const websocket = open('app', 'websocket')
  const ended = open('app', 'http')
  close(ended, makeClose('write_timeout', 'client', 'relay'))
  const pending = accept('app', 'http')
  const before = await scrape()
  t.equal(before.get('sidegate_connections_pending', { listener: 'app' }), 1)
  t.equal(
    before.get('sidegate_connections_closed_total', {
      listener: 'app',
      protocol: 'http',
      side: 'client',
      reason: 'write_timeout',
    }),
    1,
  )
  metrics.onOpened(pending)
  metrics.onOpened(pending)
  websocket.connectedAt = 1
  const after = await scrape()
  t.equal(after.get('sidegate_connections_pending', { listener: 'app' }), 0)
  for (const samples of [before, after]) {
    for (const [listener, protocol] of [
      ['app', 'http'],
      ['app', 'websocket'],
      ['raw', 'tcp'],
    ]) {
      const gauge = samples.get('sidegate_connections', {
        listener: listener!,
        protocol: protocol!,
        side: 'client',
      })
      t.equal(balance(samples, listener!, protocol!), gauge, `${listener} ${protocol}`)
    }
  }
  t.equal(after.get('sidegate_connections', { listener: 'app', protocol: 'websocket', side: 'upstream' }), 1)
})

test('a connection that ends before its protocol was known is opened and closed', async (t) => {
  const { scrape, accept, close } = setUp(t)
  close(accept('app', 'http'), makeClose('handshake_timeout', 'client', 'handshake'))
  const samples = await scrape()
  t.equal(samples.get('sidegate_connections_opened_total', { listener: 'app', protocol: 'http' }), 1)
  t.equal(
    samples.get('sidegate_connections_closed_total', {
      listener: 'app',
      protocol: 'http',
      side: 'client',
      reason: 'handshake_timeout',
    }),
    1,
  )
})

test('an HTTP connection that upgrades later is an ended HTTP one and a new WebSocket', async (t) => {
  const { scrape, open, close } = setUp(t)
  const seen = open('app', 'http')
  const unseen = open('app', 'http')
  seen.protocol = 'websocket'
  const during = await scrape()
  t.equal(during.get('sidegate_connections', { listener: 'app', protocol: 'websocket', side: 'client' }), 1)
  t.equal(during.get('sidegate_connections', { listener: 'app', protocol: 'http', side: 'client' }), 1)
  unseen.protocol = 'websocket'
  close(seen)
  close(unseen)
  const after = await scrape()
  for (const samples of [during, after]) {
    for (const protocol of ['http', 'websocket']) {
      t.equal(
        balance(samples, 'app', protocol),
        samples.get('sidegate_connections', { listener: 'app', protocol, side: 'client' }),
      )
    }
  }
  t.equal(
    after.get('sidegate_connections_closed_total', {
      listener: 'app',
      protocol: 'websocket',
      side: 'client',
      reason: 'eof',
    }),
    2,
  )
})

test('bytes, messages and pauses are live, by side, and do not move when a connection ends', async (t) => {
  const { scrape, open, close } = setUp(t)
  const connection = open('app', 'websocket')
  own(connection, { client: 400, upstream: 0 })
  Object.assign(connection.toUpstream, { received: 10, sent: 12, messages: 1, pauses: 0 })
  Object.assign(connection.toClient, { received: 1000, sent: 1000, messages: 5, pauses: 2 })
  const live = await scrape()
  close(connection)
  const after = await scrape()
  for (const samples of [live, after]) {
    t.equal(samples.get('sidegate_receive_bytes_total', { listener: 'app', side: 'client' }), 10)
    t.equal(samples.get('sidegate_receive_bytes_total', { listener: 'app', side: 'upstream' }), 1000)
    t.equal(samples.get('sidegate_transmit_bytes_total', { listener: 'app', side: 'client' }), 600)
    t.equal(samples.get('sidegate_transmit_bytes_total', { listener: 'app', side: 'upstream' }), 12)
    t.equal(samples.get('sidegate_websocket_messages_total', { listener: 'app', direction: 'to_client' }), 5)
    t.equal(samples.get('sidegate_backpressure_pauses_total', { direction: 'to_client' }), 2)
    t.equal(samples.get('sidegate_receive_bytes_total', { listener: 'raw', side: 'client' }), 0)
  }
  t.equal(live.get('sidegate_buffered_bytes', { side: 'client' }), 400)
  t.equal(after.get('sidegate_buffered_bytes', { side: 'client' }), 0)
  open('app', 'http').toUpstream.received = 5
  t.equal((await scrape()).get('sidegate_receive_bytes_total', { listener: 'app', side: 'client' }), 15)
})

test('no counter goes down, whatever the connections do between scrapes', async (t) => {
  const step = fc.record({
    index: fc.nat(4),
    what: fc.constantFrom('bytes', 'queue', 'close', 'upgrade', 'open'),
    by: fc.nat(5000),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), async (steps) => {
      const { scrape, open, close, stop } = setUp(t)
      const connections: Connection[] = []
      let last = await scrape()
      for (const { index, what, by } of steps) {
        const connection = connections[index]
        if (what === 'open') connections[index] ??= open('app', 'http')
        else if (connection === undefined) continue
        else if (what === 'bytes')
          Object.assign(connection.toClient, {
            received: connection.toClient.received + by,
            sent: connection.toClient.sent + by,
          })
        else if (what === 'queue')
          own(connection, { client: Math.min(by, connection.toClient.sent), upstream: 0 })
        else if (what === 'upgrade') connection.protocol = 'websocket'
        else {
          close(connection)
          delete connections[index]
        }
        const now = await scrape()
        if (last.counters().some(([series, value]) => (now.values.get(series) ?? 0) < value)) return false
        last = now
      }
      stop()
      return true
    }),
    { numRuns: 30 },
  )
  t.pass()
})

test('a connection counts as back-pressured while a source of it is paused, not because bytes wait', async (t) => {
  const { scrape, open } = setUp(t)
  const stalled = open('raw', 'tcp')
  const fine = open('raw', 'tcp')
  own(stalled, { client: 0, upstream: 1000 }, 'to_upstream')
  own(fine, { client: 999, upstream: 0 })
  const samples = await scrape()
  t.equal(samples.get('sidegate_backpressured_connections'), 1)
  t.equal(samples.get('sidegate_buffered_bytes', { side: 'upstream' }), 1000)
  t.equal(samples.get('sidegate_buffer_limit_bytes', { listener: 'raw' }), 1000)
  t.equal(samples.get('sidegate_connections_limit', { listener: 'raw' }), 200)
})

test('dials, pings, rejections and durations are counted', async (t) => {
  const { scrape, open, close, metrics, clock } = setUp(t)
  const connection = open('app', 'websocket')
  metrics.onConnected(connection, 3)
  metrics.onConnectFailed(connection, makeClose('connect_timeout', 'upstream', 'connect'))
  metrics.onPingSent(connection)
  metrics.onPong(connection, 20)
  metrics.onRejected('app', makeClose('too_many', 'client', 'admit'))
  await clock.pass(20_000)
  close(connection)
  const samples = await scrape()
  t.equal(
    samples.get('sidegate_upstream_connect_duration_seconds_bucket', { listener: 'app', le: '0.0025' }),
    0,
  )
  t.equal(
    samples.get('sidegate_upstream_connect_duration_seconds_bucket', { listener: 'app', le: '0.005' }),
    1,
  )
  t.equal(
    samples.get('sidegate_upstream_connect_failures_total', { listener: 'app', reason: 'connect_timeout' }),
    1,
  )
  t.equal(samples.get('sidegate_websocket_pings_total'), 1)
  t.equal(samples.get('sidegate_websocket_pong_rtt_seconds_sum'), 0.02)
  t.equal(samples.get('sidegate_connections_rejected_total', { listener: 'app', reason: 'too_many' }), 1)
  t.equal(
    samples.get('sidegate_connection_duration_seconds_sum', { listener: 'app', protocol: 'websocket' }),
    20,
  )
})

test('state, build and process are there', async (t) => {
  const { scrape } = setUp(
    t,
    { isDraining: () => true, logLinesDropped: () => 7 },
    { kernelLooksLost: () => 3 },
  )
  const samples = await scrape()
  t.equal(samples.get('sidegate_draining'), 1)
  t.equal(samples.get('sidegate_log_lines_dropped_total'), 7)
  t.equal(samples.get('sidegate_kernel_looks_lost_total'), 3)
  t.equal(
    samples.get('sidegate_build_info', { version: '1.2.3', revision: 'abc', node_version: process.version }),
    1,
  )
  for (const name of [
    'process_resident_memory_bytes',
    'process_cpu_seconds_total',
    'process_start_time_seconds',
    'nodejs_heap_size_used_bytes',
  ]) {
    t.ok((samples.get(name) ?? 0) > 0, name)
  }
  if (process.platform === 'linux') t.ok((samples.get('process_open_fds') ?? 0) > 3)
  t.equal((await setUp(t).scrape()).get('sidegate_draining'), 0)
})

test('a blocked event loop shows more lag than it had before', async (t) => {
  const { scrape } = setUp(t)
  const { setTimeout: delay } = await import('node:timers/promises')
  await delay(160)
  const before = (await scrape()).get('nodejs_eventloop_lag_p50_seconds')!
  await delay(160)
  const until = performance.now() + 400
  while (performance.now() < until);
  await delay(60)
  const most = (await scrape()).get('nodejs_eventloop_lag_max_seconds')!
  t.ok(most > 0.3 && most > before, `${most} s, ${before} s before`)
})

test('no client can make a series: addresses and details leave none', async (t) => {
  const { registry, metrics, scrape, close, clock } = setUp(t)
  const before = (await scrape()).values.size
  for (let index = 0; index < 2000; index++) {
    const connection = new Connection(
      registry.nextId(),
      'app',
      'http',
      addressOf(`10.0.0.1:${index}`),
      clock.now(),
    )
    connection.upstreamAddress = `host-${index}:80`
    registry.add(connection)
    metrics.onOpened(connection)
    metrics.onConnectFailed(connection, makeClose('connect_failed', 'upstream', 'connect', `detail ${index}`))
    metrics.onRejected('app', makeClose('denied', 'client', 'admit', `origin ${index}`))
    close(connection, makeClose('protocol_error', 'client', 'handshake', `bad ${index}`))
  }
  t.equal((await scrape()).values.size, before)
})

test('a listener of a reload joins, one that is known keeps its counts, and one that was never announced counts', async (t) => {
  const { scrape, metrics, open, close } = setUp(t)
  close(open('raw', 'tcp'))
  metrics.setListener({ name: 'raw', protocols: ['tcp'], maxConnections: 7, bufferHighBytes: 5 })
  metrics.setListener({ name: 'new', protocols: ['tcp'], maxConnections: 8, bufferHighBytes: 6 })
  close(open('other', 'tcp'))
  const samples = await scrape()
  t.equal(samples.get('sidegate_connection_duration_seconds_count', { listener: 'raw', protocol: 'tcp' }), 1)
  t.equal(samples.get('sidegate_buffer_limit_bytes', { listener: 'raw' }), 5)
  t.equal(samples.get('sidegate_connections_limit', { listener: 'raw' }), 7)
  t.equal(samples.get('sidegate_connections_limit', { listener: 'new' }), 8)
  t.equal(samples.get('sidegate_connections_limit', { listener: 'app' }), 100)
  t.equal(samples.get('sidegate_connections', { listener: 'new', protocol: 'tcp', side: 'client' }), 0)
  t.equal(samples.get('sidegate_connections_opened_total', { listener: 'other', protocol: 'tcp' }), 1)
})

test('a scrape of 5,000 connections takes less than 200 ms of processor time', async (t) => {
  const { open, shown } = setUp(t)
  for (let index = 0; index < 5000; index++) own(open('app', 'websocket'), { client: index, upstream: 1 })
  let bestMs = Number.POSITIVE_INFINITY
  for (let nth = 0; nth < 5; nth++) {
    const before = process.cpuUsage()
    await shown.render()
    const { user, system } = process.cpuUsage(before)
    bestMs = Math.min(bestMs, (user + system) / 1000)
  }
  t.ok(bestMs < 200, `${bestMs.toFixed(1)} ms, the best of five`)
})

test('dials for which no local port was left are counted on their own too', async (t) => {
  const { scrape, open, metrics } = setUp(t)
  const connection = open('raw', 'tcp')
  for (const detail of ['EADDRNOTAVAIL', 'EHOSTUNREACH', 'EADDRNOTAVAIL'])
    metrics.onConnectFailed(connection, makeClose('connect_failed', 'upstream', 'connect', detail))
  const samples = await scrape()
  t.equal(samples.get('sidegate_upstream_no_local_port_total', { listener: 'raw' }), 2)
  t.equal(samples.get('sidegate_upstream_no_local_port_total', { listener: 'app' }), 0)
  t.equal(
    samples.get('sidegate_upstream_connect_failures_total', { listener: 'raw', reason: 'connect_failed' }),
    3,
  )
})
