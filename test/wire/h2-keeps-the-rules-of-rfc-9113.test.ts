// Every rule of the table (h2-rules.ts) through a real gate, on a connection of its own: the gate reacts as
// the rule demands, and the other streams go on.

import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import type { RawH2 } from '../support/h2-raw.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rules } from './h2-rules.ts'
import type { Outcome } from './h2-rules.ts'

/** The received codes of RST_STREAM and GOAWAY, until one of them is right or the connection has ended. */
async function codesOf(
  client: RawH2,
  { kind, codes }: Outcome & { codes: readonly number[] },
): Promise<number[]> {
  const seen: number[] = []
  const isRight = ({ type, payload }: h2.H2Frame): boolean => {
    const isGoaway = type === h2.kinds.GOAWAY
    if (!isGoaway && (type !== h2.kinds.RST_STREAM || kind === 'connection')) return false
    const code = payload.readUInt32BE(isGoaway ? 4 : 0)
    seen.push(code)
    return codes.includes(code)
  }
  await client.frame(isRight, { what: `one of the codes ${codes.join(', ')}, not ${seen.join(', ')}` })
  return seen
}

test('the rules of RFC 9113, each on a connection of its own', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, ({ method, target }) => {
    if (target === '/never') return undefined
    const head = 'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n'
    return method === 'HEAD' ? head : `${head}hello world`
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on }`,
  ])
  const neighbour = await rawH2(t, gate.port)
  for (const { number, what, act, outcome, isBare = false } of rules)
    await t.test(`${number}: ${what}`, async (t) => {
      const client = await rawH2(t, gate.port, isBare ? { isSilent: true } : { settings: h2.settings() })
      await act(client)
      if (outcome.kind === 'check') await within(outcome.check(client), { what })
      else {
        const seen = await codesOf(client, outcome)
        t.ok(seen.length > 0 && outcome.codes.includes(seen.at(-1)!), `codes ${seen.join(', ')}`)
        if (outcome.kind === 'connection') {
          await within(client.wire.ended, { what: 'the end of the connection' })
          t.equal(client.goaway?.code, seen.at(-1), 'nothing else is said behind it')
        }
      }
      t.equal((await neighbour.get()).status, 200, 'others go on')
      client.wire.reset()
    })
  await eventually(() => gate.registry.size === 1, { what: 'the neighbour alone' })
  t.same(upstream.problems, [])
})
