// A side of a Half. A socket is one kind; a memory endpoint serves the tests.

import type { Manner, PeerSide } from '../core/close.ts'

/** The owner that an endpoint reports to; exactly one at a time. Calls come from the endpoint, never from within its own methods. */
export interface EndpointOwner {
  /**
   * `bytes[0..length)` were read. They are valid only until this returns: copy what is kept.
   * Returns false to pause the endpoint; `resume()` undoes that.
   */
  onBytes(endpoint: Endpoint, bytes: Buffer, length: number): boolean
  /** The peer ended its half (FIN); everything that it sent before was delivered. */
  onEnd(endpoint: Endpoint): void
  /** The sink took bytes from the queue after it had not for a while: `queued` is smaller, perhaps 0. */
  onProgress(endpoint: Endpoint): void
  /** The descriptor is gone. The last call; `error` is what the system said, null after a clean end on both halves. */
  onClosed(endpoint: Endpoint, error: NodeJS.ErrnoException | null): void
}

/** The system's last word on bytes that it took for a peer. */
export interface LookedAt {
  /** Bytes that the host of the peer has not acknowledged: it may be gone. */
  readonly unacknowledged: number
  /** Bytes that lie unread in the peer's socket; known only of peers of this machine. */
  readonly unread: number
  /** How many answers have come; Infinity where the system does not tell. */
  readonly looks: number
}

/** What carries a stream: a connection that it shares with others. */
export interface Carrier {
  /** It is not read: no stream is to blame for what does not come. */
  readonly isHeld: boolean
  /** When its peer last took some of what waits for it, or nothing waited; milliseconds of the Clock. */
  lastDrainAt(): number
}

export interface Endpoint {
  readonly side: PeerSide
  owner: EndpointOwner
  /** Bytes that were written here and that we still hold. */
  readonly queued: number
  /** As `queued`, but as fine as the system can tell: falls with every byte that the peer's side takes. */
  readonly unacked: number
  /** Of a stream. What waits for its carrier is the carrier's to take: queued, and not `unacked`. */
  readonly carrier?: Carrier | undefined
  readonly isClosed: boolean
  /** The system has refused a write: it takes nothing more, and the end of it comes in another turn. Absent is no. */
  readonly isBroken?: boolean
  /** Looks closer at what the peer has not taken, once: `unacked` tells it a moment later. For a peer that looks stalled. */
  measure(): void
  /** How many of those looks have come back; Infinity where the system does not tell. */
  readonly measurements: number
  /** Asks the system once more what of our bytes has reached the peer; the answers are in what it returns. `unacked` stays as it is. */
  look(): LookedAt
  /** Copies `bytes[start..end)` and sends them in order. Never blocks; what the system does not take at once is queued. */
  write(bytes: Buffer, start: number, end: number): void
  /** As `write`, of a whole head of HTTP/1.1 in latin1. Present where it would be made a text again. */
  writeHead?(head: string): void
  /** Lets writes go out together from here to `uncork`, in the same turn of the event loop. One endpoint at a time. */
  cork(): void
  uncork(): void
  /**
   * Sends a whole control frame of ours (WebSocket). Present where what is written is put together into messages first, so
   * that the frame may stand anywhere; a ping goes ahead of the bytes that wait, a Close after them.
   */
  inject?(frame: Buffer): void
  /** Bytes of a message that is not whole yet: they wait for its sender, so they are not in `queued`. */
  readonly assembling?: number
  /** Bytes that the peer sent and that wait here for the other side to take some. Of a socket they wait in the kernel. */
  readonly unread?: number
  /**
   * Stops reading. A paused endpoint is blind: it reports neither FIN nor RST until it is resumed, so a deadline on
   * the side that does not take the bytes is what ends such a pair.
   */
  pause(): void
  resume(): void
  /** Lets TCP probe the peer after `ms` of silence. Four system calls: not for connections that may end at once. */
  keepAlive(ms: number): void
  /** Ends our half (FIN) after what is queued. Reading goes on. */
  end(): void
  /**
   * As `end`, for a peer that has said its last word (a Close in answer to ours): closes without its FIN, once nothing is queued. Kernel
   * queues still go; bytes that the peer would send all the same cost it an RST.
   */
  conclude(): void
  /**
   * flush: as `end`, and reads go on until the peer ends too. deliver: RST once the peer has taken what there is, which `measure` finds
   * out; reads go on until then. drop, reset: at once. `onClosed` follows.
   */
  close(manner: Manner): void
}
