// Every key of the schema, changed by a reload of a running gate: the key is in effect afterwards, or the
// reload names it as waiting for a restart. A new key gets its new value by its type, or needs a row here.

import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { Document } from 'yaml'
import { effectiveConfig } from '../../src/config/effective.ts'
import { parseConfig } from '../../src/config/load.ts'
import { reloadEffect } from '../../src/config/reload-effect.ts'
import { rows } from '../../src/config/rows.ts'
import type { Row } from '../../src/config/rows.ts'
import { authority } from '../support/certificates.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { freePort } from '../support/free-port.ts'
import { temporary } from '../support/tools.ts'

type Tree = Record<string, unknown>

/** Further values that a key needs, in the file before and after; paths below the listener, or of the file. */
interface Change {
  value?: unknown
  beside?: Tree
}

const LISTENER = 'listeners[].'

/** Values by the words of docs/configuration.md for the type of a key. */
function another({ meta: { type, default: now } }: Row): unknown {
  if (type.startsWith('`'))
    return [...type.matchAll(/`([^`]+)`/g)]
      .map(([, word]) => (word === 'true' ? true : word === 'false' ? false : word!))
      .findLast((word) => word !== now)
  if (type.startsWith('duration')) return now === '7s' ? '8s' : '7s'
  if (type.startsWith('size')) return '96KiB'
  if (type.startsWith('percentage')) return '30%'
  if (type.startsWith('whole number')) return 7
  if (type === 'list of networks' || type === 'list of trusted networks') return ['10.0.0.0/8']
  if (type === 'list of protocols') return ['mqtt']
  if (type === 'list of origins') return ['https://a.example']
  return undefined
}

/** A tree with a value at a path such as `upstream.tls.ca`. */
function put(tree: Tree, path: string, value: unknown): void {
  const [name, ...rest] = path.split('.')
  if (rest.length === 0) tree[name!] = value
  else put((tree[name!] ??= {}) as Tree, rest.join('.'), value)
}

function at(tree: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, name) => (inner as Tree | undefined)?.[name], tree)
}

function changes(t: Test): Record<string, Change> {
  const ca = authority(t)
  const [one, two] = [ca.issue('one'), ca.issue('two')]
  const token = join(temporary(t), 'token')
  writeFileSync(token, 'a token of sixteen bytes')
  const tls = { 'tls.cert': one.cert, 'tls.key': one.key }
  const upstreamTls = { 'upstream.tls.ca': ca.cert }
  const tcp = { protocol: 'tcp', ...tls }
  const sentinels = { 'shared.redis.address': undefined, 'shared.redis.sentinels': ['127.0.0.1:2'] }
  const pair = { 'upstream.tls.cert': two.cert, 'upstream.tls.key': two.key }
  return {
    'health.address': { value: `127.0.0.1:${freePort()}` },
    'admin.address': { value: `127.0.0.1:${freePort()}` },
    'admin.tokenFile': { value: token },
    'drain.timeout': { value: '90s' },
    'memory.buffered': { value: '30%' },
    'memory.refuseAt': { value: '96%' },
    'shared.group': { value: 'another' },
    'shared.redis.address': { value: '127.0.0.1:2' },
    'shared.redis.sentinels': { value: ['127.0.0.1:2'], beside: { 'shared.redis.address': undefined } },
    'shared.redis.sentinelUser': { value: 'another', beside: sentinels },
    'shared.redis.sentinelPasswordFile': { value: token, beside: sentinels },
    'shared.redis.sentinelTls.ca': { value: one.cert, beside: sentinels },
    'shared.redis.sentinelTls.cert': {
      value: one.cert,
      beside: { ...sentinels, 'shared.redis.sentinelTls.key': one.key },
    },
    'shared.redis.sentinelTls.key': {
      value: two.key,
      beside: { ...sentinels, 'shared.redis.sentinelTls.cert': two.cert },
    },
    'shared.redis.sentinelTls.serverName': { value: 'another.example', beside: sentinels },
    'shared.redis.master': { value: 'another' },
    'shared.redis.cluster': { value: ['127.0.0.1:2'], beside: { 'shared.redis.address': undefined } },
    'shared.redis.tls.ca': { value: one.cert },
    'shared.redis.tls.cert': { value: one.cert, beside: { 'shared.redis.tls.key': one.key } },
    'shared.redis.tls.key': { value: two.key, beside: { 'shared.redis.tls.cert': two.cert } },
    'shared.redis.tls.serverName': { value: 'another.example' },
    'shared.redis.user': { value: 'another' },
    'shared.redis.passwordFile': { value: token },
    'shared.redis.prefix': { value: 'another:' },
    'listeners[].limits.connectionsPerClient.max': { value: 8 },
    'listeners[].limits.connectionsPerClient.scope': { beside: { 'limits.connectionsPerClient.max': 7 } },
    'listeners[].limits.bytes.scope': { beside: { 'limits.bytes.per': 'client' } },
    'listeners[].limits.messages.scope': { beside: { 'limits.messages.per': 'client' } },
    'listeners[].name': { value: 'another' },
    'listeners[].address': { value: `127.0.0.1:${freePort()}` },
    'listeners[].mode': { value: '0660' },
    'listeners[].protocol': { value: 'tcp' },
    'listeners[].upstream': { value: '127.0.0.1:2' },
    'listeners[].upstream.addresses': { value: ['127.0.0.1:2', '127.0.0.1:3'] },
    'listeners[].upstream.tls.ca': { value: one.cert, beside: upstreamTls },
    'listeners[].upstream.tls.cert': {
      value: one.cert,
      beside: { ...upstreamTls, ...pair, 'upstream.tls.key': one.key },
    },
    'listeners[].upstream.tls.key': {
      value: one.key,
      beside: { ...upstreamTls, ...pair, 'upstream.tls.cert': one.cert },
    },
    'listeners[].upstream.tls.serverName': { value: 'another.example', beside: upstreamTls },
    'listeners[].upstream.tls.alpn': { beside: { ...upstreamTls, protocol: 'tcp' } },
    'listeners[].upstream.healthCheck.host': {
      value: 'another.example',
      beside: { 'upstream.healthCheck.type': 'http' },
    },
    'listeners[].upstream.healthCheck.headers': {
      value: { 'X-Check': 'yes' },
      beside: { 'upstream.healthCheck.type': 'http' },
    },
    'listeners[].upstream.healthCheck.status': {
      value: ['200-299'],
      beside: { 'upstream.healthCheck.type': 'http' },
    },
    'listeners[].upstream.healthCheck.path': {
      value: '/health',
      beside: { 'upstream.healthCheck.type': 'http' },
    },
    'listeners[].upstream.retryFor': { value: '3s' },
    'listeners[].upstream.proxyProtocol': { value: 'v2' },
    'listeners[].deadlines.lifetimeJitter': { value: '20%', beside: { 'deadlines.lifetime': '1h' } },
    'listeners[].buffers.low': { value: '16KiB' },
    'listeners[].limits.newConnections.per': {
      value: 'client',
      beside: { 'limits.newConnections.onExceed': 'close' },
    },
    'listeners[].limits.messages.onExceed': { value: 'close' },
    'listeners[].websocket.compression': { value: 'strip' },
    'listeners[].websocket.slowConsumer.policy': { value: 'close', beside: { 'websocket.mode': 'messages' } },
    'listeners[].websocket.slowConsumer.queue': {
      value: '2MiB',
      beside: { 'websocket.mode': 'messages', 'websocket.slowConsumer.policy': 'close' },
    },
    'listeners[].http.versions': { value: ['http/1.1'] },
    'listeners[].http.clientCertificate': { value: 'forward', beside: { ...tls, 'tls.clientCa': ca.cert } },
    'listeners[].proxyProtocol.accept': { value: 'v2', beside: { 'proxyProtocol.trusted': ['127.0.0.0/8'] } },
    'listeners[].proxyProtocol.trusted': {
      beside: { 'proxyProtocol.accept': 'v1', 'proxyProtocol.trusted': ['127.0.0.0/8'] },
    },
    'listeners[].tls.cert': { value: two.cert, beside: { ...tls, 'tls.key': two.key } },
    'listeners[].tls.key': { value: two.key, beside: { ...tls, 'tls.cert': two.cert } },
    'listeners[].tls.clientCa': { value: ca.cert, beside: tls },
    'listeners[].tls.minVersion': { value: 'TLSv1.3', beside: tls },
    'listeners[].tls.ciphers': { value: 'TLS_AES_256_GCM_SHA384', beside: tls },
    'listeners[].tls.alpn': { beside: tcp },
  }
}

/** A port without a listener: this test does not look at limits of a fleet. */
const SHARED = { redis: { address: '127.0.0.1:1' } }

const base = (): Tree => ({
  health: { address: '127.0.0.1:0' },
  admin: { address: '127.0.0.1:0' },
  shared: structuredClone(SHARED),
})
const baseListener = (): Tree => ({
  name: 'l0',
  address: '127.0.0.1:0',
  protocol: 'http',
  upstream: { addresses: ['127.0.0.1:1'] },
})

/** The file with `beside`, and with `value` at `path` where there is one. */
function fileOf(path: string, beside: Tree, value?: unknown): string {
  const [file, listener] = [base(), baseListener()]
  for (const [name, one] of Object.entries(beside))
    put(name.startsWith('shared.') ? file : listener, name, one)
  if (value !== undefined && path.startsWith(LISTENER)) put(listener, path.slice(LISTENER.length), value)
  else if (value !== undefined) put(file, path, value)
  return new Document({ ...file, listeners: [listener] }).toString()
}

function shown(config: Parameters<typeof effectiveConfig>[0], path: string): unknown {
  const tree = effectiveConfig(config) as { listeners: Tree[] }
  return path.startsWith(LISTENER) ? at(tree.listeners[0], path.slice(LISTENER.length)) : at(tree, path)
}

test(
  'a new value of each key is in effect after a reload, or is named as waiting for a restart',
  { timeout: 100_000 },
  async (t) => {
    watchLeaks(t)
    const rowsOf = rows()
    const special = changes(t)
    t.same(
      Object.keys(special).filter((path) => !rowsOf.some((row) => row.path === path)),
      [],
      'every row here is a key',
    )
    const top = `shared: ${JSON.stringify(SHARED)}`
    const gate = await startGate(t, ['protocol: http, upstream: "127.0.0.1:1"'], {}, top)
    for (const row of rowsOf) {
      const { path } = row
      const { value = another(row), beside = {} } = special[path] ?? {}
      if (value === undefined) {
        t.fail(`${path}: no other value is known for ${row.meta.type}`)
        continue
      }
      const [before, after] = [fileOf(path, beside), fileOf(path, beside, value)]
      // A certificate needs its key, and one way to Redis excludes the others: the file before has none of them.
      const start = await gate.reloadText(
        /\.(cert|key|sentinels|cluster)$/.test(path) ? fileOf(path, {}) : before,
      )
      if (start.result !== 'success') {
        t.fail(`${path}: ${JSON.stringify(start)}`)
        continue
      }
      const old = shown(gate.operator.effectiveConfig, path)
      const result = await gate.reloadText(after)
      const isRestart = reloadEffect(path) === 'restart'
      t.match(result, { result: 'success' }, path)
      // A new section waits as a whole, and under its own name.
      const waits = result.result === 'success' ? result.restartRequired : []
      t.equal(
        waits.some((name) => name === path || path.startsWith(`${name}.`)),
        isRestart,
        `${path}: ${waits.join()}`,
      )
      const now = shown(gate.operator.effectiveConfig, path)
      t.same(now, isRestart ? old : shown(parseConfig(after, 'f'), path), `${path} is ${JSON.stringify(now)}`)
      if (!isRestart) t.notSame(now, old, `${path} is another than before`)
    }
  },
)
