// The options of a WebSocket, in either mode.

import type { Live } from '../core/live.ts'
import type { PingOptions } from './pinger.ts'

export interface FramesOptions {
  /**
   * For messages of clients. A service has a bound on its messages alone: it is the trusted side, and costs
   * nothing here.
   */
  maxMessageBytes: number
  maxFragments: number
  maxMessageToClientBytes: number
  /**
   * `closeMs`: from the first Close frame to the end of the closing handshake. `writeMs`: how long a peer may
   * take nothing of its queue.
   */
  live: Live<{ closeMs: number; writeMs: number; ping: PingOptions; messageTimeoutMs: number }>
}
