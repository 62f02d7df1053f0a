// Bytes behind a whole answer, which one worker sees: from then on clients share no connection to that service, whichever worker they
// meet, also one that joins later.

import { test } from 'tap'
import type { Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { bring } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import type { RecordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { threadFile } from '../support/threads.ts'

const WORKERS = 3
const CLIENTS = 16
const LONG = { withinMs: 60_000 }

/** How many connections the service sees of so many clients, one after the other, and all of them there until the last has been served. */
async function used(t: Test, port: number, { requests }: RecordingUpstream): Promise<number> {
  const from = requests.length
  const clients = []
  for (let nth = 0; nth < CLIENTS; nth++) {
    const client = await httpClient(t, port)
    clients.push(client)
    await client.get(get(), {}, LONG)
  }
  for (const client of clients) client.wire.end()
  return new Set(requests.slice(from).map(({ connection }) => connection)).size
}

test('once a service has sent more than a whole answer, clients of no worker share a connection to it', async (t) => {
  watchLeaks(t, LONG)
  const upstream = await recordingUpstream(t, ({ target }) => (target === '/odd' ? `${OK}${OK}` : OK))
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], {
    workers: WORKERS,
    threadFile: threadFile('faulty-thread'),
  })
  t.ok((await used(t, gate.port, upstream)) <= WORKERS, 'before, they share one in each worker')
  const anna = await httpClient(t, gate.port)
  t.equal((await anna.get(get('/odd'), {}, LONG)).body.toString(), 'ok')
  await eventually(async () => (await used(t, gate.port, upstream)) === CLIENTS, LONG)
  anna.wire.end()
  bring({ worker: 0, kind: 'exit' })
  await eventually(
    async () => readSamples(await gate.metrics()).get('sidegate_workers_ended_total', {}) === 1,
    LONG,
  )
  t.equal(await within(used(t, gate.port, upstream), LONG), CLIENTS, 'with a worker that has joined since')
})
