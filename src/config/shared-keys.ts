// `shared`: where limits with `scope: fleet` are kept for all gates together.

import type * as v from 'valibot'
import { choice, count, derived, duration, flag, list, optional, section, value } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { address } from './shapes.ts'
import { serverTls } from './tls-keys.ts'
import { parseName, parsePathOrOff, parsePrefix, parseUser } from './names.ts'

const MAX_NODES = 64

const tls = section(
  'TLS to Redis. Its certificate is always verified. The files are read whenever it is connected.',
  serverTls(),
)

const sentinelTls = section(
  'TLS to `sentinels`, which are asked in the clear without it. What `tls` says is for the server that they know.',
  serverTls(),
)

function nodes(meaning: string) {
  return list(meaning, address('dial', { meaning: 'One address.' }), {
    min: 0,
    max: MAX_NODES,
    remedy: 'write a list of addresses, such as [redis-0.redis:6379]',
  })
}

const aclUser = {
  type: 'name',
  remedy: 'write the name of an ACL user',
  json: fromEnvironment({ type: 'string', pattern: '^[!-~]{1,128}$' }),
  read: parseUser,
}

const passwordFile = {
  type: 'absolute path or `off`',
  remedy: 'write an absolute path, such as /run/secrets/redis/password',
  json: fromEnvironment({ type: 'string', pattern: '^(off|/.*)$' }),
  read: parsePathOrOff,
}

const redis = section(
  'Redis or Valkey, 6.2 or later. One of `address`, `sentinels` and `cluster` says where it is.',
  {
    address: derived(
      address('dial', { derived: '`sentinels` or `cluster`', meaning: 'Where one server listens.' }),
    ),
    sentinels: nodes('Where sentinels listen that know the server.'),
    master: value<string>(
      {
        type: 'name',
        remedy: 'write the name that the sentinels know',
        json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' }),
        read: parseName,
      },
      { default: 'mymaster', meaning: 'The name that `sentinels` have for it.' },
    ),
    sentinelUser: derived(
      value<string>(aclUser, {
        derived: 'the default user',
        meaning: 'The user of the ACL of `sentinels`, whose passwords are their own.',
      }),
    ),
    sentinelPasswordFile: value<string | null>(passwordFile, {
      default: 'off',
      meaning: 'A file with the password for `sentinels`. Read whenever they are asked.',
    }),
    sentinelTls: optional(sentinelTls),
    cluster: nodes('Where some nodes of a cluster listen; the others are found.'),
    tls: optional(tls),
    user: derived(value<string>(aclUser, { derived: 'the default user', meaning: 'The user of its ACL.' })),
    passwordFile: value<string | null>(passwordFile, {
      default: 'off',
      meaning: 'A file with the password. Read whenever it is connected.',
    }),
    database: count(
      { default: 0, meaning: 'The number of the database; a cluster has but 0.' },
      { min: 0, max: 1_000_000, isOffAllowed: false },
    ),
    prefix: value<string>(
      {
        type: 'text',
        remedy: 'write a prefix such as sidegate:',
        json: fromEnvironment({ type: 'string', pattern: '^[!-z|~]{1,64}$' }),
        read: parsePrefix,
      },
      {
        default: 'sidegate:',
        meaning: 'The beginning of all keys. Gates share limits with those that have the same.',
      },
    ),
    timeout: duration(
      {
        default: '50ms',
        meaning:
          'For an answer. One that takes longer counts as none, and `onUnavailable` holds until one comes in time.',
      },
      { min: 5, isOffAllowed: false },
    ),
    onUnavailable: choice(
      {
        default: 'local',
        meaning:
          'The rule while it is away. `local`: each gate enforces its share, the limit divided by the gates that were seen last; `open`: these limits do not limit; `closed`: nothing is let through but what was granted before. No connection ends because it is away.',
      },
      ['local', 'open', 'closed'],
    ),
  },
)

export const shared = optional(
  section('Limits with `scope: fleet`, for all gates together; docs/fleet.md tells when that is worth it.', {
    redis,
    group: derived(
      value<string>(
        {
          type: 'name',
          remedy: 'write a name of letters, digits, dots, dashes and underscores',
          json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' }),
          read: parseName,
        },
        {
          derived: 'the name of each listener',
          meaning:
            'The name of limits that are one: listeners with the same name, or all of the gates and listeners in a group.',
        },
      ),
    ),
    plainKeys: flag({
      default: false,
      meaning:
        'Addresses of clients stand in Redis as they are. Else they are hashed with a secret that lies there too.',
    }),
  }),
)

/** Null where the section is absent. */
export function completeShared(read: v.InferOutput<typeof shared>) {
  if (read === undefined) return null
  return {
    redis: {
      ...read.redis,
      address: read.redis.address ?? null,
      user: read.redis.user ?? null,
      sentinelUser: read.redis.sentinelUser ?? null,
      tls: filesOf(read.redis.tls),
      sentinelTls: filesOf(read.redis.sentinelTls),
    },
    group: read.group ?? null,
    plainKeys: read.plainKeys,
  }
}

type ReadTls = NonNullable<v.InferOutput<typeof shared>>['redis']['tls']

function filesOf(read: ReadTls) {
  if (read === undefined) return null
  const { ca = null, cert = null, key = null, serverName = null } = read
  return { ca, cert, key, serverName }
}
