// The closing handshake of two peers through us: one side's Close frame has passed, and the other side has to
// take it and to answer.
//
// Stops an end that the other side never answers. Does not kill a side whose Close is still on its way, after
// bytes that it reads slowly (or not at all for a while: they are owed for `deadlines.write`, like all
// bytes), nor one that still sends its last messages before its own Close.

import { makeClose } from '../core/close.ts'
import type { Close, PeerSide } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { NextDeadline } from '../core/wait.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Half } from '../pair/half.ts'
import { owesMore } from '../pair/leave.ts'
import { Motion } from '../pair/progress.ts'
import { codeOf } from './violation.ts'

/** The head of a control frame, with a mask. */
export const CONTROL_HEAD = 6

export interface ClosingPatience {
  closeMs: number
  writeMs: number
}

export class ClosingHandshake {
  /** The side that sent the first Close frame. */
  readonly side: PeerSide
  /** `code 1000`, or `no code`. */
  readonly code: string
  /** When that frame passed. */
  readonly at: number
  readonly #to: Endpoint
  /** The size of the frame as it goes on to the other side. */
  readonly #bytes: number
  readonly #towards: Motion
  readonly #back: Motion

  constructor(
    side: PeerSide,
    payload: Buffer,
    { toUpstream, toClient }: { toUpstream: Half; toClient: Half },
    now: number,
  ) {
    this.side = side
    this.code = payload.length === 0 ? 'no code' : `code ${payload.readUInt16BE(0)}`
    this.#bytes = CONTROL_HEAD + payload.length
    this.at = now
    const [towards, back] = side === 'client' ? [toUpstream, toClient] : [toClient, toUpstream]
    this.#to = towards.sink
    // Bytes after a Close frame mean nothing.
    this.#towards = new Motion(towards, false, now)
    this.#back = new Motion(back, true, now)
  }

  get other(): PeerSide {
    return this.side === 'client' ? 'upstream' : 'client'
  }

  /** Called in each sweep: the end, once nothing has moved for `closeMs`, either way. */
  due(patience: ClosingPatience, now: number): Close | null {
    const hasTaken = this.#towards.isOver(patience.closeMs, now) && !this.#isOwed(patience)
    return this.#back.isOver(patience.closeMs, now) && hasTaken
      ? this.end('not answered (deadlines.close)')
      : null
  }

  /**
   * The other side has not come to the frame yet: the pair's own `deadlines.write` judges that, as before.
   */
  #isOwed({ writeMs }: ClosingPatience): boolean {
    return Number.isFinite(writeMs) && owesMore(this.#to, this.#bytes)
  }

  next(patience: ClosingPatience): NextDeadline | null {
    if (this.#isOwed(patience)) return null
    return {
      key: 'deadlines.close',
      reason: 'eof',
      side: this.side,
      at: Math.max(this.#towards.movedAt, this.#back.movedAt) + patience.closeMs,
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
  connection.closing[side] ??= codeOf(payload)
}
