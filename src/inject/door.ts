import type { Protocol } from './protocol.ts'

/** One listener of the gate, before one port of the application. */
export interface Door {
  /** Where the application listens. */
  appPort: number
  /** Where clients connect. */
  port: number
  protocol: Protocol
  /** Why it is not HTTP; null where it is, or where the protocol was given. */
  why: string | null
  /** The name of the container that listens. */
  container: string
  /** The gate took over the application's port, and the application moved to another. */
  isTaken: boolean
  /** The gate's port before this run, which Services and policies still have. */
  earlier: number | null
}
