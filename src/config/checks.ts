// Faults that no single key shows: colliding listeners, an upstream that is ourselves, bounds in the wrong
// order.
//
// The checks read the values as written and skip unreadable ones (the schema reports those), so that a typo
// elsewhere hides none of these problems.

import type { Address, AddressUse } from './address.ts'
import { formatAddress, isLoopback, overlaps, parseAddress, reaches } from './address.ts'
import { isMap } from './keys.ts'
import { parseName } from './names.ts'
import type { Path } from './path.ts'
import { at, formatPath } from './path.ts'
import type { Finding } from './finding.ts'
import {
  alpnOfHttp,
  certificateOfNobody,
  delayPerClient,
  dropInFrames,
  fleetOfNobody,
  halfPair,
  shortDrain,
  thresholds,
  uselessPath,
  wayToRedis,
  wrongMode,
  wrongOrder,
} from './relations.ts'
import { http2Upstream } from './http2-relations.ts'
import { defaults } from './defaults.ts'
import { defaultName } from './listener-keys.ts'
import { MAX_ADDRESSES } from './upstream-keys.ts'

/** An address that we listen on. */
interface Taken {
  path: Path
  address: Address
  isDefault: boolean
}

export function checkMeaning(value: Record<string, unknown>): Finding[] {
  const taken = addressesOf(value)
  const listeners = Array.isArray(value['listeners']) ? value['listeners'] : []
  return [
    ...collisions(taken),
    ...sameNames(listeners),
    ...thresholds(value),
    ...shortDrain(value),
    ...wayToRedis(value),
    ...openAdmin(value, taken),
    ...listeners.flatMap((listener, index) => [
      ...loops(listener, ['listeners', index], taken),
      ...repeated(listener, ['listeners', index]),
      ...certificateOfNobody(listener, ['listeners', index]),
      ...alpnOfHttp(listener, ['listeners', index]),
      ...uselessPath(listener, ['listeners', index]),
      ...http2Upstream(listener, ['listeners', index]),
      ...wrongOrder(listener, ['listeners', index]),
      ...wrongMode(listener, ['listeners', index, 'websocket']),
      ...delayPerClient(listener, ['listeners', index]),
      ...dropInFrames(listener, ['listeners', index]),
      ...fleetOfNobody(value, listener, ['listeners', index]),
      ...openProxies(listener, ['listeners', index]),
      ...halfPair(listener, ['listeners', index, 'upstream', 'tls']),
      ...namelessUpstream(listener, ['listeners', index]),
    ]),
  ]
}

function addressAt(value: unknown, path: Path, use: AddressUse): Address | null {
  const parsed = parseAddress(at(value, path), use)
  return 'value' in parsed ? parsed.value : null
}

function addressesOf(value: Record<string, unknown>): Taken[] {
  const count = Array.isArray(value['listeners']) ? value['listeners'].length : 0
  const own: [Path, string | null][] = [
    [['health', 'address'], defaults.healthAddress],
    [['admin', 'address'], defaults.adminAddress],
    ...Array.from({ length: count }, (_, index): [Path, null] => [['listeners', index, 'address'], null]),
  ]
  return own.flatMap(([path, fallback]) => {
    const isDefault = fallback !== null && at(value, path) === undefined
    const parsed = parseAddress(isDefault ? fallback : at(value, path), 'listen')
    return 'value' in parsed ? [{ path, address: parsed.value, isDefault }] : []
  })
}

function collisions(taken: readonly Taken[]): Finding[] {
  const found: Finding[] = []
  for (const [index, later] of taken.entries()) {
    const earlier = taken.slice(0, index).find((one) => overlaps(one.address, later.address))
    if (earlier === undefined) continue
    // A default is not in the file, so the message points at the written address.
    const [here, there] = later.isDefault ? [earlier, later] : [later, earlier]
    const remedy = here.address.kind === 'tcp' ? 'write another port' : 'write another path'
    found.push({
      path: here.path,
      message: `got ${formatAddress(here.address)}, which ${describe(there)} takes already, ${remedy}`,
    })
  }
  return found
}

function describe({ path, address, isDefault }: Taken): string {
  return `${formatPath(path)} (${formatAddress(address)}${isDefault ? ', the default' : ''})`
}

function sameNames(listeners: readonly unknown[]): Finding[] {
  const owners = new Map<string, number>()
  return listeners.flatMap((listener, index) => {
    const { name, isWritten } = nameOf(listener)
    if (name === null) return []
    const owner = owners.get(name)
    if (owner === undefined) {
      owners.set(name, index)
      return []
    }
    const path = ['listeners', index, 'name']
    return [
      {
        path,
        message: isWritten
          ? `got ${name}, which listeners[${owner}] is called already, write another`
          : `is missing, and listeners[${owner}] is called ${name} already, write one`,
      },
    ]
  })
}

function nameOf(listener: unknown): { name: string | null; isWritten: boolean } {
  const written = at(listener, ['name'])
  const parsed = parseName(written)
  if (written !== undefined) return { name: 'value' in parsed ? parsed.value : null, isWritten: true }
  const address = addressAt(listener, ['address'], 'listen')
  const protocol = at(listener, ['protocol'])
  return {
    name: address !== null && typeof protocol === 'string' ? defaultName(protocol, address) : null,
    isWritten: false,
  }
}

/** Anybody who reaches the admin server can end connections. */
function openAdmin(value: Record<string, unknown>, taken: readonly Taken[]): Finding[] {
  if ((at(value, ['admin', 'tokenFile']) ?? 'off') !== 'off') return []
  return taken
    .filter(({ path, address }) => path[0] === 'admin' && !isLoopback(address))
    .map(({ path, address }) => ({
      path,
      message: `got ${formatAddress(address)}, which others can reach: write a loopback address such as ${defaults.adminAddress}, or name a file that holds a token in admin.tokenFile`,
    }))
}

/** The paths of an upstream's addresses. */
function upstreamPaths(listener: unknown): Path[] {
  if (!isMap(at(listener, ['upstream']))) return [['upstream']]
  const written = at(listener, ['upstream', 'addresses'])
  return Array.isArray(written)
    ? written.slice(0, MAX_ADDRESSES).map((_, index) => ['upstream', 'addresses', index])
    : []
}

/** An upstream that is one of our own listeners would be a loop that eats every descriptor. */
function loops(listener: unknown, path: Path, taken: readonly Taken[]): Finding[] {
  return upstreamPaths(listener).flatMap((inner) => {
    const target = addressAt(listener, inner, 'dial')
    const ours = target === null ? undefined : taken.find((one) => reaches(target, one.address))
    if (target === null || ours === undefined) return []
    return [
      {
        path: [...path, ...inner],
        message: `got ${formatAddress(target)}, which is Sidegate itself: ${describe(ours)}, write the address of the service`,
      },
    ]
  })
}

/** An address that is written twice would get twice the connections, and count them as one. */
function repeated(listener: unknown, path: Path): Finding[] {
  const owners = new Map<string, Path>()
  return upstreamPaths(listener).flatMap((inner) => {
    const target = addressAt(listener, inner, 'dial')
    if (target === null) return []
    const text = formatAddress(target)
    const owner = owners.get(text)
    if (owner === undefined) owners.set(text, inner)
    return owner === undefined
      ? []
      : [
          {
            path: [...path, ...inner],
            message: `got ${text}, which ${formatPath(owner)} is already, remove one`,
          },
        ]
  })
}

/**
 * The sender of a PROXY header can claim to be any client, so only trusted peers may send one. The file
 * system guards a unix socket.
 */
function openProxies(listener: unknown, path: Path): Finding[] {
  const accept = at(listener, ['proxyProtocol', 'accept'])
  const trusted = at(listener, ['proxyProtocol', 'trusted'])
  const isNone = trusted === undefined || (Array.isArray(trusted) && trusted.length === 0)
  if (typeof accept !== 'string' || accept === 'off' || !isNone) return []
  if (addressAt(listener, ['address'], 'listen')?.kind === 'unix') return []
  return [
    {
      path: [...path, 'proxyProtocol', 'trusted'],
      message:
        'is missing: any client could claim any address, write the networks of the proxies in front, such as [10.0.0.0/8]',
    },
  ]
}

/** A certificate names a host, and the path of a unix socket is none. */
function namelessUpstream(listener: unknown, path: Path): Finding[] {
  if (
    !isMap(at(listener, ['upstream', 'tls'])) ||
    at(listener, ['upstream', 'tls', 'serverName']) !== undefined
  )
    return []
  if (!upstreamPaths(listener).some((inner) => addressAt(listener, inner, 'dial')?.kind === 'unix')) return []
  return [
    {
      path: [...path, 'upstream', 'tls', 'serverName'],
      message: 'is missing: a unix socket has no name to verify, write the name in the certificate',
    },
  ]
}
