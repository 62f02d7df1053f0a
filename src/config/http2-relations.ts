// Settings that exclude HTTP/2.

import type { Path } from './path.ts'
import { at } from './path.ts'
import type { Finding } from './finding.ts'

/** An upstream that speaks HTTP/2 has one connection for the requests of many clients, and no upgrade. */
export function http2Upstream(listener: unknown, path: Path): Finding[] {
  const protocol: Path = ['upstream', 'protocol']
  const check: Path = ['upstream', 'healthCheck', 'type']
  if (at(listener, protocol) !== 'h2c')
    return at(listener, check) === 'grpc'
      ? [
          {
            path: [...path, ...check],
            message: 'got grpc, which needs upstream.protocol: h2c, write that too',
          },
        ]
      : []
  if (at(listener, ['protocol']) === 'tcp')
    return [
      {
        path: [...path, ...protocol],
        message: 'has no meaning with protocol: tcp, which passes bytes, remove it',
      },
    ]
  const proxyProtocol: Path = ['upstream', 'proxyProtocol']
  const found: Finding[] = []
  if ((at(listener, proxyProtocol) ?? 'off') !== 'off')
    found.push({
      path: [...path, ...proxyProtocol],
      message:
        'names one client for a connection, and with upstream.protocol: h2c a connection carries the requests of many: write off (http.forwarded tells of clients)',
    })
  if (at(listener, check) === 'websocket')
    found.push({
      path: [...path, ...check],
      message: 'got websocket, which upstream.protocol: h2c does not know, write http, grpc or tcp',
    })
  return found
}
