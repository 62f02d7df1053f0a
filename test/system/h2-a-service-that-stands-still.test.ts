// A service that speaks HTTP/2 and stands still as a process, beside one at another address: its kernel still
// accepts connections, and takes bytes until its buffers are full.

import t, { test, type Test } from 'tap'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TargetView } from '../../src/upstream/upstream-view.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { freePort } from '../support/free-port.ts'
import { needs, runTool, temporary, whenListening } from '../support/tools.ts'

t.setTimeout(240_000)

const TOTAL = 50_000_000

/** Its windows take all that the buffers of the kernel do. */
async function nghttpd(t: Test, directory: string) {
  const port = freePort()
  const windows = ['-w', '30', '-W', '30']
  const { pid } = runTool(t, 'nghttpd', [
    ...['-a', '127.0.0.1', '--no-tls', '--echo-upload', ...windows, '-d', directory],
    String(port),
  ])
  await whenListening(port)
  const standStill = async (): Promise<void> => {
    process.kill(pid, 'SIGSTOP')
    // A stopped process does not hear the SIGTERM of the test's end.
    t.teardown(() => process.kill(pid, 'SIGCONT'))
    await eventually(() => readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.startsWith('T'))
  }
  return { port, standStill, goOn: () => process.kill(pid, 'SIGCONT'), end: () => process.kill(pid) }
}

async function get(t: Test, gate: Gate): Promise<number> {
  const head = 'GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
  return parseAnswer((await requestRaw(t, gate.port, head)).bytes).status
}

async function targetAt(gate: Gate, port: number): Promise<TargetView> {
  const answer = await fetch(`http://127.0.0.1:${gate.adminPort}/upstreams`)
  const upstreams = (await answer.json()) as Array<{ targets: TargetView[] }>
  return upstreams.flatMap(({ targets }) => targets).find(({ address }) => address.endsWith(`:${port}`))!
}

const none = { open: 0, leaving: 0, streams: 0 }
/** Whether clients upload to the service that stands still, more than its kernel takes. */
for (const isFull of [false, true])
  test(
    `what it has ends by its deadlines, new requests go to the other, and nothing is kept of it${isFull ? ', whose buffers are full' : ''}`,
    needs('nghttpd'),
    async (t) => {
      watchLeaks(t)
      const directory = temporary(t)
      writeFileSync(join(directory, 'small'), 'ok')
      const [still, other] = [await nghttpd(t, directory), await nghttpd(t, directory)]
      const addresses = `addresses: ["127.0.0.1:${still.port}", "127.0.0.1:${other.port}"]`
      const gate = await startGate(t, [
        `protocol: http, upstream: { ${addresses}, protocol: h2c, balance: roundRobin }, deadlines: { connect: 2s, response: 2s, write: 2s }`,
      ])
      t.same([await get(t, gate), await get(t, gate)], [200, 200])
      await still.standStill()
      const uploads = isFull ? 4 : 0
      for (let nth = 0; nth < uploads; nth++) {
        const client = await connect(t, gate.port, { unread: true })
        await client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${TOTAL}\r\n\r\n`)
        void client.flood({ total: TOTAL, keepOpen: true })
      }
      const statuses = [await get(t, gate), await get(t, gate)]
      t.same(
        statuses.sort((a, b) => a - b),
        [200, 504],
      )
      // One of these finds that no session is to be had there.
      t.same(await Promise.all(Array.from({ length: 6 }, () => get(t, gate))), Array(6).fill(200))
      t.same(await Promise.all(Array.from({ length: 6 }, () => get(t, gate))), Array(6).fill(200))
      const { sessions, lastFailure } = await eventually(async () => {
        const target = await targetAt(gate, still.port)
        return JSON.stringify(target.sessions) === JSON.stringify(none) ? target : null
      })
      t.same(sessions, none)
      t.match(lastFailure, { problem: /deadlines\.connect/ })
      const cut = gate.lines.filter(({ upstream }) => upstream === `127.0.0.1:${still.port}`)
      const ends = cut.map(({ close, side }) => `${String(close)} ${String(side)}`).sort()
      const due = isFull ? ['write_timeout upstream', 'write_timeout upstream'] : []
      t.same(ends, ['eof client', 'response_timeout upstream', ...due])
      still.goOn()
      other.end()
      await eventually(async () => (await get(t, gate)) === 200, { what: 'the other address again' })
      t.match(await targetAt(gate, still.port), { sessions: { open: 1 } })
    },
  )
