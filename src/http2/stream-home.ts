// The home of a stream: the part of its client's connection that it knows.

import type { Carrier, Endpoint } from '../endpoint/endpoint.ts'
import type { ClientFlow } from './flow.ts'
import type { SharedWindows } from './shared-windows.ts'

/** The connection of a stream. */
export interface StreamHome extends Carrier {
  readonly flow: ClientFlow
  /** Learns which of its streams are read. */
  readonly windows: SharedWindows
  /**
   * Whether so many of the sent bytes, as `flow.sent` counts, have left the socket, as finely as the system
   * reports it.
   */
  hasTaken(bytes: number): boolean
  readonly socket: Pick<Endpoint, 'measure' | 'measurements'>
  /** The streams end with the connection, whose reason is to come: it closes each. */
  readonly isFalling: boolean
  /** Runs in another turn. */
  later(run: () => void): void
}
