// The keys of an upstream: its addresses, the choice among them, its protocol and its health checks.

import * as v from 'valibot'
import { changed, choice, count, derived, duration, either, list, optional, section, value } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { hostPattern, parseHeaders, parseHost, parseStatus } from './check-request.ts'
import { parsePath } from './names.ts'
import { address } from './shapes.ts'
import { OFF } from './units.ts'
import { upstreamTls } from './tls-keys.ts'

/** More addresses are better kept behind one name. */
export const MAX_ADDRESSES = 64

const upstreamMeaning = 'Where the legacy service listens.'
const healthCheck = changed(
  section(
    'Whether an address is asked if it is well, and how. One that fails gets no new connections, and those that it has end with `upstream_unhealthy`, a tenth of them a second.',
    {
      type: choice(
        {
          default: 'off',
          meaning:
            '`tcp` connects, `http` sends a GET and wants a `status`, `websocket` opens one and wants its ping answered, `grpc` (with `protocol: h2c`) calls `grpc.health.v1.Health/Check` and wants `SERVING`.',
        },
        ['off', 'tcp', 'http', 'grpc', 'websocket'],
      ),
      path: value<string>(
        {
          type: 'path',
          remedy: 'write a path such as /healthz',
          json: fromEnvironment({ type: 'string', pattern: '^/[!-"$-~]*$' }),
          read: parsePath,
        },
        { default: '/', meaning: 'The path of the request, with `http` and `websocket`.' },
      ),
      host: derived(
        value<string>(
          {
            type: 'name or address, with or without port',
            remedy: 'write a host such as app.example or app.example:8080',
            json: fromEnvironment({ type: 'string', pattern: hostPattern }),
            read: parseHost,
          },
          {
            derived: 'the name, or else the address, and the port',
            meaning: 'The `Host` of the request, for a service that answers to certain hosts alone.',
          },
        ),
      ),
      headers: derived(
        value<Record<string, string>>(
          {
            type: 'map of headers',
            remedy: 'write a map such as { Authorization: "${HEALTH_TOKEN}" }',
            json: { type: 'object', additionalProperties: { type: 'string' } },
            read: parseHeaders,
          },
          { derived: 'none', meaning: 'Further headers of the request, for a service that wants them.' },
        ),
      ),
      status: changed(
        list(
          'The status that an answer must have, with `http`: numbers and ranges; an empty list is `[200-399]`.',
          value<string>(
            {
              type: 'status',
              remedy: 'write a status such as 204 or a range such as 200-399',
              json: fromEnvironment(
                { type: 'integer', minimum: 200, maximum: 599 },
                { type: 'string', pattern: '^[2-5][0-9]{2}(-[2-5][0-9]{2})?$' },
              ),
              read: parseStatus,
            },
            { meaning: 'One status, or a range of them.' },
          ),
          { min: 0, max: 32, remedy: 'write a list such as [200-299, 401]' },
        ),
        (all) => (all.length === 0 ? ['200-399'] : all),
      ),
      interval: duration(
        {
          default: '10s',
          meaning: 'From the end of one check of an address to the next, a tenth more or less.',
        },
        { min: 100, isOffAllowed: false },
      ),
      timeout: duration(
        {
          default: '2s',
          meaning: 'For one check.',
          innocent: 'A service that is slow for a moment: `unhealthy` checks in a row must fail.',
        },
        { isOffAllowed: false },
      ),
      healthy: count(
        { default: 2, meaning: 'Checks in a row that must pass before an unhealthy address is used again.' },
        { min: 1, max: 100, isOffAllowed: false },
      ),
      unhealthy: count(
        {
          default: 3,
          meaning:
            'Checks in a row that must fail before an address is not used any more. Before the first check it is used: a start never waits for the upstream.',
        },
        { min: 1, max: 100, isOffAllowed: false },
      ),
    },
  ),
  (check) => ({ ...check, host: check.host ?? null, headers: check.headers ?? {} }),
)
/** All keys but the addresses: the defaults of an upstream written as one address. */
const upstreamKeys = {
  balance: choice(
    {
      default: 'leastConnections',
      meaning:
        'Which address a connection goes to: the one with the fewest open connections, or one after the other.',
    },
    ['leastConnections', 'roundRobin'],
  ),
  maxConnections: count(
    {
      default: 'off',
      meaning:
        'The most connections and plain HTTP requests at a time for each address; more wait in the order in which they came; a reload changes the number for those, too. With `protocol: h2c` requests are counted, not the kept connections whose streams they are.',
    },
    { min: 1, max: 1_000_000, isOffAllowed: true },
  ),
  queueTimeout: duration(
    {
      default: '5s',
      meaning: 'For a place under `maxConnections`; then the connection ends with `no_upstream` (503).',
    },
    { isOffAllowed: false },
  ),
  retryFor: derived(
    duration({
      derived: '`deadlines.connect`',
      meaning:
        'For so long a dial that finds nobody listening (refused, reset, a unix socket that is not there) is tried again, after 250 ms, then twice that, up to a second; nothing was sent yet. ' +
        '`off` tries each address once. Not more than `deadlines.connect`.',
      innocent: 'Clients that come while the service restarts.',
    }),
  ),
  staleFor: duration({
    default: '30s',
    meaning:
      'The addresses of a name are used for so long after the resolver began to say that there is no such name; then new connections end with `no_upstream` (503). ' +
      'With `off`, or while it fails in another way, the last good addresses stay.',
    innocent: 'A resolver that has just started and knows no names yet.',
  }),
  onRemoved: choice(
    {
      default: 'keep',
      meaning:
        'The fate of connections whose address is gone from the answers for its name. `keep` lets them go on, unless a dial to it fails too; `end` ends them with `upstream_unhealthy`, a tenth of them a second.',
    },
    ['keep', 'end'],
  ),
  keepAlive: changed(
    duration({
      default: '4s',
      meaning:
        'How long a connection is kept for the next plain HTTP request, less where the service announces less. Keep it below the time after which the service closes idle connections: 5 s in Node and Apache.',
    }),
    (ms) => (ms === OFF ? 0 : ms),
  ),
  maxIdle: count(
    { default: 64, meaning: 'The most connections that are kept so, for each address.' },
    { min: 1, max: 100_000, isOffAllowed: false },
  ),
  protocol: choice(
    {
      default: 'http1',
      meaning:
        'The protocol of the service. With `h2c`, HTTP/2 without asking first (prior knowledge; over TLS by ALPN `h2`), as gRPC services do: requests and their trailers go as streams of a few kept connections, which `keepAlive` and `maxIdle` are for; an upgrade to WebSocket is answered with 501.',
    },
    ['http1', 'h2c'],
  ),
  tls: optional(upstreamTls),
  proxyProtocol: choice(
    {
      default: 'off',
      meaning:
        'Begins each connection with the address of its client, in a PROXY header of that version. With plain HTTP each request then has a connection of its own.',
    },
    ['off', 'v1', 'v2'],
  ),
  healthCheck,
} as const
const upstreamDefaults = v.parse(section('', upstreamKeys), {})
export const upstream = either(
  changed(address('dial', { meaning: upstreamMeaning }), (one) => ({
    addresses: [one],
    ...upstreamDefaults,
  })),
  section(upstreamMeaning, {
    addresses: list(
      'Where the legacy service listens. All addresses of a name are used.',
      address('dial', { meaning: 'One address.' }),
      { min: 1, max: MAX_ADDRESSES, remedy: 'write a list of addresses, such as [127.0.0.1:8080]' },
    ),
    ...upstreamKeys,
  }),
)
