import { test, type Test } from 'tap'
import { makeClose, type Reason } from '../../src/core/close.ts'
import type { Connection } from '../../src/core/connection.ts'
import { kinds } from '../support/h2-frames.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

/** A client whose first request has been answered. */
async function served(t: Test) {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, http: { h2c: on }, deadlines: { close: 300ms }, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  const client = await rawH2(t, gate.port)
  t.equal((await client.get({ ':path': '/' })).status, 200)
  const connection = [...gate.registry].find(({ protocol }) => protocol === 'h2')!
  await eventually(() => gate.registry.size === 1)
  return { gate, client, connection }
}

const told = ({ timeline }: Connection): string[] =>
  timeline!.lines.filter(({ event }) => event === 'told').map(({ detail }) => String(detail))

test('a client that leaves by itself is sent nothing, and so its timeline says', async (t) => {
  const { gate, client, connection } = await served(t)
  client.wire.end()
  await within(client.wire.closed)
  t.match(await gate.end(1), { reason: 'eof', side: 'client', line: { protocol: 'h2' } })
  t.same(told(connection), ['the client: FIN behind what was accepted'])
  t.notOk(client.frames.some(({ type }) => type === kinds.GOAWAY))
})

const ends: Array<[Reason, string]> = [
  ['lifetime_timeout', 'the client: GOAWAY, then FIN'],
  ['killed', 'the client: RST'],
]
for (const [reason, words] of ends)
  test(`a client that ends with ${reason} has in its timeline what it was sent, and nothing of an upstream`, async (t) => {
    const { gate, connection } = await served(t)
    connection.owner!.close(makeClose(reason, 'sidegate', 'relay'))
    t.match(await gate.end(1), { reason, line: { protocol: 'h2' } })
    t.same(told(connection), [words])
  })
