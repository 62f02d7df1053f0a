// The ways to reach one server of Redis: with a user of its ACL and a password that rotates, over TLS, on a Unix socket, and by sentinels
// through a failover. fleet-cluster.test.ts has the others.

import { writeFileSync } from 'node:fs'
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { redisConnect } from '../../src/fleet/redis.ts'
import type { RedisTarget } from '../../src/fleet/redis.ts'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { needs, temporary } from '../support/tools.ts'
import { at, fleetAt, rules, works } from './fleet-alone.ts'
import { plainTarget, redisServer, RedisServer } from './redis-server.ts'

/** No server is asked in the clear. */
const overTls = ({ cert, key }: { cert: string; key: string }, ca: { cert: string }): string[] => [
  ...['--port', '0', '--tls-port', 'PORT', '--tls-replication', 'yes', '--tls-cluster', 'yes'],
  ...['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca.cert],
]

test(
  'a user of the ACL with no more than what docs/fleet.md lists, and a password that changes',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const passwordFile = join(temporary(t), 'password')
    writeFileSync(passwordFile, 'one\n')
    await redis.cli('acl', 'setuser', 'sidegate', 'on', '>one', ...rules.split(' '))
    const { fleet, isUp, problems } = fleetAt(t, {
      ...plainTarget,
      addresses: at(redis.port),
      user: 'sidegate',
      passwordFile,
      database: 3,
    })
    await isUp()
    await works(fleet, '192.0.2.1')
    t.match(
      await redis.cli('-n', '3', '--raw', 'keys', '*'),
      /192\.0\.2\.1/,
      'in its database, in the clear where that is asked for',
    )
    await redis.cli('acl', 'setuser', 'sidegate', '>two', '<one')
    await redis.cli('client', 'kill', 'user', 'sidegate')
    await eventually(() => problems.length > 0, { what: 'an end' })
    await eventually(async () => (await redis.cli('acl', 'log')).includes('auth'), { what: 'a refusal' })
    writeFileSync(passwordFile, 'two\n')
    await isUp()
    await works(fleet, '192.0.2.2')
  },
)

test(
  'over TLS, with a certificate of its own, and not to one that nobody has signed',
  needs('redis-server'),
  async (t) => {
    const ca = authority(t)
    const [server, client] = [ca.issue('redis', { host: 'redis.example' }), ca.issue('sidegate')]
    const redis = await redisServer(t, ...overTls(server, ca))
    const tls = { ca: ca.cert, cert: client.cert, key: client.key, serverName: 'redis.example' }
    const { fleet, isUp } = fleetAt(t, { ...plainTarget, addresses: at(redis.port), tls })
    await isUp()
    await works(fleet, '192.0.2.1')
    for (const kind of ['server', 'cluster'] as const) {
      const addresses = at(redis.port)
      const stranger = fleetAt(t, { ...plainTarget, kind, addresses, tls: { ...tls, ca: null } })
      await eventually(() => stranger.problems.length > 0, { what: 'a refusal' })
      t.match(stranger.problems[0], /certificate/, kind)
    }
  },
)

test('on a Unix socket', needs('redis-server'), async (t) => {
  const path = join(temporary(t), 'redis.sock')
  await redisServer(t, '--unixsocket', path)
  const { fleet, isUp } = fleetAt(t, { ...plainTarget, addresses: [{ path }] })
  await isUp()
  await works(fleet, '192.0.2.1')
})

/** Of one that is called `main`; `more` are lines of its configuration. */
async function startSentinel(
  t: Test,
  primary: RedisServer,
  more: string[] = [],
  args: string[] = [],
): Promise<RedisServer> {
  const directory = temporary(t)
  const config = join(directory, 'sentinel.conf')
  const lines = [
    `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
    'sentinel down-after-milliseconds main 1000',
    'sentinel failover-timeout main 5000',
    ...more,
  ]
  writeFileSync(config, `${lines.join('\n')}\n`)
  const sentinel = new RedisServer(freePort(), directory, args, [config, '--sentinel'])
  t.teardown(() => sentinel.signal('SIGKILL'))
  return sentinel.start()
}

test(
  'sentinels that want a user and a password of their own, which changes; and who has none is told so',
  { ...needs('redis-server'), timeout: 110_000 },
  async (t) => {
    const primary = await redisServer(t, '--requirepass', 'of the server')
    const sentinel = await startSentinel(t, primary, ['sentinel auth-pass main "of the server"'])
    const acl = ['~*', '&*', '+sentinel|get-master-addr-by-name', '+sentinel|sentinels', '+ping', '+info']
    await sentinel.cli('acl', 'setuser', 'watcher', 'on', '>one', ...acl)
    await sentinel.cli('acl', 'setuser', 'default', 'off')
    const directory = temporary(t)
    const [passwordFile, sentinelPasswordFile] = [join(directory, 'redis'), join(directory, 'sentinel')]
    writeFileSync(passwordFile, 'of the server\n')
    writeFileSync(sentinelPasswordFile, 'one\n')
    const target = {
      ...plainTarget,
      kind: 'sentinels',
      addresses: at(sentinel.port),
      master: 'main',
      passwordFile,
    } as const
    const asUser = { ...target, sentinelUser: 'watcher', sentinelPasswordFile }
    const { fleet, isUp, problems } = fleetAt(t, asUser)
    await isUp()
    await works(fleet, '192.0.2.1')
    const stranger = fleetAt(t, target)
    await eventually(() => stranger.problems.length > 0, { what: 'a refusal' })
    t.match(stranger.problems[0], /auth/i)
    await sentinel.cli('--user', 'watcher', '--pass', 'one', '--no-auth-warning', 'ping')
    // Another password: the gate reads it at its next request to the sentinels.
    const admin = await startSentinel(t, primary, [
      'sentinel auth-pass main "of the server"',
      'user watcher on >two ~* &* +@all',
      'user default off',
    ])
    writeFileSync(sentinelPasswordFile, 'two\n')
    const later = fleetAt(t, { ...asUser, addresses: at(admin.port) })
    await later.isUp()
    await works(later.fleet, '192.0.2.2')
    // On a busy machine an answer may be late.
    t.same(
      problems.filter((problem) => !problem.startsWith('no answer')),
      [],
    )
  },
)

test(
  'by sentinels, which know another one after the first has died',
  { ...needs('redis-server'), timeout: 110_000 },
  async (t) => {
    const primary = await redisServer(t)
    const replica = await redisServer(t, '--replicaof', '127.0.0.1', String(primary.port))
    await eventually(
      async () => (await replica.cli('info', 'replication')).includes('master_link_status:up'),
      {
        what: 'a replica',
        withinMs: 30_000,
      },
    )
    const sentinel = await startSentinel(t, primary)
    await eventually(
      async () => (await sentinel.cli('sentinel', 'replicas', 'main')).includes(String(replica.port)),
      {
        what: 'a replica that is known',
        withinMs: 30_000,
      },
    )
    const { fleet, isUp, problems } = fleetAt(t, {
      ...plainTarget,
      kind: 'sentinels',
      addresses: at(sentinel.port),
      master: 'main',
    })
    await isUp()
    await works(fleet, '192.0.2.1')
    await primary.signal('SIGKILL')
    await eventually(() => problems.length > 0, { what: 'an end' })
    await isUp()
    await works(fleet, '192.0.2.2')
    t.ok(Number(await replica.cli('dbsize')) > 0)
  },
)

/** The first of them no longer answers, or names a server that is no primary any more. */
const poorSentinels: Record<string, (t: Test, primary: RedisServer) => Promise<RedisServer>> = {
  'answers nothing': async (t, primary) => {
    const sentinel = await startSentinel(t, primary)
    await sentinel.signal('SIGSTOP')
    return sentinel
  },
  'names a server that is a replica by now': async (t) => {
    const former = await redisServer(t)
    const sentinel = await startSentinel(t, former, ['sentinel down-after-milliseconds main 600000'])
    // Of a primary that cannot be asked, so that the sentinel does not turn to that one.
    await former.cli('replicaof', '127.0.0.1', String(freePort()))
    return sentinel
  },
}

for (const [title, start] of Object.entries(poorSentinels))
  for (const timeoutMs of [50, 1000])
    test(
      `by the next sentinel where the first ${title}, with a timeout of ${timeoutMs} ms`,
      { ...needs('redis-server'), timeout: 110_000 },
      async (t) => {
        const primary = await redisServer(t)
        const [poor, good] = [await start(t, primary), await startSentinel(t, primary)]
        const addresses = [...at(poor.port), ...at(good.port)]
        const target = { ...plainTarget, kind: 'sentinels', addresses, master: 'main' } as const
        const { isUp, ups } = fleetAt(t, target, timeoutMs)
        await isUp()
        await primary.cli('client', 'kill', 'type', 'normal')
        await eventually(() => ups.length > 1, { what: 'another connection' })
      },
    )

test(
  'sentinels over TLS, and the server that they know; where TLS is configured nothing is said in the clear',
  { ...needs('redis-server'), timeout: 110_000 },
  async (t) => {
    const ca = authority(t)
    const [server, watcher] = [
      ca.issue('redis', { host: 'redis.example' }),
      ca.issue('sentinel', { host: 'sentinel.example' }),
    ]
    const client = ca.issue('sidegate')
    const [files, stranger] = [{ ca: ca.cert, cert: client.cert, key: client.key }, authority(t)]
    const primary = await redisServer(t, ...overTls(server, ca))
    const sentinel = await startSentinel(t, primary, [], overTls(watcher, ca))
    const target: RedisTarget = {
      ...plainTarget,
      kind: 'sentinels',
      addresses: at(sentinel.port),
      master: 'main',
      tls: { ...files, serverName: 'redis.example' },
      sentinelTls: { ...files, serverName: 'sentinel.example' },
    }
    const { fleet, isUp, problems } = fleetAt(t, target)
    await isUp()
    await works(fleet, '192.0.2.1')
    t.same(problems, [])
    const open = await redisServer(t)
    const ofOpen = await startSentinel(t, open, ['tls-replication no'])
    const [certificate, name] = [/^no sentinel can be asked: .*certificate/, /altnames/]
    const refused: Array<[what: string, problem: RegExp, other: Partial<RedisTarget>]> = [
      [
        'a sentinel that nobody has signed',
        certificate,
        { sentinelTls: { ...target.sentinelTls!, ca: stranger.cert } },
      ],
      ['a server that nobody has signed', /certificate/, { tls: { ...target.tls!, ca: stranger.cert } }],
      [
        'a sentinel of another name',
        name,
        { sentinelTls: { ...target.sentinelTls!, serverName: 'redis.example' } },
      ],
      ['a server of another name', name, { tls: { ...target.tls!, serverName: 'sentinel.example' } }],
      // Redis waits for more of what it takes for a command.
      ['a sentinel that speaks no TLS', /no answer/, { addresses: at(ofOpen.port) }],
      ['a server that speaks no TLS', /no answer/, { addresses: at(ofOpen.port), sentinelTls: null }],
    ]
    for (const [what, problem, other] of refused) {
      const one = fleetAt(t, { ...target, ...other }, problem.source.includes('answer') ? 20 : 1000)
      await eventually(() => one.problems.length > 0, { what, withinMs: 30_000 })
      t.match(one.problems[0], problem, what)
    }
    t.notMatch(await open.cli('info', 'commandstats'), /evalsha/, 'nobody asked it anything')
  },
)

test('a way that is given up before there is a client opens no connection', async (t) => {
  let connections = 0
  const server = net.createServer(() => void connections++)
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as net.AddressInfo
  const patience = new AbortController()
  const connecting = redisConnect({ ...plainTarget, addresses: at(port) })(patience.signal)
  patience.abort()
  await t.rejects(connecting, { name: 'AbortError' })
  t.equal(connections, 0)
})
