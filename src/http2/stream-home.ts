// What a stream of a client knows of its connection.

import type { Carrier, Endpoint } from '../endpoint/endpoint.ts'
import type { ClientFlow } from './flow.ts'
import type { SharedWindows } from './shared-windows.ts'

/** The connection of a stream. */
export interface StreamHome extends Carrier {
  readonly flow: ClientFlow
  /** Told which of its streams are read. */
  readonly windows: SharedWindows
  /** Of what was sent, as `flow.sent` counts, so much has been taken off the socket, as fine as the system tells. */
  hasTaken(bytes: number): boolean
  readonly socket: Pick<Endpoint, 'measure' | 'measurements'>
  /** Its streams end with it, and why is to come: it closes each. */
  readonly isFalling: boolean
  /** In another turn. */
  later(run: () => void): void
}
