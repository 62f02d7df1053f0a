import { test } from 'tap'
import { makeClose, type Close } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import { createLog, Log, type LogOptions } from '../../src/log/log.ts'
import type { LogFormat, LogLevel } from '../../src/log/line.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { addressOf } from '../support/addresses.ts'

function setUp(options: { level?: LogLevel; format?: LogFormat } = {}) {
  const lines: string[] = []
  const log = new Log({
    writer: { write: (line) => void lines.push(line) },
    clock: fakeClock({ wall: 0 }),
    ...options,
  })
  const parsed = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  return { log, lines, parsed }
}

function endedConnection(end: Close | null): Connection {
  const connection = new Connection(42, 'app', 'websocket', addressOf('10.0.0.1:5000'), 1000)
  connection.upstreamAddress = '127.0.0.1:8080'
  connection.connectedAt = 1003.4
  connection.toUpstream.received = 10
  connection.toUpstream.sent = 14
  connection.toUpstream.messages = 2
  connection.toClient.received = 500
  connection.toClient.sent = 500
  connection.toClient.pauses = 3
  connection.owner = {
    close() {},
    queued: (side) => (side === 'client' ? 100 : 0),
    lastDrainAt: () => 0,
    isPaused: () => false,
  }
  connection.phase = 'relay'
  connection.end = end
  return connection
}

test('levels below the chosen one are silent, and the level can change', async (t) => {
  const { log, parsed } = setUp({ level: 'warn' })
  const sayAll = () => {
    log.error('e')
    log.warn('w')
    log.info('i')
    log.debug('d', { id: 1 })
  }
  sayAll()
  t.same(
    parsed().map((line) => line['level']),
    ['error', 'warn'],
  )
  log.level = 'debug'
  sayAll()
  t.same(
    parsed()
      .slice(2)
      .map((line) => line['level']),
    ['error', 'warn', 'info', 'debug'],
  )
})

test('the end of a connection is one line that explains it', async (t) => {
  const { log, parsed } = setUp()
  log.connection(
    endedConnection(makeClose('write_timeout', 'client', 'relay', 'took none of 100 bytes')),
    61_000.6,
  )
  t.same(parsed(), [
    {
      time: '1970-01-01T00:00:00.000Z',
      level: 'info',
      msg: 'connection closed',
      id: 42,
      listener: 'app',
      protocol: 'websocket',
      client: '10.0.0.1:5000',
      upstream: '127.0.0.1:8080',
      close: 'write_timeout',
      side: 'client',
      phase: 'relay',
      detail: 'took none of 100 bytes',
      durationMs: 60_001,
      connectMs: 3,
      bytesToUpstream: 10,
      bytesToClient: 500,
      sentToUpstream: 14,
      sentToClient: 400,
      messagesToUpstream: 2,
      messagesToClient: 0,
      pausesToUpstream: 0,
      pausesToClient: 3,
    },
  ])
})

test('a connection that never reached the upstream has no connectMs, and one without a cause says so', async (t) => {
  const { log, parsed } = setUp()
  const connection = endedConnection(null)
  connection.connectedAt = null
  log.connection(connection, 2000)
  t.match(parsed(), [{ close: null, side: null, phase: 'relay' }])
  t.notOk('connectMs' in (parsed()[0] ?? {}))
})

test('internal_error is an error, every other end is information', async (t) => {
  const { log, parsed } = setUp({ level: 'error' })
  log.connection(endedConnection(makeClose('eof', 'client', 'relay')), 2000)
  log.connection(
    endedConnection(makeClose('internal_error', 'sidegate', 'relay', 'half resumed while closed')),
    2000,
  )
  t.match(parsed(), [{ level: 'error', close: 'internal_error' }])
  t.equal(parsed().length, 1)
})

test('the text format has the same keys', async (t) => {
  const { log, lines } = setUp({ format: 'text' })
  log.connection(endedConnection(makeClose('eof', 'client', 'relay')), 2000)
  t.match(
    lines[0],
    /^time=1970-01-01T00:00:00\.000Z level=info msg="connection closed" id=42 listener=app .* close=eof side=client phase=relay durationMs=1000 /,
  )
})

test('a log over its own queue tells of dropped lines in its own format', async (t) => {
  const clock = fakeClock({ wall: 0 })
  const batches: string[] = []
  const failing = {
    write: (batch: string, done: (error: Error | null) => void) =>
      done(batches.push(batch) > 1 ? null : new Error('ENOSPC')),
  }
  const { log, writer } = createLog({ clock, destination: failing })
  log.info('lost')
  await clock.pass(1000)
  log.info('kept')
  t.equal(writer.dropped, 1)
  const [, told] = batches[1]!.split('\n')
  t.match(JSON.parse(told!), { level: 'warn', msg: '1 log lines dropped', dropped: 1 })
})

test('a connection that its client ended without a byte is told at debug only, unless log.probes says so; any other is told', async (t) => {
  const probe = (close: Parameters<typeof makeClose>, bytes = { toUpstream: 0, toClient: 0 }): Connection => {
    const connection = new Connection(1, 'app', 'tcp', addressOf('192.0.2.1:1'), 0)
    connection.toUpstream.received = bytes.toUpstream
    connection.toClient.received = bytes.toClient
    connection.end = makeClose(...close)
    return connection
  }
  const told = (connection: Connection, options: Partial<LogOptions>): number => {
    const lines: string[] = []
    new Log({
      writer: { write: (line) => void lines.push(line) },
      clock: fakeClock({ wall: 0 }),
      ...options,
    }).connection(connection, 1)
    return lines.length
  }
  const eof = ['eof', 'client', 'relay'] as const
  for (const close of [eof, ['reset', 'client', 'relay'], ['aborted', 'client', 'connect']] as const) {
    t.same(
      [{ probes: false }, { probes: true }, { probes: false, level: 'debug' as const }].map((options) =>
        told(probe([...close]), options),
      ),
      [0, 1, 1],
      close.join(' '),
    )
  }
  const others: Connection[] = [
    probe([...eof], { toUpstream: 1, toClient: 0 }),
    probe([...eof], { toUpstream: 0, toClient: 1 }),
    probe(['eof', 'upstream', 'relay']),
    probe(['connect_refused', 'upstream', 'connect']),
    probe(['handshake_timeout', 'client', 'handshake']),
    probe(['drain', 'sidegate', 'relay']),
  ]
  t.same(
    others.map((connection) => told(connection, { probes: false })),
    others.map(() => 1),
  )
})
