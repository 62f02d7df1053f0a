// The upstreams that a gate may meet, well- and ill-behaved, over real loopback sockets, and clients for
// them. Each ends with its test. The Wire of a connection has its record.

import type { Test } from 'tap'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { pattern } from './bytes.ts'
import { eventually, within } from './eventually.ts'
import { Wire, type FloodOptions, type WireOptions } from './wire.ts'

export interface Upstream {
  port: number
  /** Every accepted connection, in order, ended ones too. */
  connections: Wire[]
  /** Resolves with the nth connection, from 0, once the upstream has accepted it. */
  connection(nth?: number): Promise<Wire>
  /** Stops accepting, and refuses from here on; open connections stay open. */
  stopAccepting(): void
}

/** Accepts on a free port of 127.0.0.1, or at `place` (perhaps a unix socket, and then the port is 0), and hands each connection to `serve`; half-open, so nothing ends by itself. */
export async function listen(
  t: Test,
  serve: (wire: Wire) => unknown,
  options: WireOptions = {},
  place: { host: string; port: number } | { path: string } = { host: '127.0.0.1', port: 0 },
): Promise<Upstream> {
  const connections: Wire[] = []
  const server = net.createServer(
    { allowHalfOpen: true, pauseOnConnect: options.unread ?? false },
    (socket) => {
      const wire = new Wire(socket, options)
      connections.push(wire)
      void serve(wire)
    },
  )
  t.teardown(async () => {
    for (const { socket } of connections) socket.destroy()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
    await Promise.all(connections.map((wire) => wire.closed))
  })
  server.listen(place)
  await once(server, 'listening')
  return {
    port: 'path' in place ? 0 : (server.address() as AddressInfo).port,
    connections,
    connection: (nth = 0) =>
      eventually(() => connections[nth], { what: `connection ${nth} at the upstream` }),
    stopAccepting: () => void server.close(),
  }
}

/** Returns every byte, and ends after the peer. */
export const echo = (t: Test, options?: WireOptions): Promise<Upstream> =>
  listen(
    t,
    (wire) => {
      const { socket } = wire
      socket.on('data', (chunk) => {
        socket.pause()
        void wire.write(chunk).then(() => socket.resume())
      })
      void wire.ended.then(() => wire.end())
    },
    options,
  )

/** Echoes in pieces of 1, 2, 3, 5, 7, 11 and 13 bytes, each its own write in its own turn. */
export const slicer = (t: Test): Promise<Upstream> =>
  listen(t, async (wire) => {
    const sizes = [1, 2, 3, 5, 7, 11, 13]
    for (let piece = 0; !wire.hasEnded || wire.unread > 0;) {
      if (wire.outcome !== null) return
      if (wire.unread === 0) await wire.news()
      for (let bytes = wire.takeUnread(); bytes.length > 0; piece += 1) {
        const size = sizes[piece % sizes.length]!
        await wire.write(bytes.subarray(0, size))
        bytes = bytes.subarray(size)
        await turn()
      }
    }
    wire.end()
  })

/** Accepts, reads nothing, sends nothing, and so sees neither FIN nor RST; `resumeReading()` wakes a connection. */
export const mute = (t: Test, options: WireOptions = {}): Promise<Upstream> =>
  listen(t, () => {}, { ...options, unread: true })

const nowhere = { write: () => {} }

/** Reads, counts and hashes every byte, sends nothing, and ends after the peer. */
export const sink = (t: Test, options: WireOptions = {}): Promise<Upstream> =>
  listen(t, (wire) => wire.ended.then(() => wire.end()), { into: nowhere, ...options })

/** Sends as fast as the peer takes it, from the start; `sent` is the bytes that its kernel took. */
export const flooder = (t: Test, options?: FloodOptions & WireOptions): Promise<Upstream> =>
  listen(t, (wire) => wire.flood(options), options)

/** Sends so many bytes of `pattern` in each interval, until the connection closes. */
export const trickler = (
  t: Test,
  bytesPerInterval: number,
  intervalMs: number,
  seed = 0,
): Promise<Upstream> =>
  listen(t, (wire) => {
    let at = 0
    const timer = setInterval(() => {
      void wire.write(pattern(bytesPerInterval, seed, at))
      at += bytesPerInterval
    }, intervalMs)
    void wire.closed.then(() => clearInterval(timer))
    void wire.ended.then(() => wire.end())
  })

/**
 * Sends `first`, and RST once the kernel took that and `afterBytes` were read. With neither, at once: then even the
 * dial may fail.
 */
export const resetter = (t: Test, afterBytes = 0, first: Uint8Array | string = ''): Promise<Upstream> =>
  listen(t, async (wire) => {
    if (first.length > 0) await wire.write(first)
    while (wire.bytes < afterBytes && wire.outcome === null) await wire.news()
    wire.reset()
  })

type Answer = (request: Buffer) => Uint8Array | string

/** Reads until it sees FIN, and only then answers, and ends. */
export const halfCloser = (t: Test, answer: Answer = (request) => request): Promise<Upstream> =>
  listen(t, async (wire) => {
    if (await wire.ended) wire.end(answer(await wire.received))
  })

/** Sends `greeting`, sends FIN first, and reads on until the peer ends too. */
export const finsFirst = (
  t: Test,
  greeting: Uint8Array | string = '',
  options?: WireOptions,
): Promise<Upstream> => listen(t, (wire) => wire.end(greeting.length > 0 ? greeting : undefined), options)

/** Reads all bytes and never ends its half, whatever the peer does; only RST or the test ends it. */
export const neverCloses = (t: Test, options?: WireOptions): Promise<Upstream> => listen(t, () => {}, options)

/** A port without a listener, which no other process can take meanwhile. */
export function refuser(t: Test): { port: number } {
  const bound = new net.BoundSocket({ host: '127.0.0.1', port: 0 })
  t.teardown(() => bound.close())
  return { port: bound.address().port }
}

export interface ConnectOptions extends WireOptions {
  /** Keeps our half open when the peer ends; otherwise our FIN answers the peer's, as with most clients. */
  halfOpen?: boolean
  /** An address other than 127.0.0.1, such as ::1. */
  host?: string
  /** Our own address, such as 127.0.0.2. */
  from?: string
}

/** A client, of a port or of a unix socket. Rejects with the error when it cannot connect. */
export async function connect(t: Test, to: number | string, options: ConnectOptions = {}): Promise<Wire> {
  const { halfOpen = false, host = '127.0.0.1', from } = options
  const socket: Socket = net.connect({
    ...(typeof to === 'string' ? { path: to } : { port: to, host }),
    allowHalfOpen: halfOpen,
    ...(from === undefined ? {} : { localAddress: from }),
  })
  t.teardown(() => {
    socket.destroy()
    return new Promise((resolve) => (socket.closed ? resolve(null) : socket.once('close', resolve)))
  })
  const wire = new Wire(socket, options)
  const failed = wire.closed.then(({ code }) => {
    throw Object.assign(new Error(`connect to ${to}: ${code}`), { code })
  })
  failed.catch(() => {})
  await within(Promise.race([once(socket, 'connect'), failed]), { what: `a connection to ${to}` })
  return wire
}

/** Whether an echo answers; false where the gate has refused the connection. */
export async function isServed(wire: Wire): Promise<boolean> {
  void wire.write('?')
  return wire.read(1).then(
    () => true,
    () => false,
  )
}
