// The configuration file: every key with its kind, bounds, default and meaning, once. The types below, the
// validation, docs/configuration.md and the JSON Schema are made from this. To support a key that is
// `later()`, give it its kind.

import type * as v from 'valibot'
import { defaults } from './defaults.ts'
import type { About, Key } from './keys.ts'
import {
  changed,
  choice,
  count,
  duration,
  flag,
  later,
  list,
  percent,
  section,
  sizeOrShare,
  value,
} from './keys.ts'
import { listener } from './listener-keys.ts'
import { fromEnvironment } from './meta.ts'
import { parsePathOrOff } from './names.ts'
import { address } from './shapes.ts'
import { completeShared, shared } from './shared-keys.ts'
import { OFF } from './units.ts'
import { show } from './words.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

/** More than the useful ports of a pod; it also bounds the comparison of all pairs. */
const MAX_LISTENERS = 256

/** More threads than any machine has cores to spare for a sidecar. */
const MAX_WORKERS = 64

function parseWorkers(input: unknown): { value: number | 'auto' } | { problem: string } {
  const isGood = typeof input === 'number' && Number.isInteger(input) && input >= 1 && input <= MAX_WORKERS
  if (input === 'auto' || isGood) return { value: input }
  return { problem: `got ${show(input)}, write a whole number, 1 to ${MAX_WORKERS}, or auto` }
}

/** A fraction at which something begins; `off` is infinity: never. */
function threshold(about: About): Key<number> {
  return changed(percent(about, { min: 0.1, max: 1, isOffAllowed: true }), (fraction) =>
    fraction === 0 ? Number.POSITIVE_INFINITY : fraction,
  )
}

/** `off` of a duration that is waited for, rather than a limit, is no wait at all. */
const noneIfOff = (ms: number): number => (ms === OFF ? 0 : ms)

const fileKey = section('The configuration of Sidegate.', {
  health: section('The health server: probes and metrics, read only.', {
    address: address('listen', {
      default: defaults.healthAddress,
      meaning: 'Where `/livez`, `/readyz`, `/startupz` and `/metrics` are served.',
    }),
  }),
  admin: section('The admin server.', {
    address: address('listen', {
      default: defaults.adminAddress,
      meaning:
        'Where operators look at and end connections; without `tokenFile` on loopback or a Unix socket only.',
    }),
    tokenFile: value<string | null>(
      {
        type: 'absolute path or `off`',
        remedy: 'write an absolute path, such as /run/secrets/sidegate/token',
        json: fromEnvironment({ type: 'string', pattern: '^(off|/.*)$' }),
        read: parsePathOrOff,
      },
      {
        default: 'off',
        meaning:
          'A file with a token of 16 bytes or more. Every request to the admin server must then carry it (`Authorization: Bearer TOKEN`), from loopback too. Read again when it changes.',
      },
    ),
    recent: count(
      {
        default: 1000,
        meaning:
          'So many connections that have ended, and refusals, are remembered with why (`GET /recent`, `sidegate recent`, `sidegate why`), in memory alone: some 600 bytes for each; orderly ends push out at most half of the others, and they of those. 0 remembers none.',
      },
      { min: 0, max: 10_000, isOffAllowed: false },
    ),
    token: later(
      'not supported: everybody who can read the configuration would have it; write the token to a file and name that in tokenFile',
    ),
  }),
  log: section('One line for each connection, at its end.', {
    level: choice({ default: 'info', meaning: 'The least severe lines that are written.' }, [
      'error',
      'warn',
      'info',
      'debug',
    ]),
    format: choice({ default: 'json', meaning: 'One JSON object, or one readable text, a line.' }, [
      'json',
      'text',
    ]),
    requests: flag({
      default: false,
      meaning:
        "One more line for each HTTP request, without its query; with `close` and `side` where the answer is cut, or the gate's own.",
    }),
    probes: flag({
      default: false,
      meaning:
        'Connections that their client ended without a byte either way, such as the probes of a load balancer, are logged like all others; else only at level `debug`. They are counted in either case.',
    }),
    timeline: flag({
      default: false,
      meaning:
        'The line of a connection that ended otherwise than with `eof` has its timeline, in one field: what happened to it, at most 32 entries.',
    }),
  }),
  drain: section(
    'How it empties itself when it is asked to go (SIGTERM, `POST /drain`). `minDuration` and `spread` together are less than `timeout`.',
    {
      minDuration: changed(
        duration({
          default: defaults.minDuration,
          meaning:
            'From the beginning, while it still accepts: readiness fails, and HTTP answers say `Connection: close`.',
          innocent: 'Clients of a load balancer that has not noticed yet.',
        }),
        noneIfOff,
      ),
      spread: changed(
        duration({
          default: defaults.spread,
          meaning: 'Over which connections are asked to go, each at a random moment, idle ones first.',
          innocent: 'The pods that the clients reconnect to.',
        }),
        noneIfOff,
      ),
      timeout: duration(
        {
          default: defaults.drainTimeout,
          meaning: 'From the beginning to the reset of those that are left.',
          innocent: 'Connections that go when asked, and answers that end by then.',
        },
        { isOffAllowed: false },
      ),
      tcp: choice(
        {
          default: 'wait',
          meaning:
            '`wait` leaves connections of `protocol: tcp` alone, which can only be ended, until the last `spread` before `timeout`; those that wait for nothing and are quiet the longest are ended first. `spread` ends them with all others. Connections that were owed bytes or an answer then are counted as cut (`sidegate_drain_cut_total`).',
          innocent: 'A client that waits for an answer, such as that of a long query.',
        },
        ['wait', 'spread'],
      ),
    },
  ),
  memory: section(
    "What is done before the kernel ends the process for want of memory; docs/sizing.md says how to choose. Percentages are of the container's limit, or of the memory of the machine where there is none.",
    {
      buffered: sizeOrShare(
        {
          default: '25%',
          meaning:
            'The most that waits in all queues together. Beyond it connections end with `overloaded`, those of the largest stalled queues first.',
          innocent: 'A transfer that makes progress: it is the last to go.',
        },
        { min: 64 * KIB, max: 1024 * GIB, isOffAllowed: true },
      ),
      shedAt: threshold({
        default: defaults.shedAt,
        meaning:
          'From this much memory used, or queued of `buffered`, idle deadlines (`idle`, `clientIdle`, `upstreamIdle`, `http.keepAlive`) shrink, down to a tenth at `refuseAt`.',
        innocent: 'A deadline that is off stays off; what has a heartbeat every few minutes stays.',
      }),
      refuseAt: threshold({
        default: defaults.refuseAt,
        meaning:
          'From this much on new connections and requests are refused with `overloaded`, and connections with the largest stalled queues end with it.',
        innocent: 'A transfer that makes progress, and all that waits for nothing of ours.',
      }),
    },
  ),
  workers: value<number | 'auto'>(
    {
      type: `whole number, 1 to ${MAX_WORKERS}, or \`auto\``,
      remedy: `write a whole number, 1 to ${MAX_WORKERS}, or auto`,
      json: fromEnvironment(
        { type: 'integer', minimum: 1, maximum: MAX_WORKERS },
        { type: 'string', enum: ['auto'] },
      ),
      read: parseWorkers,
    },
    {
      default: 1,
      meaning:
        'Threads that relay, each on a core of its own. With one it is the thread of everything else; more pay where one core is not enough ([Sizing](sizing.md#workers)). `auto`: the CPU limit of the container, rounded up, or else the cores of the machine; as many as half of the memory has 64 MiB for, at most. More than one need Linux.',
    },
  ),
  shared,
  listeners: list('The ports to listen on.', listener, {
    min: 1,
    max: MAX_LISTENERS,
    remedy: 'write at least one listener',
  }),
})

export const configKey = changed(fileKey, (read) => ({ ...read, shared: completeShared(read.shared) }))

/** A complete configuration, every default filled in, units in the names; `off` is infinity. */
export type Config = v.InferOutput<typeof configKey>
export type ListenerConfig = Config['listeners'][number]
