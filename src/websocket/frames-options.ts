// The options of a WebSocket, whatever its mode.

import type { Live } from '../core/live.ts'
import type { PingOptions } from './pinger.ts'

export interface FramesOptions {
  /** Of clients. A service is bounded only in what one of its messages may be: it is the trusted side, and costs nothing here. */
  maxMessageBytes: number
  maxFragments: number
  maxMessageToClientBytes: number
  /** `closeMs`: from the first Close frame to the end of the closing handshake. `writeMs`: that a peer may take nothing of what it is sent. */
  live: Live<{ closeMs: number; writeMs: number; ping: PingOptions; messageTimeoutMs: number }>
}
