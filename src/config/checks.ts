// What no single key can tell: listeners that collide, an upstream that is ourselves, bounds in the wrong order.
//
// It looks at the values as they were written and skips those that cannot be read (the schema says so), so that a typo
// elsewhere hides none of these problems.

import type { Address, AddressUse } from './address.ts'
import { formatAddress, isLoopback, overlaps, parseAddress, reaches } from './address.ts'
import { isMap } from './keys.ts'
import { parseName } from './names.ts'
import type { Path } from './path.ts'
import { formatPath } from './path.ts'
import type { Finding } from './problems.ts'
import { defaultName, defaults } from './schema.ts'
import { formatDuration, formatSize, OFF, parseDuration, parseSize } from './units.ts'

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
    ...openAdmin(taken),
    ...listeners.flatMap((listener, index) => [
      ...loop(listener, ['listeners', index], taken),
      ...wrongOrder(listener, ['listeners', index]),
      ...openProxies(listener, ['listeners', index]),
      ...halfPair(listener, ['listeners', index, 'upstream', 'tls']),
      ...namelessUpstream(listener, ['listeners', index]),
    ]),
  ]
}

/** What is written at a path; undefined where nothing is. */
export function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inside, step) => {
    if (typeof step === 'number') return Array.isArray(inside) ? inside[step] : undefined
    return isMap(inside) && Object.hasOwn(inside, step) ? inside[step] : undefined
  }, value)
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
    // A default is not in the file, so the one that is written is the one to change.
    const [here, there] = later.isDefault ? [earlier, later] : [later, earlier]
    const remedy = here.address.kind === 'tcp' ? 'write another port' : 'write another path'
    found.push({ path: here.path, message: `got ${formatAddress(here.address)}, which ${describe(there)} takes already, ${remedy}` })
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
    return [{ path, message: isWritten ? `got ${name}, which listeners[${owner}] is called already, write another` : `is missing, and listeners[${owner}] is called ${name} already, write one` }]
  })
}

function nameOf(listener: unknown): { name: string | null; isWritten: boolean } {
  const written = at(listener, ['name'])
  const parsed = parseName(written)
  if (written !== undefined) return { name: 'value' in parsed ? parsed.value : null, isWritten: true }
  const address = addressAt(listener, ['address'], 'listen')
  const protocol = at(listener, ['protocol'])
  return { name: address !== null && typeof protocol === 'string' ? defaultName(protocol, address) : null, isWritten: false }
}

/** Whoever reaches the admin server can end connections, and there is no password yet. */
function openAdmin(taken: readonly Taken[]): Finding[] {
  return taken
    .filter(({ path, address }) => path[0] === 'admin' && !isLoopback(address))
    .map(({ path, address }) => ({ path, message: `got ${formatAddress(address)}, must be a loopback address such as ${defaults.adminAddress}` }))
}

/** An upstream that is one of our own listeners would be a loop that eats every descriptor. */
function loop(listener: unknown, path: Path, taken: readonly Taken[]): Finding[] {
  const inner: Path = isMap(at(listener, ['upstream'])) ? ['upstream', 'addresses', 0] : ['upstream']
  const target = addressAt(listener, inner, 'dial')
  if (target === null) return []
  const ours = taken.find((one) => reaches(target, one.address))
  if (ours === undefined) return []
  return [{ path: [...path, ...inner], message: `got ${formatAddress(target)}, which is Sidegate itself: ${describe(ours)}, write the address of the service` }]
}

/** Whoever may send a PROXY header may be anybody, so that may not be everybody. A unix socket is guarded by the file system. */
function openProxies(listener: unknown, path: Path): Finding[] {
  const accept = at(listener, ['proxyProtocol', 'accept'])
  const trusted = at(listener, ['proxyProtocol', 'trusted'])
  const isNone = trusted === undefined || (Array.isArray(trusted) && trusted.length === 0)
  if (typeof accept !== 'string' || accept === 'off' || !isNone) return []
  if (addressAt(listener, ['address'], 'listen')?.kind === 'unix') return []
  return [{ path: [...path, 'proxyProtocol', 'trusted'], message: 'is missing: any client could claim any address, write the networks of the proxies in front, such as [10.0.0.0/8]' }]
}

function halfPair(listener: unknown, path: Path): Finding[] {
  const [cert, key] = [at(listener, ['upstream', 'tls', 'cert']), at(listener, ['upstream', 'tls', 'key'])]
  if ((cert === undefined) === (key === undefined)) return []
  const [there, missing] = cert === undefined ? ['key', 'cert'] : ['cert', 'key']
  return [{ path: [...path, missing], message: `is missing, write it beside ${there}` }]
}

/** A certificate names a host, and the path of a unix socket is none. */
function namelessUpstream(listener: unknown, path: Path): Finding[] {
  if (!isMap(at(listener, ['upstream', 'tls'])) || at(listener, ['upstream', 'tls', 'serverName']) !== undefined) return []
  if (addressAt(listener, ['upstream', 'addresses', 0], 'dial')?.kind !== 'unix') return []
  return [{ path: [...path, 'upstream', 'tls', 'serverName'], message: 'is missing: a unix socket has no name to verify, write the name in the certificate' }]
}

const ANY = { min: 1, max: OFF, isOffAllowed: true }

function wrongOrder(listener: unknown, path: Path): Finding[] {
  const high = at(listener, ['buffers', 'high'])
  const interval = at(listener, ['websocket', 'ping', 'interval'])
  return [
    ...notAbove([...path, 'buffers', 'low'], at(listener, ['buffers', 'low']), {
      name: 'high', written: high, fallback: defaults.high, parse: (input) => parseSize(input, ANY), format: formatSize,
    }),
    ...notAbove([...path, 'websocket', 'ping', 'timeout'], at(listener, ['websocket', 'ping', 'timeout']), {
      name: 'interval', written: interval, fallback: defaults.pingInterval, parse: (input) => parseDuration(input, ANY), format: formatDuration,
    }),
  ]
}

interface Ceiling {
  name: string
  written: unknown
  fallback: string
  parse: (input: unknown) => { value: number } | { problem: string }
  format: (value: number) => string
}

function notAbove(path: Path, written: unknown, { name, written: other, fallback, parse, format }: Ceiling): Finding[] {
  const [value, ceiling] = [parse(written), parse(other ?? fallback)]
  // An `off` of the value itself is the schema's to judge.
  if (!('value' in value) || !('value' in ceiling) || value.value === OFF || value.value <= ceiling.value) return []
  const what = `${name} (${format(ceiling.value)}${other === undefined ? ', the default' : ''})`
  return [{ path, message: `got ${format(value.value)}, more than ${what}, write at most ${format(ceiling.value)}` }]
}
