// What makes connections to the upstream a client's alone, once it authenticated one of them (src/http1/authentication.ts).

import type { UpstreamTarget } from '../upstream/target.ts'

export class Binding {
  /** As the pool knows it. */
  readonly name: string
  /** Where its connections lead: the handshake has several requests. */
  target: UpstreamTarget | null = null

  constructor(name: string) {
    this.name = name
  }

  /** The client is gone. */
  release(): void {
    this.target?.pool?.dropBound(this.name)
  }
}
