// One finding about an address: the result of a probe, or of a dial for a connection.

export type Health = 'unknown' | 'healthy' | 'unhealthy'

/** The result of a probe. */
export interface Checked {
  /** Wall clock. */
  at: number
  tookMs: number
  /** Null if the probe passed. */
  problem: string | null
  /** The answer of the address: `200 OK`, `pong`; null where it gave none. */
  answered: string | null
}

/** The words and the time (wall clock) of a failed dial. */
export interface DialFailure {
  at: number
  problem: string
}

export type Finding =
  /** From a probe. */
  | { kind: 'check'; key: string; state: Health; last: Checked }
  /** From a dial for a connection, `at` by the wall clock; `failure` is null when the dial succeeded. */
  | { kind: 'dial'; key: string; failure: DialFailure | null; at: number }
  /** From a kept connection: its service has sent bytes that no request had asked for; wall clock. */
  | { kind: 'stray'; key: string; at: number }
