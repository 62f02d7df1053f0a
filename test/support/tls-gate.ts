// A gate that relays bytes and speaks TLS with its clients.

import type { Test } from 'tap'
import type { OperatorParts } from '../../src/operator/operator.ts'
import { startGate } from './gate.ts'
import type { Gate } from './gate.ts'

/** In front of `upstream`, with `keys` of the listener and `tlsKeys` of its TLS, each with its comma. */
export type TlsGate = (
  t: Test,
  upstream: { port: number },
  keys?: string,
  tlsKeys?: string,
  parts?: Partial<OperatorParts>,
) => Promise<Gate>

export function tlsGateOf({ cert, key }: { cert: string; key: string }): TlsGate {
  return (t, upstream, keys = '', tlsKeys = '', parts = {}) =>
    startGate(
      t,
      [
        `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${cert}", key: "${key}" ${tlsKeys} } ${keys}`,
      ],
      parts,
    )
}
