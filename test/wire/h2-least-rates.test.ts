import { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import type { RawH2 } from '../support/h2-raw.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Answers `/now` with a word, `/count` with the length of the body, other targets with more than any buffer holds. */
async function service(t: Test): Promise<number> {
  const large = Buffer.alloc(32 * MIB)
  return httpService(t, (request, response) => {
    let bytes = 0
    request.on('data', (chunk: Buffer) => (bytes += chunk.length))
    if (request.url === '/now') response.end('now')
    else if (request.url === '/count') request.on('end', () => response.end(String(bytes)))
    else response.end(large)
  })
}

const listener = (port: number, keys: string): string =>
  `protocol: http, http: { h2c: on, maxStreams: 200 }, upstream: "127.0.0.1:${port}", ${keys}`

const every = (t: Test, ms: number, run: () => unknown): void => {
  const timer = setInterval(run, ms)
  t.teardown(() => clearInterval(timer))
}

/** Windows of streams of that size, and the largest window of the connection. */
const narrow = (bytes: number): Buffer =>
  Buffer.concat([h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, bytes]), h2.windowUpdate(0, 0x3fff_ffff)])

const download = (client: RawH2): number => client.request(h2.request({ ':path': '/large' }))

test('of a hundred streams that are read a byte a time each ends with too_slow and CANCEL; what is read beside them goes on', async (t) => {
  watchLeaks(t, { withinMs: 20_000 })
  const gate = await startGate(t, [
    listener(await service(t), 'limits: { minRate: { bytes: 1KiB, after: 1s } }'),
  ])
  const client = await rawH2(t, gate.port, { settings: narrow(1) })
  const slow = Array.from({ length: 100 }, () => download(client))
  const fast = download(client)
  void client.send(h2.windowUpdate(fast, 0x3fff_ffff))
  // A hundred a second are no more than any client may send of them, however long it takes here.
  every(t, 1000, () => void client.send(...slow.map((id) => h2.windowUpdate(id, 1))))
  const ends = await Promise.all(slow.map((id) => client.end(id, { withinMs: 15_000 })))
  t.same([...new Set(ends.map((end) => 'reset' in end && end.reset))], [h2.codes.CANCEL])
  const slowed = gate.lines.filter(({ close, side }) => close === 'too_slow' && side === 'client')
  t.equal(slowed.length, 100)
  t.equal(Buffer.byteLength((await client.answer(fast)).body), 32 * MIB)
})

test('streams that share what their connection takes are not too_slow, however little each gets', async (t) => {
  watchLeaks(t, { withinMs: 20_000 })
  const gate = await startGate(t, [
    listener(
      await service(t),
      'limits: { minRate: { bytes: 128KiB, after: 500ms } }, deadlines: { write: 1s }',
    ),
  ])
  const client = await rawH2(t, gate.port, {
    settings: h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0x7fff_ffff]),
  })
  const streams = [1, 2, 3, 4].map(() => download(client))
  every(t, 50, () => void client.send(h2.windowUpdate(0, 12 * KIB)))
  await eventually(() => streams.reduce((sum, id) => sum + client.bodyBytes(id), 0) > 700 * KIB, {
    withinMs: 20_000,
  })
  t.same(gate.lines, [])
  client.wire.destroy()
})

test('a connection whose window opens by a byte a time ends with too_slow, all of it', async (t) => {
  watchLeaks(t, { withinMs: 20_000 })
  const gate = await startGate(t, [
    listener(await service(t), 'limits: { minRate: { bytes: 64KiB, after: 500ms } }'),
  ])
  const client = await rawH2(t, gate.port, {
    settings: h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0x7fff_ffff]),
  })
  download(client)
  download(client)
  every(t, 50, () => void client.send(h2.windowUpdate(0, 1)))
  await gate.end(2)
  t.same(
    gate.lines.map(({ close, side }) => [close, side]),
    Array.from({ length: 3 }, () => ['too_slow', 'client']),
  )
  t.equal(gate.lines.filter(({ protocol }) => protocol === 'h2').length, 1)
})

test('one that asks for answers to PINGs, and takes no DATA, ends with write_timeout', async (t) => {
  watchLeaks(t, { withinMs: 20_000 })
  const gate = await startGate(t, [listener(await service(t), 'deadlines: { write: 600ms }')])
  const client = await rawH2(t, gate.port, {
    settings: h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0x7fff_ffff]),
  })
  download(client)
  every(t, 100, () => void client.send(h2.ping()))
  await gate.end(1)
  t.same([...new Set(gate.lines.map(({ close }) => close))], ['write_timeout'])
})

test('uploads that a limit of bytes delays are neither too_slow nor late', async (t) => {
  watchLeaks(t, { withinMs: 20_000 })
  const gate = await startGate(t, [
    listener(
      await service(t),
      'limits: { bytes: { rate: 256KiB, burst: 64KiB }, minRate: { bytes: 128KiB, after: 300ms } }, deadlines: { request: 300ms }, buffers: { high: 256KiB }',
    ),
  ])
  const session = await h2Connect(t, gate.port)
  const body = Buffer.alloc(128 * KIB)
  const answers = await Promise.all(
    [1, 2, 3, 4].map(() => h2Ask(session, { ':method': 'POST', ':path': '/count' }, body)),
  )
  t.same(
    answers.map(({ status, body: told }) => [status, told]),
    answers.map(() => [200, String(body.length)]),
  )
})

test('a client whose link is slow, and whose windows are shut as long as that takes, gets on', async (t) => {
  watchLeaks(t, { withinMs: 20_000 })
  const gate = await startGate(t, [
    listener(
      await service(t),
      'limits: { minRate: { bytes: 64KiB, after: 500ms } }, deadlines: { write: 1200ms }',
    ),
  ])
  const client = await rawH2(t, gate.port, {
    settings: Buffer.concat([
      h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 512 * KIB]),
      h2.windowUpdate(0, MIB),
    ]),
  })
  const streams = [1, 2].map(() => download(client))
  const { socket } = client.wire
  socket.on('data', () => void socket.pause())
  every(t, 150, () => socket.resume())
  let granted = MIB
  const start = performance.now()
  await eventually(
    () => {
      const got = streams.reduce((sum, id) => sum + client.bodyBytes(id), 0)
      if (got < granted) return granted > MIB && performance.now() - start > 3500
      granted += MIB
      void client.send(h2.windowUpdate(0, MIB), ...streams.map((id) => h2.windowUpdate(id, 512 * KIB)))
      return false
    },
    { withinMs: 20_000 },
  )
  t.same(gate.lines, [])
  client.wire.destroy()
})
