import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'
import { test } from 'tap'
import type { Test } from 'tap'
import type { Endpoint, EndpointOwner } from '../../src/endpoint/endpoint.ts'
import { parentOf, setRaw } from '../../src/endpoint/raw-socket.ts'
import { dialledEndpoint, dialOptions } from '../../src/endpoint/socket-endpoint.ts'
import type { ReadOptions } from '../../src/endpoint/socket-endpoint.ts'
import { pattern, Verifier } from '../support/bytes.ts'
import { eventually } from '../support/eventually.ts'
import { someServer } from '../support/certificates.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'
import { tlsUpstream } from '../support/tls-peers.ts'
import type { Wire } from '../support/wire.ts'

/** An owner that records its calls. */
class Told implements EndpointOwner {
  readonly got: Buffer[] = []
  hasEnded = false
  progress = 0
  closed: { error: NodeJS.ErrnoException | null } | null = null
  mayRead = true

  onBytes(_endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    this.got.push(Buffer.from(bytes.subarray(0, length)))
    return this.mayRead
  }

  onEnd(): void {
    this.hasEnded = true
  }

  onProgress(): void {
    this.progress += 1
  }

  onClosed(_endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    this.closed = { error }
  }

  get text(): string {
    return Buffer.concat(this.got).toString()
  }
}

const reads: ReadOptions[] = [
  { readBytes: 65_536, usesSharedBuffer: true },
  { readBytes: 65_536, usesSharedBuffer: false },
]

/** Each way of reading: a socket that is dialled, and its peer. */
function eachWay(
  title: string,
  body: (t: Test, endpoint: Endpoint, told: Told, peer: Wire) => Promise<unknown>,
  unread = false,
): void {
  for (const read of reads) {
    test(`${title}${read.usesSharedBuffer ? '' : ', by data events'}`, async (t) => {
      watchLeaks(t)
      const upstream = await listen(t, () => {}, unread ? { unread: true } : {})
      const socket = net.connect({
        port: upstream.port,
        host: '127.0.0.1',
        allowHalfOpen: true,
        ...dialOptions(read, false),
      })
      t.teardown(() => socket.destroy())
      await once(socket, 'connect')
      const told = new Told()
      await body(t, dialledEndpoint(socket, read, told), told, await upstream.connection())
    })
  }
}

eachWay(
  'bytes, FIN and the end are told in their order, the end without an error',
  async (t, endpoint, told, peer) => {
    await peer.write('hello')
    peer.end()
    await eventually(() => told.hasEnded)
    t.equal(told.text, 'hello')
    t.equal(told.closed, null, 'our half is still open')
    endpoint.write(Buffer.from('..bye..'), 2, 5)
    endpoint.end()
    t.equal((await peer.received).toString(), 'bye')
    await eventually(() => told.closed)
    t.same(told.closed, { error: null })
  },
)

eachWay('an RST is told as an error', async (t, _endpoint, told, peer) => {
  peer.reset()
  await eventually(() => told.closed)
  t.equal(told.closed?.error?.code, 'ECONNRESET')
})

eachWay('an owner that wants no more is given no more until it resumes', async (t, endpoint, told, peer) => {
  told.mayRead = false
  await peer.write('one')
  await eventually(() => told.text === 'one')
  await peer.write('two')
  await peer.write(Buffer.alloc(1, '!'))
  t.equal(told.text, 'one')
  told.mayRead = true
  endpoint.resume()
  await eventually(() => told.text === 'onetwo!')
})

eachWay(
  'all that a slow peer does not take is counted, moves as it is taken, and arrives in order though its buffer is written over',
  async (t, endpoint, told, peer) => {
    const total = 12_000_000
    const bytes = Buffer.alloc(65_536)
    for (let at = 0; at < total; at += bytes.length) {
      const length = Math.min(bytes.length, total - at)
      pattern(length, 3, at).copy(bytes)
      endpoint.write(bytes, 0, length)
      bytes.fill(0)
    }
    const queued = endpoint.queued
    t.ok(queued > 1_000_000, `${queued} bytes wait`)
    t.ok(endpoint.unacked <= queued, 'what the kernel took of the write in progress is known')
    endpoint.end()
    const got = new Verifier(3)
    peer.socket.removeAllListeners('data')
    peer.socket.on('data', (chunk) => got.write(chunk as Buffer))
    peer.resumeReading()
    await eventually(() => peer.hasEnded, { withinMs: 20_000 })
    t.equal(got.problem(total), null)
    t.ok(told.progress > 10, `it was told ${told.progress} times`)
    t.equal(endpoint.queued, 0)
  },
  true,
)

eachWay(
  'reset is an RST, whatever waits, and what was not taken stays counted',
  async (t, endpoint, told, peer) => {
    const bytes = Buffer.alloc(65_536)
    for (let nth = 0; nth < 200; nth += 1) endpoint.write(bytes, 0, bytes.length)
    endpoint.close('reset')
    t.ok(endpoint.isClosed)
    await eventually(() => told.closed)
    t.ok(endpoint.queued > 0)
    peer.resumeReading()
    t.match(await peer.closed, { kind: 'reset' })
  },
  true,
)

eachWay('drop is a FIN at once', async (t, endpoint, told, peer) => {
  endpoint.close('drop')
  t.equal(await peer.ended, true)
  await eventually(() => told.closed)
  t.same(told.closed, { error: null })
})

eachWay(
  'flush sends what waits, then FIN, and hears the peer out',
  async (t, endpoint, told, peer) => {
    const bytes = Buffer.alloc(65_536, 7)
    for (let nth = 0; nth < 100; nth += 1) endpoint.write(bytes, 0, bytes.length)
    endpoint.close('flush')
    endpoint.write(bytes, 0, 1)
    peer.resumeReading()
    await eventually(() => peer.hasEnded, { withinMs: 20_000 })
    t.equal(peer.bytes, 100 * 65_536, 'and nothing that came after')
    await peer.write('last words')
    peer.end()
    await eventually(() => told.closed)
    t.equal(told.text, 'last words')
  },
  true,
)

eachWay(
  'an end that is to be an RST after all keeps its FIN, behind all that waits, ahead of the RST',
  async (t, endpoint, told, peer) => {
    const bytes = Buffer.alloc(65_536, 7)
    for (let nth = 0; nth < 100; nth += 1) endpoint.write(bytes, 0, bytes.length)
    endpoint.close('flush')
    endpoint.close('deliver')
    peer.resumeReading()
    await eventually(() => peer.hasEnded, { withinMs: 20_000 })
    t.equal(peer.bytes, 100 * 65_536)
    await eventually(() => (endpoint.measure(), told.closed), { what: 'RST' })
    void peer.flood()
    t.match(await peer.closed, { kind: 'reset' })
  },
  true,
)

eachWay(
  'writes between cork and uncork go out in order, and so does the rest',
  async (t, endpoint, _told, peer) => {
    endpoint.cork()
    for (const word of ['a', 'bb', 'ccc']) endpoint.write(Buffer.from(word), 0, word.length)
    endpoint.uncork()
    endpoint.write(Buffer.from('dddd'), 0, 4)
    endpoint.end()
    t.equal((await peer.received).toString(), 'abbcccdddd')
  },
)

eachWay(
  'a peer that takes nothing is seen to take nothing, and one that takes a little is seen to',
  async (t, endpoint, _told, peer) => {
    const bytes = Buffer.alloc(65_536)
    for (let nth = 0; nth < 150; nth += 1) endpoint.write(bytes, 0, bytes.length)
    const look = async (): Promise<number> => {
      const before = endpoint.measurements
      // Every sweep asks for a look until it comes.
      const isSeen = (): boolean => {
        endpoint.measure()
        return endpoint.measurements > before
      }
      await eventually(isSeen, { what: 'a look into the kernel' })
      return endpoint.unacked
    }
    let before = await look()
    t.ok(before > endpoint.queued, 'the kernel holds some, too')
    // The peer's kernel still takes bytes for a moment.
    await eventually(async () => before === (before = await look()), { what: 'two looks alike' })
    peer.resumeReading()
    await eventually(() => peer.bytes > 0)
    peer.stopReading()
    t.ok((await look()) < before)
    endpoint.close('reset')
  },
  true,
)

/** What the peer has not taken, by a look that began after this call. */
async function lookAt(endpoint: Endpoint): Promise<number> {
  const before = endpoint.measurements
  await eventually(() => (endpoint.measure(), endpoint.measurements >= before + 2), { what: 'two looks' })
  return endpoint.unacked
}

/** `closed` of Told is set once the RST is sent. */
async function seesItTakeTheRest(t: Test, endpoint: Endpoint, told: Told, peer: Wire): Promise<void> {
  const bytes = Buffer.alloc(65_536)
  for (let nth = 0; nth < 150; nth += 1) endpoint.write(bytes, 0, bytes.length)
  let before = await lookAt(endpoint)
  await eventually(async () => before === (before = await lookAt(endpoint)), { what: 'two looks alike' })
  const { measurements, queued } = endpoint
  t.ok(queued > 0)
  endpoint.close('deliver')
  t.ok(endpoint.measurements >= measurements, 'later answers are told from earlier ones')
  t.equal(await lookAt(endpoint), before)
  peer.resumeReading()
  await eventually(() => peer.bytes > 0)
  peer.stopReading()
  const after = await lookAt(endpoint)
  t.ok(after < before, `${after}, of ${before}`)
  peer.resumeReading()
  await eventually(() => (endpoint.measure(), told.closed), { withinMs: 20_000, what: 'RST' })
  t.equal(peer.bytes, 150 * 65_536)
}

eachWay(
  'a peer that is to get an RST behind what waits is seen to take a little of it',
  seesItTakeTheRest,
  true,
)

/** Bytes that the peer leaves in the kernel count from a look on, with all that follows them there. */
async function countsWhatFollows(t: Test, endpoint: Endpoint, peer: Wire): Promise<void> {
  endpoint.write(Buffer.alloc(400_000), 0, 400_000)
  await eventually(() => endpoint.queued === 0)
  t.equal(endpoint.unacked, 0, 'nobody has looked')
  let left = await lookAt(endpoint)
  await eventually(async () => left === (left = await lookAt(endpoint)), { what: 'two looks alike' })
  t.ok(left > 100_000, `${left} bytes`)
  for (let nth = 1; nth <= 5; nth++) {
    endpoint.write(Buffer.alloc(10), 0, 10)
    await eventually(() => endpoint.queued === 0)
    t.ok(endpoint.unacked >= left + 10 * nth, `${endpoint.unacked}, no less than ${left + 10 * nth}`)
  }
  t.ok((await lookAt(endpoint)) >= left + 50)
  peer.resumeReading()
  await eventually(async () => (await lookAt(endpoint)) === 0, { what: 'it to be seen to take all' })
  endpoint.write(Buffer.alloc(10), 0, 10)
  await eventually(() => endpoint.queued === 0)
  t.equal(endpoint.unacked, 0, 'one that has taken all is owed nothing')
  endpoint.close('reset')
}

eachWay(
  'bytes behind those that a peer leaves in the kernel are not taken either',
  (t, endpoint, _told, peer) => countsWhatFollows(t, endpoint, peer),
  true,
)

/** An endpoint over TLS, and its peer, which does not read. */
async function overTls(t: Test, told: Told): Promise<{ endpoint: Endpoint; peer: Wire }> {
  watchLeaks(t)
  const server = someServer()
  const upstream = await tlsUpstream(t, server, (wire) => wire.stopReading())
  const raw = net.connect({ port: upstream.port, host: '127.0.0.1', allowHalfOpen: true })
  const secure = tls.connect({ socket: raw, servername: 'localhost', ca: readFileSync(server.ca) })
  t.teardown(() => secure.destroy())
  await once(secure, 'secureConnect')
  setRaw(secure, raw)
  return { endpoint: dialledEndpoint(secure, reads[1]!, told), peer: await upstream.connection() }
}

test('a peer that is to get an RST behind what waits is seen to take a little of it, over TLS', async (t) => {
  const told = new Told()
  const { endpoint, peer } = await overTls(t, told)
  await seesItTakeTheRest(t, endpoint, told, peer)
})

test('bytes behind those that a peer leaves in the kernel are not taken either, over TLS', async (t) => {
  const { endpoint, peer } = await overTls(t, new Told())
  await countsWhatFollows(t, endpoint, peer)
})

test('the last words of an upstream over TLS are heard, though it is looked for before and after its write fails', async (t) => {
  const told = new Told()
  const { endpoint, peer } = await overTls(t, told)
  endpoint.write(Buffer.alloc(8_000_000), 0, 8_000_000)
  await eventually(() => endpoint.queued > 0, { what: 'a write that waits' })
  peer.socket.write('too large')
  parentOf(peer.socket).resetAndDestroy()
  const look = (): void => {
    endpoint.checkPeer!()
    endpoint.checkPeer!()
    if (told.closed === null) setImmediate(look)
  }
  look()
  await eventually(() => told.closed !== null)
  t.equal(told.text, 'too large')
  t.match(told.closed, { error: { syscall: 'write' } })
})
