import { test } from 'tap'
import { setImmediate as turn } from 'node:timers/promises'
import type { Flow } from '../../src/core/connection.ts'
import { pattern, Verifier } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'

const CONNECTIONS = 40
const chunks = [65_537, 1013, 65_536, 4097, 65_535, 4096, 16_383, 7919, 131_072, 511]

const nowhere = { write: () => {} }

interface Stream {
  from: Wire
  to: Wire
  seed: number
  chunk: number
  /** Sent at the least. */
  total: number
  /** With this, the reader begins only when the gate holds the sender back; the sender sends until then. */
  held: Flow | null
}

async function send({ from, seed, chunk, total, held }: Stream): Promise<number> {
  let sent = 0
  // The kernel takes 3 to 40 MB on the way before the gate must hold back.
  for (let left = total; left > 0; left -= held === null || held.pauses > 0 ? chunk : 0) {
    await from.write(pattern(chunk, seed, sent))
    sent += chunk
  }
  from.end()
  return sent
}

/** The fault of the stream at its reader, or null. */
async function relayed(stream: Stream): Promise<string | null> {
  const { to, seed, held } = stream
  const verifier = new Verifier(seed)
  to.socket.on('data', (bytes) => {
    verifier.write(bytes as Buffer)
    if (seed % 3 !== 0) return
    to.stopReading()
    void turn().then(() => to.resumeReading())
  })
  const sending = send(stream)
  if (held !== null)
    await eventually(() => held.pauses > 0, { withinMs: 20_000, what: `stream ${seed} to be held back` })
  to.resumeReading()
  const sent = await within(sending, { withinMs: 20_000, what: `stream ${seed} to be taken` })
  const hasEnded = await within(to.ended, { withinMs: 20_000, what: `the end of stream ${seed}` })
  return hasEnded ? verifier.problem(sent) : `no FIN behind ${verifier.bytes} bytes`
}

for (const high of ['4KiB', '64KiB', '1MiB']) {
  for (const withoutSharedBuffer of [false, true]) {
    const how = withoutSharedBuffer ? 'by data events' : 'into the shared buffer'
    test(`every byte arrives once and in order: read ${how}, at most ${high} waiting`, async (t) => {
      watchLeaks(t)
      const upstream = await listen(t, () => {}, { unread: true, into: nowhere })
      const gate = await startGate(
        t,
        [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", buffers: { high: ${high} }`],
        { withoutSharedBuffer },
      )
      const streams: Stream[] = []
      for (let nth = 0; nth < CONNECTIONS; nth += 1) {
        const client = await connect(t, gate.port, { halfOpen: true, unread: true, into: nowhere })
        const seen = await upstream.connection(nth)
        const { toUpstream, toClient } = await eventually(() => gate.registry.get(nth + 1))
        const chunk = chunks[nth % chunks.length]!
        const total = 60_000 + nth * 5003
        streams.push(
          { from: client, to: seen, seed: 2 * nth, chunk, total, held: nth % 20 === 0 ? toUpstream : null },
          {
            from: seen,
            to: client,
            seed: 2 * nth + 1,
            chunk,
            total: total * 2,
            held: nth % 20 === 10 ? toClient : null,
          },
        )
      }
      const problems = await Promise.all(streams.map(relayed))
      t.same(
        problems.filter((problem) => problem !== null),
        [],
      )
      await gate.end(CONNECTIONS - 1)
      t.same(new Set(gate.lines.map((line) => line['close'])), new Set(['eof']))
    })
  }
}
