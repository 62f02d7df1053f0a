// Floods of frames through a real gate, each over one connection, with a neighbour that must not notice: it
// gets its answers while the gate reads the flood, and the service gets no more of the flood than the budget
// allows.

import { test, type Test } from 'tap'
import { budgets } from '../../src/http2/frame-budgets.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

async function line(t: Test) {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, (seen) =>
    seen.target === '/never' ? undefined : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on }`,
  ])
  const [neighbour, attacker] = await Promise.all([rawH2(t, gate.port), rawH2(t, gate.port)])
  t.equal((await neighbour.get()).status, 200)
  await attacker.ping()
  return { upstream, gate, neighbour, attacker }
}

const never = h2.literals(...h2.request({ ':path': '/never' }))

const promised = h2.literals(...h2.request({ ':method': 'POST', ':path': '/never', 'content-length': '50' }))
const malformed = h2.literals(...h2.request({ ':path': '/never' }, [['connection', 'close']]))

const floods: { what: string; words: string; make: (nth: number) => Uint8Array[]; first?: Uint8Array[] }[] = [
  {
    what: 'rapid reset (CVE-2023-44487)',
    words: budgets.resets.words,
    make: (nth) => [h2.headers(2 * nth + 1, never), h2.rst(2 * nth + 1)],
  },
  {
    what: 'made you reset (CVE-2025-8671), by bodies that are shorter than they say',
    words: budgets.made.words,
    make: (nth) => [
      h2.headers(2 * nth + 1, promised, h2.END_HEADERS),
      h2.data(2 * nth + 1, 'short', h2.END_STREAM),
    ],
  },
  {
    what: 'made you reset, by requests that are malformed',
    words: budgets.made.words,
    make: (nth) => [h2.headers(2 * nth + 1, malformed)],
  },
  { what: 'SETTINGS', words: budgets.settings.words, make: () => [h2.settings([4, 65_535])] },
  { what: 'PING', words: budgets.pings.words, make: () => [h2.ping()] },
  {
    what: 'empty DATA',
    words: budgets.empty.words,
    first: [h2.headers(1, never, h2.END_HEADERS)],
    make: () => [h2.data(1)],
  },
  { what: 'WINDOW_UPDATE', words: budgets.windows.words, make: () => [h2.windowUpdate(0, 100)] },
  { what: 'PRIORITY', words: budgets.priorities.words, make: (nth) => [h2.priority(2 * nth + 1)] },
  { what: 'unknown frames', words: budgets.others.words, make: () => [h2.frame(0xbb)] },
]

for (const { what, words, make, first = [] } of floods)
  test(`${what}: a flood ends its connection with rate_limited, and no neighbour waits for it`, async (t) => {
    const { upstream, gate, neighbour, attacker } = await line(t)
    const asked = neighbour.get()
    await attacker.send(...first, ...Array.from({ length: 20_000 }, (_, nth) => make(nth)).flat())
    t.equal((await asked).status, 200)
    t.equal(await attacker.goodbye(), h2.codes.ENHANCE_YOUR_CALM)
    const end = await eventually(() => gate.lines.find(({ protocol }) => protocol === 'h2'), {
      what: 'the end of the connection',
    })
    t.match(end, { close: 'rate_limited', side: 'client', detail: new RegExp(words) })
    t.equal((await neighbour.get()).status, 200)
    const heard = upstream.requests.filter(({ target }) => target === '/never').length
    t.ok(heard <= 201, `the service hears of ${heard} requests`)
    await eventually(() => gate.registry.size === 1, { what: 'the neighbour alone' })
  })
