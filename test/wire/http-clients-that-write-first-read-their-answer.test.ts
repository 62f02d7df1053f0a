// A client that writes its whole body before it reads (urllib3, http.client, many an SDK) and is answered meanwhile: the rest of its
// request is read and dropped, so that it comes to its answer, as it would with the service alone.

import { test } from 'tap'
import type { Test } from 'tap'
import { join } from 'node:path'
import { someServer } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { parseAnswer } from '../support/http.ts'
import { get, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { overload } from '../support/overload.ts'
import { connect, listen, mute, refuser } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { temporary } from '../support/tools.ts'
import type { Wire } from '../support/wire.ts'

const MB = 1_000_000
const EARLY = 'HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno'

/** A service that answers each request at its head, and reads nothing more. */
async function early(t: Test): Promise<{ port: number }> {
  watchLeaks(t)
  watchCrashes(t)
  return listen(t, async (wire) => {
    if ((await wire.readUntil('\r\n\r\n').catch(() => null)) === null) return
    wire.stopReading()
    await wire.write(EARLY)
  })
}

const ways: Record<string, (t: Test, port: number, keys?: string) => Promise<{ gate: Gate; wire: Wire }>> = {
  'in the clear': async (t, port, keys = '') => {
    const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${port}"${keys}`])
    return { gate, wire: await connect(t, gate.port, { unread: true }) }
  },
  'over TLS': async (t, port, keys = '') => {
    const { ca, cert, key } = someServer()
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${port}", tls: { cert: "${cert}", key: "${key}" }${keys}`,
    ])
    return { gate, wire: await tlsConnect(t, gate.port, { ca, unread: true }) }
  },
  'on a unix socket': async (t, port, keys = '') => {
    const path = join(temporary(t), 'gate')
    const gate = await startGate(t, [
      `address: "unix:${path}", protocol: http, upstream: "127.0.0.1:${port}"${keys}`,
    ])
    return { gate, wire: await connect(t, path, { unread: true }) }
  },
}

/** Sends a request of so many bytes in pieces, and resolves once the kernel has taken all of it. */
async function write(wire: Wire, bytes: number, framing: 'length' | 'chunked'): Promise<boolean> {
  const isChunked = framing === 'chunked'
  const piece = Buffer.alloc(100_000)
  const sent = isChunked ? Buffer.concat([Buffer.from('186a0\r\n'), piece, Buffer.from('\r\n')]) : piece
  const header = isChunked ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${bytes}\r\n`
  await wire.write(get('/', header, 'POST'))
  for (let left = bytes; left > 0; left -= piece.length) if (!(await wire.write(sent))) return false
  return !isChunked || wire.write('0\r\n\r\n')
}

async function readsAnswer(t: Test, wire: Wire, status: number): Promise<void> {
  wire.resumeReading()
  await within(wire.ended)
  t.match(parseAnswer(wire.takeUnread()), { status, isWhole: true })
  wire.end()
}

for (const [way, open] of Object.entries(ways))
  for (const framing of ['length', 'chunked'] as const)
    test(`20 MB that are written before the answer is read are taken (${way}, ${framing})`, async (t) => {
      const { gate, wire } = await open(t, (await early(t)).port)
      t.equal(await within(write(wire, 20 * MB, framing), { what: 'all to be taken' }), true)
      await readsAnswer(t, wire, 401)
      t.match(await gate.end(), { reason: 'eof' })
    })

test('so they are before a refusal of the gate itself: a body over http.maxBody, a service that is down', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const silent = await mute(t)
  for (const framing of ['length', 'chunked'] as const) {
    const { gate, wire } = await ways['in the clear']!(t, silent.port, ', http: { maxBody: 1MiB }')
    t.equal(await within(write(wire, 20 * MB, framing)), true)
    await readsAnswer(t, wire, 413)
    t.match(await gate.end(), { reason: 'message_too_big' })
  }
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${refuser(t).port}"], retryFor: off }`,
  ])
  const wire = await connect(t, gate.port, { unread: true })
  t.equal(await within(write(wire, 20 * MB, 'length')), true)
  await readsAnswer(t, wire, 502)
  t.match(await gate.end(), { reason: 'connect_refused' })
})

test('a client that goes on slowly has as long as it sends, one that stops has deadlines.close', async (t) => {
  const deadlines = ', deadlines: { close: 300ms, write: 300ms }'
  for (const [way, open] of Object.entries(ways)) {
    const { gate, wire } = await open(t, (await early(t)).port, deadlines)
    await wire.write(get('/', 'Content-Length: 20\r\n', 'POST'))
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setTimeout(resolve, 60))
      t.equal(await wire.write('x'), true, way)
    }
    await readsAnswer(t, wire, 401)
    t.match(await gate.end(), { reason: 'eof' })
    const silent = await open(t, (await early(t)).port, deadlines)
    await silent.wire.write(get('/', 'Content-Length: 20\r\n', 'POST'))
    const watch = stopwatch(t)
    await silent.gate.end()
    t.ok(watch.livedMs < 3000, `${way}: ${watch.livedMs.toFixed(0)} ms`)
  }
})

test('limits.bytes and limits.minRate hold for what is dropped', async (t) => {
  const { port } = await early(t)
  const limited = await ways['in the clear']!(t, port, ', limits: { bytes: { rate: 4MiB, burst: 64KiB } }')
  const watch = stopwatch(t)
  t.equal(await within(write(limited.wire, 16 * MB, 'length')), true)
  t.ok(watch.ms > 500, `${watch.ms.toFixed(0)} ms`)
  await readsAnswer(t, limited.wire, 401)
  const trickling = await ways['in the clear']!(
    t,
    port,
    ', limits: { minRate: { bytes: 1KiB, after: 300ms } }',
  )
  await trickling.wire.write(get('/', 'Content-Length: 10000\r\n', 'POST'))
  await eventually(() => trickling.gate.open().end !== null)
  const timer = setInterval(() => void trickling.wire.write('x'), 20)
  t.teardown(() => clearInterval(timer))
  t.match(await trickling.gate.end(), { reason: 'eof' })
  clearInterval(timer)
})

test('a drain waits for a client that still writes, and no longer than it may', async (t) => {
  const { gate, wire } = await ways['in the clear']!(t, (await early(t)).port)
  await wire.write(get('/', `Content-Length: ${20 * MB}\r\n`, 'POST'))
  await eventually(() => gate.open().end !== null)
  const drained = gate.drain(5000)
  await within(wire.flood({ total: 20 * MB, keepOpen: true }))
  await readsAnswer(t, wire, 401)
  await drained
  t.match(await gate.end(), { reason: 'eof' })
  const cut = await ways['in the clear']!(t, (await early(t)).port)
  await cut.wire.write(get('/', `Content-Length: ${20 * MB}\r\n`, 'POST'))
  await eventually(() => cut.gate.open().end !== null)
  const timer = setInterval(() => void cut.wire.write('x'), 20)
  t.teardown(() => clearInterval(timer))
  const watch = stopwatch(t)
  await cut.gate.drain(300)
  t.ok(watch.livedMs < 2500, `${watch.livedMs.toFixed(0)} ms`)
  clearInterval(timer)
})

test('a reload that takes the listener out, and a shortage of memory, leave it its answer', async (t) => {
  const { port } = await early(t)
  const listener = `protocol: http, upstream: "127.0.0.1:${port}"`
  const memory = testMemory()
  const gate = await startGate(t, [listener, listener], { memory })
  const wire = await connect(t, gate.ports[1]!, { unread: true })
  await wire.write(get('/', `Content-Length: ${20 * MB}\r\n`, 'POST'))
  await eventually(() => gate.open().end !== null)
  t.match(await gate.reload([listener]), { result: 'success' })
  await within(wire.flood({ total: 20 * MB, keepOpen: true }))
  await readsAnswer(t, wire, 401)
  t.match(await gate.end(), { reason: 'eof' })
  const refused = await connect(t, gate.port, { unread: true })
  await eventually(() => gate.registry.size === 1)
  await overload(gate, memory)
  t.equal(await within(write(refused, 20 * MB, 'length')), true)
  await readsAnswer(t, refused, 503)
  t.match(await gate.end(1), { reason: 'overloaded' })
})

for (const change of ['changes', 'removes'])
  test(`of two workers, too, while a reload ${change} their listener: the rest is dropped, and nothing of it is asked`, async (t) => {
    const { port } = await early(t)
    const listener = `protocol: http, upstream: "127.0.0.1:${port}"`
    const gate = await startGate(t, [listener, listener], { workers: 2 })
    const wires = await Promise.all(
      Array.from({ length: 6 }, () => connect(t, gate.ports[1]!, { unread: true })),
    )
    for (const wire of wires) await wire.write(get('/', `Content-Length: ${5 * MB}\r\n`, 'POST'))
    // The answer is there, and the client does not read it.
    for (const wire of wires) await within(wire.flood({ total: MB, keepOpen: true }))
    const next = change === 'changes' ? [listener, `${listener}, http: { maxBody: 9MiB }`] : [listener]
    t.match(await gate.reload(next), { result: 'success' })
    for (const wire of wires) await within(wire.flood({ total: 4 * MB, keepOpen: true }))
    for (const wire of wires) await readsAnswer(t, wire, 401)
    await eventually(() => gate.lines.length === wires.length)
    t.same([...new Set(gate.lines.map(({ close }) => close))], ['eof'])
  })
