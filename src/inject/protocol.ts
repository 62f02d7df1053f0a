// The protocol of an application's port, by its manifests. The gate reads HTTP/1.1 and WebSocket; everything
// else passes as opaque bytes, which is right for every protocol, while a head that is no HTTP is refused.
// HTTP/2 is read only on request: no manifest shows whether an application wants it in the clear.

import type { Loose } from './plain.ts'

/** h2c: HTTP/2 in the clear on both sides, as in gRPC. */
export type Protocol = 'http' | 'tcp' | 'h2c'

export interface Spoken {
  protocol: Protocol
  /** Why it is not HTTP. */
  why: string | null
}

/** By their names; `tls` and `https` are encrypted to the application, `grpc` and `h2c` are HTTP/2. */
const opaque = [
  ...[
    'tcp',
    'tls',
    'ssl',
    'https',
    'wss',
    'h2c',
    'h2',
    'http2',
    'grpc',
    'grpcs',
    'grpc-web',
    'mqtt',
    'mqtts',
    'amqp',
    'amqps',
  ],
  ...[
    'redis',
    'rediss',
    'postgres',
    'postgresql',
    'pgsql',
    'mysql',
    'mariadb',
    'mongo',
    'mongodb',
    'kafka',
    'nats',
    'stomp',
  ],
  ...[
    'memcached',
    'memcache',
    'cql',
    'cassandra',
    'ldap',
    'ldaps',
    'smtp',
    'imap',
    'ftp',
    'ssh',
    'sip',
    'rtmp',
    'dns',
    'mssql',
    'oracle',
    'zookeeper',
    'thrift',
  ],
]
/** HTTP/2, if in the clear. */
const http2: readonly string[] = ['h2c', 'h2', 'http2', 'grpc', 'kubernetes.io/h2c']
/** Ports registered for protocols other than HTTP; used only where no port has a name. */
const wellKnown: Readonly<Record<number, string>> = {
  22: 'ssh',
  443: 'https',
  1433: 'mssql',
  1883: 'mqtt',
  3306: 'mysql',
  5432: 'postgres',
  5671: 'amqps',
  5672: 'amqp',
  6379: 'redis',
  8443: 'https',
  8883: 'mqtts',
  9042: 'cassandra',
  9092: 'kafka',
  11211: 'memcached',
  27017: 'mongodb',
  50051: 'grpc',
}
const readable = ['http', 'http/1.1', 'ws', 'kubernetes.io/ws', 'kubernetes.io/http']
const backendProtocol = 'nginx.ingress.kubernetes.io/backend-protocol'
const serversScheme = 'traefik.ingress.kubernetes.io/service.serversscheme'

export interface Evidence {
  appPort: number
  /** The names of the container's port and of the Service ports that lead to it. */
  names: readonly string[]
  appProtocols: readonly string[]
  /** The schemes that annotations of Ingresses and Services give. */
  schemes: readonly string[]
}

export function protocolOf({ appPort, names, appProtocols, schemes }: Evidence): Spoken {
  for (const word of appProtocols) {
    if (readable.includes(word.toLowerCase())) return { protocol: 'http', why: null }
    return opaqueAs(word, `appProtocol is ${word}`)
  }
  const scheme = schemes.find((word) => !['http', 'ws', 'auto_http'].includes(word.toLowerCase()))
  if (scheme !== undefined) return opaqueAs(scheme, `its Ingress speaks ${scheme} to it`)
  for (const name of names) {
    const word = opaque.find((one) => isNamed(name, one))
    if (word !== undefined) return opaqueAs(word, `the port is named ${name}`)
  }
  const known = wellKnown[appPort]
  if (known !== undefined && !names.some((name) => /(^|-)(http|ws)(-|$)/.test(name)))
    return opaqueAs(known, `port ${appPort} is that of ${known}`)
  return { protocol: 'http', why: null }
}

function opaqueAs(word: string, why: string): Spoken {
  const more = '; --protocol h2c judges each call by itself, if they come in the clear'
  return { protocol: 'tcp', why: http2.includes(word.toLowerCase()) ? why + more : why }
}

/** OpenShift names any port by its number and -tcp. */
function isNamed(name: string, word: string): boolean {
  return name === word || name.startsWith(`${word}-`) || (word !== 'tcp' && name.endsWith(`-${word}`))
}

/** The annotations of Ingresses that send to the Service, and of the Service itself. */
export function schemesOf(service: Loose, neighbours: readonly { kind: string; object: Loose }[]): string[] {
  const own: unknown = service.metadata?.annotations?.[serversScheme]
  const ingresses = neighbours.filter(
    ({ kind, object }) =>
      kind === 'Ingress' &&
      JSON.stringify(object.spec ?? {}).includes(`"name":${JSON.stringify(service.metadata?.name)}`),
  )
  const said = ingresses.map(({ object }): unknown => object.metadata?.annotations?.[backendProtocol])
  return [own, ...said].filter((word) => typeof word === 'string')
}
