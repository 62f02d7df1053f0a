// The configuration in force as an operator would write it: every default filled in, with units. It is made
// for reading, so it shows more than a file could: `deadlines.answerIdle`, which is `upstreamIdle` inside the
// body of an answer.
//
// It names files without their content, and never shows a secret.

import { formatAddress } from './address.ts'
import type { Address } from './address.ts'
import type { Cidr } from './cidr.ts'
import { isMap } from './keys.ts'
import type { Meta } from './meta.ts'
import { configKey } from './schema.ts'
import type { Config, ListenerConfig } from './schema.ts'
import { formatDuration, formatPercent, formatSize, OFF } from './units.ts'

export const REDACTED = '(redacted)'
/** None of these is a key yet: if one is added, it is not shown by accident. */
const secrets = new Set(['token', 'password', 'secret'])

export function effectiveConfig(config: Config): unknown {
  return view({ ...config, listeners: config.listeners.map(withRetry) }, configKey.meta)
}

/** Null stays where `deadlines.connect` is off: the gate has a bound of its own then. */
function withRetry(listener: ListenerConfig): ListenerConfig {
  const { deadlines, upstream } = listener
  const { connectMs } = deadlines
  const retryForMs = upstream.retryForMs ?? (connectMs === OFF ? null : connectMs)
  return { ...listener, upstream: { ...upstream, retryForMs } }
}

function view(value: unknown, meta: Meta | null): unknown {
  if (Array.isArray(value))
    return value.map((item) => view(item, meta?.kind === 'list' ? meta.item.meta : null))
  if (value === OFF) return 'off'
  if (typeof value === 'number' && meta?.kind === 'value') return formatNumber(value, meta.type)
  if (!isMap(value)) return value ?? null
  if (typeof value['share'] === 'number') return formatPercent(value['share'])
  if (typeof value['bytes'] === 'number') return formatSize(value['bytes'])
  if (isAddress(value)) return formatAddress(value)
  if (isNetwork(value)) return `${value.address}/${value.prefix}`
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => viewKey(name, inner, meta)))
}

function viewKey(name: string, value: unknown, meta: Meta | null): [string, unknown] {
  const entries = meta?.kind === 'section' ? meta.entries : {}
  if (name === 'mode' && typeof value === 'number') return [name, `0${value.toString(8).padStart(3, '0')}`]
  if (name === 'isEnforced') return ['mode', value === true ? 'enforce' : 'observe']
  if (name in renamed) return [renamed[name]!, view(value, entries[renamed[name]!]?.meta ?? null)]
  // Only the names, because a value may be a token.
  if (name === 'headers' && isMap(value))
    return [name, Object.fromEntries(Object.keys(value).map((header) => [header, REDACTED]))]
  if (secrets.has(name) && value !== undefined && value !== null) return [name, REDACTED]
  if (name.endsWith('Ms'))
    return [name.slice(0, -2), typeof value === 'number' ? formatDuration(value) : null]
  if (name.endsWith('Bytes')) return [name.slice(0, -5), typeof value === 'number' ? formatSize(value) : null]
  return [name, view(value, Object.hasOwn(entries, name) ? (entries[name]?.meta ?? null) : null)]
}

/** Names of the path that differ from the words of the file. */
const renamed: Readonly<Record<string, string>> = { perSec: 'rate', bytesPerSec: 'bytes' }

function formatNumber(value: number, type: string): string | number {
  if (type.startsWith('percentage')) return formatPercent(value)
  return type.startsWith('size') ? formatSize(value) : value
}

function isAddress(value: Record<string, unknown>): value is Address {
  return value['kind'] === 'tcp' || value['kind'] === 'unix'
}

function isNetwork(value: Record<string, unknown>): value is Record<string, unknown> & Cidr {
  return typeof value['prefix'] === 'number' && typeof value['address'] === 'string'
}
