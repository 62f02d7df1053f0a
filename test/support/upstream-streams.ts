// Streams of kept sessions, as the engine gets them: one for each request, with an owner.

import type { Test } from 'tap'
import { Sweep, systemClock } from '../../src/core/clock.ts'
import type { Close } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import type { Endpoint, EndpointOwner } from '../../src/endpoint/endpoint.ts'
import { UpstreamSessions } from '../../src/http2/upstream-sessions.ts'
import { Dial } from '../../src/upstream/dial.ts'
import { addressOf } from './addresses.ts'

/** Records its calls. */
export class Owner implements EndpointOwner {
  got = ''
  mayRead = true
  progress = 0
  closed: NodeJS.ErrnoException | null | undefined
  /** The number of calls of its end. */
  ends = 0
  /** True if a call came from within a method of the endpoint. */
  isInside = false

  onBytes(_endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    this.got += bytes.toString('latin1', 0, length)
    return this.mayRead
  }
  onEnd(): void {}
  onProgress(): void {
    this.progress++
  }
  onClosed(_endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    if (this.isInside) throw new Error('called from within')
    this.closed = error
    this.ends++
  }
}

/** A stream, with its owner. */
type Open = () => Promise<{ endpoint: Endpoint; owner: Owner; write(text: string): void }>

export interface Streams {
  sessions: UpstreamSessions
  connection: Connection
  open: Open
}

/** Sessions to the service at that port, until the end of the test. */
export function askAt(t: Test, port: number): Streams {
  const clock = systemClock
  const sweep = new Sweep(clock, 80)
  const sessions = new UpstreamSessions({
    name: 'a',
    host: `127.0.0.1:${port}`,
    isSecure: false,
    keepAliveMs: 4000,
    maxIdle: 64,
    clock,
    sweep,
    pings: () => ({ intervalMs: Infinity, timeoutMs: 1000, misses: 3 }),
    dial: (dialler, connectMs) =>
      new Dial(
        {
          target: { host: '127.0.0.1', port },
          from: null,
          read: null,
          noDelay: true,
          secure: null,
          connectMs,
        },
        { clock, sweep },
        dialler,
      ),
  })
  t.teardown(() => sessions.clear())
  const connection = new Connection(1, 'l', 'http', addressOf('127.0.0.1:1'), 0)
  const open: Open = async () => {
    const endpoint = await new Promise<Endpoint>((resolve, reject) =>
      sessions.open(connection, 2000, {
        onStream: resolve,
        onDialFailed: (close: Close) => reject(new Error(close.detail)),
      }),
    )
    const owner = new Owner()
    endpoint.owner = owner
    const write = (text: string): void => {
      const bytes = Buffer.from(text, 'latin1')
      endpoint.write(bytes, 0, bytes.length)
      // Like a read buffer, it belongs to another read from here on.
      bytes.fill(0)
    }
    return { endpoint, owner, write }
  }
  return { sessions, connection, open }
}
