// Clients that ask for an echo and check every byte of it, one for each protocol, in the clear or over TLS. The upstreams that answer
// them: `echo`, `wsServer`, and `namesTheTarget` for HTTP.

import type { Test } from 'tap'
import { readFileSync } from 'node:fs'
import { pattern } from './bytes.ts'
import { within } from './eventually.ts'
import { get, HttpClient, recordingUpstream } from './http-peers.ts'
import type { RecordingUpstream } from './http-peers.ts'
import { connect } from './peers.ts'
import { tlsConnect } from './tls-peers.ts'
import { wsClient } from './websocket.ts'
import type { Wire } from './wire.ts'

export interface EchoClient {
  /** The nth round trip; throws for a wrong answer, or none. */
  ask(nth: number): Promise<void>
  /** Ends the connection as its protocol does; throws if the other side ended it first. */
  leave(): Promise<void>
}

export interface EchoClientOptions {
  port: number
  /** The seed of the bytes: each client asks for others. */
  seed: number
  /** Path of the authority that is trusted; null speaks in the clear. */
  ca: string | null
}

/** Hundreds of clients may share a process, and the process a busy machine. */
const LONG = { withinMs: 60_000 }

const open = (t: Test, { port, ca }: EchoClientOptions): Promise<Wire> =>
  ca === null ? connect(t, port) : tlsConnect(t, port, { ca })
const bytesOf = (seed: number, nth: number): Buffer =>
  pattern(100 + ((seed * 37 + nth * 101) % 3000), seed + nth)

export async function tcpEchoClient(t: Test, options: EchoClientOptions): Promise<EchoClient> {
  const { seed } = options
  const wire = await open(t, options)
  return {
    async ask(nth) {
      const bytes = bytesOf(seed, nth)
      void wire.write(bytes)
      if (!(await wire.read(bytes.length, LONG)).equals(bytes))
        throw new Error(`tcp client ${seed} got other bytes`)
    },
    async leave() {
      if (wire.hasEnded || wire.outcome !== null) throw new Error(`tcp client ${seed} was cut`)
      wire.end()
      if (!(await within(wire.ended, LONG))) throw new Error(`tcp client ${seed} was cut`)
    },
  }
}

export async function webSocketEchoClient(
  t: Test,
  { port, seed, ca }: EchoClientOptions,
): Promise<EchoClient> {
  const client = await (ca === null
    ? wsClient(t, `ws://127.0.0.1:${port}`)
    : wsClient(t, `wss://127.0.0.1:${port}`, { ca: readFileSync(ca) }))
  return {
    async ask(nth) {
      const bytes = bytesOf(seed, nth)
      if (!(await client.send(bytes))) throw new Error(`WebSocket client ${seed} was cut`)
      if (!(await client.nextMessage(LONG)).data.equals(bytes))
        throw new Error(`WebSocket client ${seed} got another message`)
    },
    async leave() {
      client.socket.close(1000)
      if ((await within(client.closed, LONG)).code !== 1000)
        throw new Error(`WebSocket client ${seed} was told something else`)
    },
  }
}

export async function httpEchoClient(t: Test, options: EchoClientOptions): Promise<EchoClient> {
  const { seed } = options
  const client = new HttpClient(await open(t, options))
  return {
    async ask(nth) {
      const { status, body, header } = await client.get(get(`/${seed}/${nth}`), {}, LONG)
      if (status !== 200 || body.toString() !== `/${seed}/${nth}`)
        throw new Error(`HTTP client ${seed} got ${status}`)
      if (header('connection') !== 'keep-alive')
        throw new Error(`HTTP client ${seed} was sent away after ${nth} requests`)
    },
    async leave() {
      if (client.wire.hasEnded || client.wire.outcome !== null) throw new Error(`HTTP client ${seed} was cut`)
      client.wire.end()
      await within(client.wire.closed, LONG)
    },
  }
}

/** An upstream whose answer to each request is its target. */
export const namesTheTarget = (t: Test): Promise<RecordingUpstream> =>
  recordingUpstream(t, ({ target }) => `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`)
