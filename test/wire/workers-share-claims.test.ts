// Streams that begin at the same time claim their memory from one sum of all workers: what would fit for each of them alone does not for
// both together. In a container of 100 MiB with 80 MiB in use 48 streams may begin at a time.

import type { AddressInfo } from 'node:net'
import type { ClientHttp2Session } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { ask } from '../admin/admin.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'

const MIB = 1024 * 1024
const WORKERS = 2
/** Of each worker: less than fit, and together more. */
const ASKED = 40
/** For so long a stream counts as in use after its end (`core/claims.ts`). */
const IN_USE_MS = 2500
const LONG = { withinMs: 60_000 }

test('streams of two workers that begin at once are served as far as memory is left for them together', async (t) => {
  watchLeaks(t, LONG)
  const held: Array<{ end(text: string): unknown }> = []
  const port = await httpService(t, (request, response) =>
    request.url === '/held' ? void held.push(response) : void response.end('now'),
  )
  const memory = testMemory(100 * MIB)
  memory.use(0.8)
  const gate = await startGate(
    t,
    [`protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${port}"], protocol: http1 }`],
    { memory, workers: WORKERS },
  )
  const sessions: Array<ClientHttp2Session | undefined> = Array(WORKERS).fill(undefined)
  while (sessions.includes(undefined)) {
    const session = await h2Connect(t, gate.port)
    const client = `127.0.0.1:${(session.socket.address() as AddressInfo).port}`
    const { body } = await ask(gate.adminPort, '/connections', {}, 'GET')
    const row = (JSON.parse(body) as Array<Record<string, unknown>>).find((one) => one['client'] === client)!
    sessions[Number(row['id']) % WORKERS] ??= session
  }
  const statuses: number[] = []
  let asked = 0
  const askAll = (some: ClientHttp2Session[]): void => {
    for (const session of some)
      for (let nth = 0; nth < ASKED; nth++) {
        asked++
        void h2Ask(session, { ':path': '/held' }).then(({ status }) => statuses.push(status))
      }
  }
  const refused = (): number => statuses.filter((status) => status === 503).length
  const settled = (): Promise<unknown> => eventually(() => statuses.length + held.length === asked, LONG)
  const finish = async (): Promise<void> => {
    for (const response of held.splice(0)) response.end('late')
    await eventually(() => statuses.length === asked, LONG)
  }
  // Those of one worker fit.
  askAll([sessions[0]!])
  await settled()
  t.equal(refused(), 0)
  await finish()
  // On a machine that is busy elsewhere the gate may read them over half a second; then it has room for all.
  for (let round = 0; round < 10 && refused() === 0; round++) {
    // Those of the last round, which all were served, count as in use.
    if (round > 0) await delay(IN_USE_MS)
    await eventually(async () => (await h2Ask(sessions[1]!)).status === 200, LONG)
    askAll(sessions as ClientHttp2Session[])
    await settled()
    await finish()
  }
  t.ok(refused() > 0 && refused() < WORKERS * ASKED, `${refused()} are refused`)
})
