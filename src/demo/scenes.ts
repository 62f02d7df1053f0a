// The scenes: each client's action, and how its connection must end. A scene that ends otherwise fails the
// demo.

import { GoodWebSocket, RawClient, upgradeHead } from './clients.ts'
import { Http2Client } from './http2-client.ts'
import { sleep } from './sleep.ts'
import type { End, ListenerName, Stage } from './stage.ts'
import { sums } from './scrape.ts'

/** The result of a scene: the end in the gate's log, and what the peers got. */
export interface Outcome extends End {
  saw: string
}

export interface Scene {
  protocol: 'tcp' | 'ws' | 'h2'
  does: string
  expected: Outcome
  play(stage: Stage): Promise<Outcome>
}

const MIB = 1024 * 1024
const TRICKLE_MS = 100
const SLOW_READ_MS = 25

export const goodClients: readonly Scene[] = [
  {
    protocol: 'tcp',
    does: 'says hello, hears it back, leaves',
    expected: { reason: 'eof', side: 'client', saw: '"hello", FIN' },
    play: (stage) => sayAndEnd(stage, 'hello\n'),
  },
  {
    protocol: 'ws',
    does: 'says hello, hears it back, closes',
    expected: { reason: 'eof', side: 'client', saw: 'hello, close 1000' },
    async play(stage) {
      const client = await GoodWebSocket.open(stage.port('web'), '/good')
      const heard = await client.ask('hello')
      client.close()
      return { ...(await stage.endOf(client.address)), saw: `${heard}, ${await client.saw()}` }
    },
  },
  {
    protocol: 'tcp',
    does: 'ends its half, awaits a slow answer',
    expected: { reason: 'eof', side: 'client', saw: '"slow answer", FIN' },
    play: (stage) => sayAndEnd(stage, 'slow answer\n'),
  },
  {
    protocol: 'tcp',
    does: 'reads slowly, but never stops',
    expected: { reason: 'eof', side: 'client', saw: '12 MiB, FIN' },
    async play(stage) {
      const client = await RawClient.open(stage.port('lines'))
      client.readSlowly(SLOW_READ_MS)
      client.send(`flood ${12 * MIB}\n`)
      client.end()
      await client.closed()
      return outcome(stage, client)
    },
  },
  {
    protocol: 'h2',
    does: 'asks ten things at once, over one',
    expected: { reason: 'eof', side: 'client', saw: '10 answers' },
    async play(stage) {
      const client = await Http2Client.open(stage.port('web'))
      const answers = await client.ask(10)
      client.close()
      return { ...(await stage.endOf(client.address)), saw: `${answers} answers` }
    },
  },
]

export const badClients: readonly Scene[] = [
  {
    protocol: 'ws',
    does: 'falls silent; pongs are not data',
    expected: { reason: 'idle_timeout', side: 'sidegate', saw: 'close 1001 idle_timeout' },
    async play(stage) {
      const client = await GoodWebSocket.open(stage.port('quiet'), '/quiet')
      return { ...(await stage.endOf(client.address)), saw: await client.saw() }
    },
  },
  {
    protocol: 'ws',
    does: 'vanishes without FIN: no more pongs',
    expected: { reason: 'ping_timeout', side: 'client', saw: 'FIN; the service: 1001' },
    async play(stage) {
      const client = await RawClient.upgraded(stage.port('web'), '/vanish')
      await client.answerPing()
      await stage.endOf(client.address)
      return withServiceEnd(stage, client, '/vanish')
    },
  },
  {
    protocol: 'tcp',
    does: 'stops reading while it is sent to',
    expected: { reason: 'write_timeout', side: 'client', saw: 'RST' },
    async play(stage) {
      const client = await RawClient.open(stage.port('lines'))
      client.stopReading()
      client.send(`flood ${Number.MAX_SAFE_INTEGER}\n`)
      const end = await stage.endOf(client.address)
      client.resumeReading()
      await client.closed()
      return { ...end, saw: client.ending }
    },
  },
  {
    protocol: 'ws',
    does: 'trickles its request head',
    expected: { reason: 'handshake_timeout', side: 'client', saw: 'HTTP 408' },
    async play(stage) {
      const client = await RawClient.open(stage.port('web'))
      for (const byte of upgradeHead('/trickle')) {
        if (client.isClosed) break
        client.send(byte)
        await sleep(TRICKLE_MS)
      }
      return outcome(stage, client)
    },
  },
  {
    protocol: 'ws',
    does: 'leaves without a Close frame',
    expected: { reason: 'aborted', side: 'client', saw: 'FIN; the service: 1001' },
    async play(stage) {
      const client = await RawClient.upgraded(stage.port('web'), '/leave')
      client.end()
      return withServiceEnd(stage, client, '/leave')
    },
  },
  {
    protocol: 'ws',
    does: 'sends a frame that is not masked',
    expected: { reason: 'protocol_error', side: 'client', saw: 'close 1002 protocol_error' },
    async play(stage) {
      const client = await RawClient.upgraded(stage.port('web'), '/unmasked')
      client.send(Buffer.from([0x81, 2, 0x68, 0x69]))
      await client.closed()
      return outcome(stage, client)
    },
  },
  {
    protocol: 'ws',
    does: 'sends a message of 100 KiB',
    expected: { reason: 'message_too_big', side: 'client', saw: 'close 1009 message_too_big' },
    async play(stage) {
      const client = await GoodWebSocket.open(stage.port('web'), '/large')
      client.send(Buffer.alloc(100 * 1024))
      return { ...(await stage.endOf(client.address)), saw: await client.saw() }
    },
  },
  {
    protocol: 'ws',
    does: 'floods the service with pings',
    expected: { reason: 'rate_limited', side: 'client', saw: 'close 1008 rate_limited' },
    async play(stage) {
      const client = await RawClient.upgraded(stage.port('web'), '/flood')
      client.send(Buffer.concat(Array.from({ length: 100 }, () => Buffer.from([0x89, 0x80, 0, 0, 0, 0]))))
      await client.closed()
      return outcome(stage, client)
    },
  },
  {
    protocol: 'h2',
    does: 'resets what it asks, on and on',
    expected: { reason: 'rate_limited', side: 'client', saw: 'GOAWAY 11 rate_limited' },
    async play(stage) {
      // Not a listener where a PING must be answered within half a second: client and gate share a process,
      // which is busy.
      const client = await Http2Client.open(stage.port('pages'))
      const saw = client.resetUntilGoaway()
      return { ...(await stage.endOf(client.address)), saw: await saw }
    },
  },
  {
    protocol: 'ws',
    does: 'asks for a version that nobody speaks',
    expected: { reason: 'protocol_error', side: 'client', saw: 'HTTP 426' },
    play: (stage) => ask(stage, 'web', upgradeHead('/', { 'Sec-WebSocket-Version': '99' })),
  },
  {
    protocol: 'ws',
    does: 'comes from a page of another site',
    expected: { reason: 'denied', side: 'client', saw: 'HTTP 403' },
    play: (stage) => ask(stage, 'pages', upgradeHead('/', { Origin: 'https://evil.example' })),
  },
  {
    protocol: 'ws',
    does: 'is one too many',
    expected: { reason: 'too_many', side: '-', saw: 'HTTP 503' },
    async play(stage) {
      const seated = await GoodWebSocket.open(stage.port('narrow'), '/seated')
      const client = await RawClient.open(stage.port('narrow'))
      client.send(upgradeHead('/'))
      await client.closed()
      seated.close()
      await stage.endOf(seated.address)
      // A refusal in admission has no log line, only a count.
      const [reason = 'nothing'] = sums(
        await stage.scrape(),
        'sidegate_connections_rejected_total',
        'reason',
      ).keys()
      return { reason, side: '-', saw: client.saw() }
    },
  },
]

export const badService: readonly Scene[] = [
  {
    protocol: 'ws',
    does: 'is not there',
    expected: { reason: 'connect_refused', side: 'upstream', saw: 'HTTP 502' },
    play: (stage) => ask(stage, 'gone', upgradeHead('/')),
  },
  {
    protocol: 'ws',
    does: 'never answers the upgrade',
    expected: { reason: 'response_timeout', side: 'upstream', saw: 'HTTP 504' },
    play: (stage) => ask(stage, 'web', upgradeHead('/mute')),
  },
  {
    protocol: 'tcp',
    does: 'crashes in the middle of its answer',
    expected: { reason: 'reset', side: 'upstream', saw: '"half an ans", RST' },
    async play(stage) {
      const client = await RawClient.open(stage.port('lines'))
      client.send('crash\n')
      await client.closed()
      return outcome(stage, client)
    },
  },
  {
    protocol: 'tcp',
    does: 'does not end after its client did',
    expected: { reason: 'half_close_timeout', side: 'upstream', saw: '"stuck", RST' },
    play: (stage) => sayAndEnd(stage, 'stuck\n'),
  },
]

async function outcome(stage: Stage, client: RawClient): Promise<Outcome> {
  return { ...(await stage.endOf(client.address)), saw: client.saw() }
}

/** Adds the close code that the service got. */
async function withServiceEnd(stage: Stage, client: RawClient, path: string): Promise<Outcome> {
  await client.closed()
  const { saw, ...end } = await outcome(stage, client)
  return { ...end, saw: `${saw}; the service: ${await stage.service.endOf(path)}` }
}

async function sayAndEnd(stage: Stage, line: string): Promise<Outcome> {
  const client = await RawClient.open(stage.port('lines'))
  client.send(line)
  client.end()
  await client.closed()
  return outcome(stage, client)
}

async function ask(stage: Stage, listener: ListenerName, head: string): Promise<Outcome> {
  const client = await RawClient.open(stage.port(listener))
  client.send(head)
  await client.closed()
  return outcome(stage, client)
}
