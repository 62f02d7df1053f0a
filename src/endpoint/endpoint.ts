// One side of a Half. A socket is one kind; a memory endpoint serves the tests.

import type { Manner, PeerSide } from '../core/close.ts'

/** The owner that an endpoint reports to, one at a time. Never called from within the endpoint's methods. */
export interface EndpointOwner {
  /**
   * `bytes[0..length)` were read. They are valid only until this returns: the owner copies what it keeps.
   * Returns false to pause the endpoint; `resume()` undoes that.
   */
  onBytes(endpoint: Endpoint, bytes: Buffer, length: number): boolean
  /** The peer ended its half (FIN); everything that it sent before was delivered. */
  onEnd(endpoint: Endpoint): void
  /** The sink took bytes from the queue after a while without: `queued` is smaller, perhaps 0. */
  onProgress(endpoint: Endpoint): void
  /** The descriptor is gone. The last call; `error` is the system's, null if both halves ended cleanly. */
  onClosed(endpoint: Endpoint, error: NodeJS.ErrnoException | null): void
}

/** The system's latest word on bytes that it took for a peer. */
export interface LookedAt {
  /** Bytes that the peer's host has not acknowledged: it may be gone. */
  readonly unacknowledged: number
  /** Bytes unread in the peer's socket; known only for peers on this machine. */
  readonly unread: number
  /** How many answers have come; Infinity where the system gives none. */
  readonly looks: number
}

/** The carrier of a stream: a connection that it shares with others. */
export interface Carrier {
  /** The carrier is not read: no stream is to blame for missing bytes. */
  readonly isHeld: boolean
  /** When the carrier's peer last took some of its queue, or had none; milliseconds of the Clock. */
  lastDrainAt(): number
  /**
   * How far its peer has come in all that it has sent, as of the system's last report; absent where that is
   * not known.
   */
  readonly takenTo?: number
}

export interface Endpoint {
  readonly side: PeerSide
  owner: EndpointOwner
  /** Bytes written here that we still hold. */
  readonly queued: number
  /** As `queued`, but as fine as the system can show: falls with every byte that the peer's side takes. */
  readonly unacked: number
  /** For a stream. Bytes that wait for the carrier are the carrier's to take: `queued`, and not `unacked`. */
  readonly carrier?: Carrier | undefined
  /**
   * The largest head or trailers that the peer takes, as SETTINGS_MAX_HEADER_LIST_SIZE counts; absent: any.
   */
  readonly maxHead?: number
  /**
   * For a stream of a carrier with `takenTo`: where the stream's last bytes end among all that the carrier
   * has sent.
   */
  readonly sentTo?: number | undefined
  readonly isClosed: boolean
  /** The system has refused a write: it takes no more, and `onClosed` comes in a later turn. Absent: no. */
  readonly isBroken?: boolean
  /** Looks closer, once, at the bytes that a stalled-looking peer has not taken; `unacked` shows it soon. */
  measure(): void
  /** Bytes wait: ends a socket whose peer is gone, where nothing else tells. */
  checkPeer?(): void
  /**
   * The endpoint is paused: ends it where its peer has reset it. Returns true once the system has shown that
   * the peer has sent FIN, perhaps behind bytes that are not read. Absent: a paused one is not blind.
   */
  hasPeerLeft?(): boolean
  /** How many of those looks have come back; Infinity where the system gives none. */
  readonly measurements: number
  /**
   * Asks the system once more how much of our bytes has reached the peer; the returned object gets the
   * answers. `unacked` does not change.
   */
  look(): LookedAt
  /** Copies `bytes[start..end)` and sends them in order. Never blocks: queues what the system cannot take. */
  write(bytes: Buffer, start: number, end: number): void
  /** As `write`, for a whole HTTP/1.1 head in latin1. Present where the endpoint needs it as text. */
  writeHead?(head: string): void
  /** Gathers writes until `uncork`, in the same turn, and sends them together. One endpoint at a time. */
  cork(): void
  uncork(): void
  /**
   * Sends a whole control frame of ours (WebSocket). Present where writes are first put together into
   * messages, so that the frame may stand anywhere; a ping goes ahead of the waiting bytes, a Close after
   * them.
   */
  inject?(frame: Buffer): void
  /** Bytes of an incomplete message: they wait for its sender, so they are not in `queued`. */
  readonly assembling?: number
  /** The cost of the messages in its queue beside their bytes. */
  readonly keeping?: number
  /** Bytes from the peer that wait here for the other side. A socket's bytes wait in the kernel. */
  readonly unread?: number
  /**
   * Stops reading. A paused endpoint is blind: it reports neither FIN nor RST until `resume`, unless
   * `hasPeerLeft` is asked, so a deadline of the side that does not take the bytes ends such a pair.
   */
  pause(): void
  resume(): void
  /** Lets TCP probe the peer after `ms` of silence. Four system calls: not for what may end at once. */
  keepAlive(ms: number): void
  /** Ends our half (FIN) after what is queued. Reading goes on. */
  end(): void
  /**
   * As `end`, for a peer that has said its last word (a Close in answer to ours): closes without waiting for
   * its FIN, once nothing is queued. The kernel still sends its queue; bytes that the peer sends after all
   * get an RST.
   */
  conclude(): void
  /**
   * flush: as `end`, and reads go on until the peer ends too. deliver: RST once the peer has taken
   * everything, which `measure` finds out; reads go on until then. drop, reset: at once. `onClosed` follows.
   */
  close(manner: Manner): void
}
