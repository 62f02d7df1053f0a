// The closing handshake of two peers through us: one side's Close frame has passed, and the other side has to
// take it and to answer.
//
// Stops an end that the other side never answers. Does not kill a side whose Close is still on its way, after
// bytes that it reads slowly, nor one that still sends its last messages before its own Close.

import { makeClose } from '../core/close.ts'
import type { Close, PeerSide } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { NextDeadline } from '../core/wait.ts'
import type { Half } from '../pair/half.ts'
import { Motion } from '../pair/progress.ts'

export class ClosingHandshake {
  /** The side that sent the first Close frame. */
  readonly side: PeerSide
  /** `code 1000`, or `no code`. */
  readonly code: string
  /** When that frame passed. */
  readonly at: number
  readonly #towards: Motion
  readonly #back: Motion

  constructor(side: PeerSide, code: string, toUpstream: Half, toClient: Half, now: number) {
    this.side = side
    this.code = code
    this.at = now
    const [towards, back] = side === 'client' ? [toUpstream, toClient] : [toClient, toUpstream]
    // Bytes after a Close frame mean nothing.
    this.#towards = new Motion(towards, false, now)
    this.#back = new Motion(back, true, now)
  }

  get other(): PeerSide {
    return this.side === 'client' ? 'upstream' : 'client'
  }

  /** Called in each sweep: the end, once nothing has moved for `closeMs`, either way. */
  due(closeMs: number, now: number): Close | null {
    const hasTaken = this.#towards.isOver(closeMs, now)
    return this.#back.isOver(closeMs, now) && hasTaken ? this.end('not answered (deadlines.close)') : null
  }

  next(closeMs: number): NextDeadline {
    return {
      key: 'deadlines.close',
      reason: 'eof',
      side: this.side,
      at: Math.max(this.#towards.movedAt, this.#back.movedAt) + closeMs,
    }
  }

  /** The end of a closing handshake; `how` it ended, where it is not complete. */
  end(how: string | null): Close {
    return makeClose('eof', this.side, 'relay', how === null ? this.code : `${this.code}, ${how}`)
  }
}

/** A peer may have no code to give (RFC 6455 section 7.1.5). */
export function noteClose(connection: Connection, side: PeerSide, payload: Buffer): void {
  // Once it has ended, its peers were sent a Close of ours, and answer that.
  const first = connection.end === null ? side : 'sidegate'
  connection.closing ??= { first, client: null, upstream: null }
  connection.closing[side] ??= payload.length === 0 ? NO_CODE : payload.readUInt16BE(0)
}

const NO_CODE = 1005
