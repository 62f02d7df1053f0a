// Limits of a fleet in a Redis Cluster: found from one node, with a user of its ACL, while a slot moves, and while no node answers.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { eventually } from '../support/eventually.ts'
import { needs, temporary } from '../support/tools.ts'
import { at, fleetAt, rules, works, worksForMany } from './fleet-alone.ts'
import { threeNodes } from './redis-cluster.ts'
import { plainTarget } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

test(
  'in a cluster of three, whose nodes have each their part of the clients, and which are found from one of them',
  { ...needs('redis-server'), timeout: 110_000 },
  async (t) => {
    const nodes = await threeNodes(t)
    const { fleet, isUp, problems } = fleetAt(t, {
      ...plainTarget,
      kind: 'cluster',
      addresses: at(nodes[1]!.port),
    })
    await isUp()
    await worksForMany(fleet)
    const keys = await Promise.all(nodes.map(async (node) => Number(await node.cli('dbsize'))))
    t.ok(
      keys.every((count) => count > 0),
      `${keys.join(', ')} keys`,
    )
    t.same(problems, [])
    // A slot moves to another node while it is in use: the old node redirects requests there.
    const { slot, from, to } = await aSlot(nodes)
    await to.cli('cluster', 'setslot', slot, 'importing', await from.cli('cluster', 'myid'))
    await from.cli('cluster', 'setslot', slot, 'migrating', await to.cli('cluster', 'myid'))
    const moving = (await from.cli('--raw', 'cluster', 'getkeysinslot', slot, '10'))
      .split('\n')
      .filter(Boolean)
    if (moving.length > 0)
      await from.cli('migrate', '127.0.0.1', String(to.port), '', '0', '5000', 'keys', ...moving)
    for (const node of nodes)
      await node.cli('cluster', 'setslot', slot, 'node', await to.cli('cluster', 'myid'))
    await worksForMany(fleet)
  },
)

test(
  'in a cluster, a user of the ACL with no more than what docs/fleet.md lists, while a slot moves',
  { ...needs('redis-server'), timeout: 110_000 },
  async (t) => {
    const nodes = await threeNodes(t)
    const passwordFile = join(temporary(t), 'password')
    writeFileSync(passwordFile, 'one\n')
    for (const node of nodes)
      await node.cli(
        'acl',
        'setuser',
        'sidegate',
        'on',
        '>one',
        ...rules.split(' '),
        '+cluster|slots',
        '+asking',
      )
    const { fleet, isUp, problems } = fleetAt(t, {
      ...plainTarget,
      kind: 'cluster',
      addresses: at(nodes[0]!.port),
      user: 'sidegate',
      passwordFile,
    })
    await isUp()
    await worksForMany(fleet)
    const { key, slot, from, to } = await aSlot(nodes)
    const client = /client (\S+)/.exec(key)![1]!
    await to.cli('cluster', 'setslot', slot, 'importing', await from.cli('cluster', 'myid'))
    await from.cli('cluster', 'setslot', slot, 'migrating', await to.cli('cluster', 'myid'))
    await from.cli('migrate', '127.0.0.1', String(to.port), key, '0', '5000')
    await works(fleet, client)
    // A lease of places with a spare one is not renewed for ten seconds.
    await eventually(async () => /cmdstat_asking:calls=[1-9]/.test(await to.cli('info', 'commandstats')), {
      what: 'a question to the new node',
    })
    t.same(problems, [])
  },
)

/** One that has the key of a client; the gates have one, too. */
async function aSlot(nodes: readonly RedisServer[]): Promise<{
  key: string
  slot: string
  from: RedisServer
  to: RedisServer
}> {
  const [from, to] = nodes as [RedisServer, RedisServer]
  const [key] = (await from.cli('--raw', 'keys', '*client *')).split('\n') as [string]
  return { key, slot: await from.cli('cluster', 'keyslot', key), from, to }
}

test(
  'while no node of a cluster answers `onUnavailable` holds, and then limits are those of all again',
  { ...needs('redis-server'), timeout: 110_000 },
  async (t) => {
    const nodes = await threeNodes(t, '--cluster-require-full-coverage', 'no')
    const { fleet, isUp, problems } = fleetAt(t, {
      ...plainTarget,
      kind: 'cluster',
      addresses: nodes.flatMap(({ port }) => at(port)),
    })
    await isUp()
    await worksForMany(fleet)
    for (const node of nodes) await node.signal('SIGSTOP')
    const tokens = fleet.bucket('l client 198.51.100.1 bytes', { perSec: 1, burst: 8 }, systemClock.now())
    await eventually(
      () => {
        tokens.take(1, systemClock.now())
        return problems.length > 0
      },
      { what: 'a silence that is noticed' },
    )
    t.equal(fleet.mode, 'closed')
    for (const node of nodes) await node.signal('SIGCONT')
    await isUp()
    await worksForMany(fleet)
  },
)
