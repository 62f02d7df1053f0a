// The running gate, whose descriptors run out, over each transport: what is open goes on, newcomers are let go, and once there are
// descriptors again everything is as before, without a word about the service, which is not to blame.

import { test } from 'tap'
import type { Test } from 'tap'
import { leave, limitTo, used } from '../support/descriptors.ts'
import { eventually, within } from '../support/eventually.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { readSamples } from '../metrics/samples.ts'
import type { Samples } from '../metrics/samples.ts'
import { connect, echo } from '../support/peers.ts'
import { rawClient, wsServer } from '../support/websocket.ts'
import { runProgram } from './program.ts'
import type { Program } from './program.ts'

const LONG = { withinMs: 30_000 }

/** One conversation: sends something, and resolves with what came of it. */
type Ask = () => Promise<string>

interface Kind {
  protocol: string
  keys: string
  service: (t: Test) => Promise<{ port: number }>
  open: (t: Test, port: number) => Promise<Ask>
}

const webSocket = async (t: Test, port: number): Promise<Ask> => {
  const client = await rawClient(t, port, {
    headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' },
  })
  return async () => {
    await client.sendFrame({ opcode: 'text', payload: Buffer.from('x') })
    return (await client.nextFrame(LONG)).opcode === 'text' ? 'ok' : 'another frame'
  }
}

const kinds: Record<string, Kind> = {
  tcp: {
    protocol: 'tcp',
    keys: '',
    service: (t) => echo(t),
    open: async (t, port) => {
      const wire = await connect(t, port)
      return async () => {
        await wire.write('ok')
        return String(await wire.read(2))
      }
    },
  },
  websocket: { protocol: 'http', keys: '', service: (t) => wsServer(t), open: webSocket },
  messages: {
    protocol: 'http',
    keys: ', websocket: { mode: messages, compression: on }',
    service: (t) => wsServer(t),
    open: webSocket,
  },
  http: {
    protocol: 'http',
    keys: '',
    service: (t) => recordingUpstream(t, () => OK),
    open: async (t, port) => {
      const client = await httpClient(t, port)
      return async () => {
        const { status } = await client.get(get('/'))
        return status === 200 ? 'ok' : String(status)
      }
    },
  },
  h2: {
    protocol: 'http',
    keys: ', http: { h2c: on }',
    service: (t) => recordingUpstream(t, () => OK),
    open: async (t, port) => {
      const session = await h2Connect(t, port)
      return async () => {
        const { status } = await h2Ask(session)
        return status === 200 ? 'ok' : String(status)
      }
    },
  },
}

const checks = 'healthCheck: { type: tcp, interval: 100ms, timeout: 1s, unhealthy: 2 }'
const listener = ({ protocol, keys }: Kind, port: number): string =>
  `protocol: ${protocol}, upstream: { addresses: ["127.0.0.1:${port}"], ${checks} }${keys}`

/** Asks the health server by a connection that it has already: another takes a descriptor. */
async function metricsOf(t: Test, { healthPort }: Program): Promise<() => Promise<Samples>> {
  const client = await httpClient(t, healthPort)
  return async () => readSamples((await client.get(get('/metrics'), {}, LONG)).body.toString())
}

/** Its descriptors once the connections of the start, which asked for its health, are gone. */
async function rest({ pid }: Program): Promise<number> {
  let [count, looks] = [0, 0]
  await eventually(() => {
    const now = used(pid)
    looks = now === count ? looks + 1 : 0
    count = now
    return looks === 20
  }, LONG)
  return count
}

const blamed = ({ lines, errors }: Program): string[] =>
  [...lines, errors()].filter((line) => /internal_error|unhealthy|Error:|worker/.test(line))

for (const workers of [1, 2])
  for (const [name, kind] of Object.entries(kinds))
    test(`${name}: without a descriptor what is open goes on, and no service is unhealthy for it, workers: ${workers}`, async (t) => {
      const { port } = await kind.service(t)
      const program = await runProgram(t, [listener(kind, port)], { top: `workers: ${workers}` })
      const metrics = await metricsOf(t, program)
      const checked = async (result: string): Promise<number> =>
        (await metrics()).get('sidegate_upstream_health_checks_total', { result }) ?? 0
      await eventually(async () => (await checked('passed')) > 0, LONG)
      const insiders = await Promise.all(Array.from({ length: 4 }, () => kind.open(t, program.port)))
      for (const ask of insiders) t.equal(await ask(), 'ok')
      leave(program.pid, 0)
      const outside = await Promise.allSettled(Array.from({ length: 20 }, () => connect(t, program.port)))
      const ended = outside.flatMap((one) => (one.status === 'fulfilled' ? [one.value.closed] : []))
      // Each thread has one descriptor by which to accept and refuse; one that loses it to another leaves newcomers in the backlog.
      if (workers === 1) await within(Promise.all(ended), { what: 'newcomers to be let go', ...LONG })
      // A place that an answer has just left free is a descriptor for a check: it is taken as well.
      const failing = async (): Promise<boolean> => {
        leave(program.pid, 0)
        return (await checked('failed')) >= 4
      }
      await eventually(failing, { what: 'checks that find no descriptor', ...LONG })
      for (const ask of insiders) t.equal(await ask(), 'ok')
      limitTo(program.pid, 1024)
      const after = await eventually(() => kind.open(t, program.port).catch(() => null), LONG)
      t.equal(await after(), 'ok')
      t.same(blamed(program), [])
    })

test('messages: the client that takes the last descriptor is compressed for, if it is the first that is', async (t) => {
  const kind = kinds['messages']!
  const { port } = await kind.service(t)
  const program = await runProgram(t, [
    'protocol: http, websocket: { mode: messages, compression: on }, upstream: "127.0.0.1:' + port + '"',
  ])
  const before = await rest(program)
  const wire = await connect(t, program.port)
  await eventually(() => used(program.pid) === before + 1, { what: 'an accept', ...LONG })
  leave(program.pid, 1)
  void wire.write(upgradeRequest({ headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } }))
  const head = (await wire.readUntil('\r\n\r\n', LONG)).toString()
  t.match(head, /^HTTP\/1.1 101 /)
  t.match(head, /permessage-deflate/)
  t.same(blamed(program), [])
})

test('requests for which there is no descriptor get 502, and those after them are answered', async (t) => {
  const service = await recordingUpstream(t, () => OK)
  const program = await runProgram(t, [
    `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${service.port}"`,
  ])
  const before = await rest(program)
  const [client, session] = [await httpClient(t, program.port), await h2Connect(t, program.port)]
  const upgraded = await rawClient(t, program.port, { handshake: false })
  // Each connection of a client that was refused is given back before the next limit is set.
  const open = (count: number): Promise<unknown> =>
    eventually(() => used(program.pid) === before + count, { what: `${count} connections`, ...LONG })
  await open(3)
  leave(program.pid, 0)
  t.match(await client.get(get('/'), {}, LONG), { status: 502 })
  await open(2)
  leave(program.pid, 0)
  t.match(await h2Ask(session), { status: 502 })
  await open(1)
  leave(program.pid, 0)
  t.match(await upgraded.handshake(), { line: /^HTTP\/1.1 502 / })
  limitTo(program.pid, 1024)
  t.match(await h2Ask(await h2Connect(t, program.port)), { status: 200 })
  t.match(await (await httpClient(t, program.port)).get(get('/'), {}, LONG), { status: 200 })
  const ends = program.lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  t.equal(ends.filter(({ close, detail }) => close === 'connect_failed' && detail === 'EMFILE').length, 3)
})
