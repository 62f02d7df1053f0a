// Each attack of HTTP/2 on a gate in a process of its own, and its cost: processor time and resident memory
// of that process, beside a neighbour that gets its answers while the attack goes on. The bounds are wide;
// bench/README.md has the measurements.

import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2, type RawH2 } from '../support/h2-raw.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { program, type Program } from '../support/tools.ts'

const MIB = 1024 * 1024
/** Long enough for a busy machine. */
const LONG = { withinMs: 120_000 }
const { END_HEADERS, END_STREAM } = h2

/** Milliseconds of processor time so far. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

interface Scene {
  gate: Program
  neighbour: RawH2
  attacker: () => Promise<RawH2>
}

interface Attack {
  name: string
  run: (scene: Scene, t: Test) => Promise<RawH2[] | RawH2>
  /** The reason of the attack's connections, and the code of their GOAWAY; null where they do not end. */
  end: { close: string; code: number } | null
  maxMiB?: number
}

const never = h2.literals(...h2.request({ ':path': '/never' }))
const promised = h2.literals(...h2.request({ ':method': 'POST', ':path': '/never', 'content-length': '50' }))
const repeat = (count: number, make: (nth: number) => Uint8Array[]): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, nth) => make(nth)).flat())

/** Sends all bytes at once and waits for the end. */
const floods =
  (bytes: Buffer) =>
  async ({ attacker }: Scene): Promise<RawH2> => {
    const client = await attacker()
    void client.send(bytes)
    return client
  }

const calm = { close: 'rate_limited', code: h2.codes.ENHANCE_YOUR_CALM }
const tooBig = { close: 'message_too_big', code: h2.codes.ENHANCE_YOUR_CALM }

/** A field of 4,000 bytes in the dynamic table, and a block that names it as often as fits: 4,000 times the sent bytes. */
const block = Buffer.concat([
  h2.literals(...h2.request({ ':path': '/never' })),
  h2.indexed('x', 'y'.repeat(3900)),
  ...Array.from({ length: 8000 }, () => h2.byIndex(62)),
])
const bomb = (id: number): Buffer => h2.headers(id, block)
const piece = h2.literals(['x', 'y'.repeat(16_000)])

const attacks: Attack[] = [
  {
    name: 'rapid reset (CVE-2023-44487)',
    end: calm,
    run: floods(repeat(50_000, (nth) => [h2.headers(2 * nth + 1, never), h2.rst(2 * nth + 1)])),
  },
  {
    name: 'made you reset (CVE-2025-8671)',
    end: calm,
    run: floods(
      repeat(50_000, (nth) => [
        h2.headers(2 * nth + 1, promised, END_HEADERS),
        h2.data(2 * nth + 1, 'short', END_STREAM),
      ]),
    ),
  },
  {
    name: 'CONTINUATION without end (CVE-2024-28182)',
    end: tooBig,
    run: floods(Buffer.concat([h2.headers(1, never, 0), repeat(200, () => [h2.continuation(1, piece, 0)])])),
  },
  {
    name: 'small CONTINUATION without end',
    end: tooBig,
    run: floods(
      Buffer.concat([
        h2.headers(1, never, 0),
        repeat(50_000, () => [h2.continuation(1, h2.literals(['x', '']), 0)]),
      ]),
    ),
  },
  { name: 'HPACK bombs', end: calm, run: floods(repeat(2000, (nth) => [bomb(2 * nth + 1)])) },
  {
    name: 'SETTINGS (CVE-2019-9515)',
    end: calm,
    run: floods(repeat(200_000, () => [h2.settings([4, 65_535])])),
  },
  { name: 'PING (CVE-2019-9512)', end: calm, run: floods(repeat(200_000, () => [h2.ping()])) },
  {
    name: 'empty DATA (CVE-2019-9518)',
    end: calm,
    run: floods(Buffer.concat([h2.headers(1, never, END_HEADERS), repeat(200_000, () => [h2.data(1)])])),
  },
  {
    name: 'windows by the byte (CVE-2019-9511)',
    end: calm,
    run: floods(
      Buffer.concat([
        h2.settings([4, 0]),
        h2.headers(1, h2.literals(...h2.request({ ':path': '/large' }))),
        repeat(100_000, () => [h2.windowUpdate(1, 1)]),
      ]),
    ),
  },
  {
    name: 'PRIORITY (CVE-2019-9513)',
    end: calm,
    run: floods(repeat(200_000, (nth) => [h2.priority(2 * nth + 1)])),
  },
  {
    name: 'HEADERS on a closed stream',
    end: calm,
    run: floods(Buffer.concat([h2.headers(5, never), repeat(50_000, () => [h2.headers(3, never)])])),
  },
  {
    name: 'requests that are never finished, and never read, 5 x 100',
    end: null,
    maxMiB: 128,
    run: zeroWindows,
  },
]

/** Windows of 0 (CVE-2019-9517): answers of 1 MB each without a reader. */
async function zeroWindows({ attacker, gate }: Scene, t: Test): Promise<RawH2[]> {
  const clients = await Promise.all(Array.from({ length: 5 }, attacker))
  for (const client of clients) {
    const large = h2.literals(...h2.request({ ':path': '/large' }))
    void client.send(
      h2.settings([4, 0]),
      repeat(100, (nth) => [h2.headers(2 * nth + 1, large)]),
    )
  }
  await Promise.all(
    clients.map((client) =>
      eventually(() => client.count(h2.kinds.HEADERS) >= 100, { what: 'a hundred heads', ...LONG }),
    ),
  )
  t.equal(
    clients.reduce((sum, client) => sum + client.count(h2.kinds.DATA), 0),
    0,
    'not a byte goes out',
  )
  const stalled = (): Record<string, unknown>[] =>
    gate.ends().filter(({ close }) => close === 'write_timeout')
  await eventually(() => stalled().length >= 500, { what: 'the end of every stream', ...LONG })
  return clients
}

test('attacks of HTTP/2 end by their reason, cost a bounded part, and no neighbour waits for them', async (t) => {
  const large = Buffer.concat([
    Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n'),
    Buffer.alloc(1_000_000),
  ])
  const upstream = await recordingUpstream(t, ({ target }) =>
    target === '/never'
      ? undefined
      : target === '/large'
        ? large
        : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  )
  const gate = await program(
    t,
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on }, deadlines: { write: 3s }`,
  )
  const neighbour = await rawH2(t, gate.port)
  for (let warm = 0; warm < 300; warm++) await neighbour.get()
  for (const { name, run, end, maxMiB = 48 } of attacks)
    await t.test(name, async (t) => {
      const [cpu, rss, ends] = [cpuMs(gate.pid), gate.rss(), gate.ends().length]
      const attack = { isOver: false }
      let answered = 0
      const beside = (async () => {
        while (!attack.isOver) {
          t.equal((await neighbour.answer(neighbour.request(), LONG)).status, 200)
          answered++
          // The neighbour asks all the while, and leaves the processor to the attack.
          await delay(5)
        }
      })()
      const made = [
        await run({ gate, neighbour, attacker: () => rawH2(t, gate.port, { settings: h2.settings() }) }, t),
      ].flat()
      const clock = performance.now()
      if (end !== null) {
        for (const client of made) t.equal(await client.goodbye(LONG), end.code, `GOAWAY ${end.code}`)
        const line = await eventually(
          () =>
            gate
              .ends()
              .slice(ends)
              .find(({ protocol }) => protocol === 'h2'),
          { what: 'its end', ...LONG },
        )
        t.equal(line['close'], end.close, String(line['detail']))
      }
      const tookMs = performance.now() - clock
      for (const client of made) client.wire.destroy()
      attack.isOver = true
      await beside
      t.ok(answered > 0, 'the neighbour was answered meanwhile')
      const [ms, mib] = [cpuMs(gate.pid) - cpu, (gate.rss() - rss) / MIB]
      t.comment(
        `${name}: ${ms} ms of processor time, ${mib.toFixed(1)} MiB, over in ${tookMs.toFixed(0)} ms, ${answered} answers beside it`,
      )
      t.ok(mib < maxMiB, `${mib.toFixed(1)} MiB more`)
      // The neighbour asks until the attack has ended, and costs up to 2 ms an answer.
      if (end !== null) t.ok(ms < 3000 + answered * 2, `${ms} ms`)
      upstream.requests.length = 0
    })
  t.equal((await neighbour.get()).status, 200)
})
