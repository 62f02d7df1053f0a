// A Redis Cluster of its own for a test, on loopback.

import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { redisServer } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

function clusterNode(t: Test, ...more: string[]): Promise<RedisServer> {
  return redisServer(t, '--cluster-enabled', 'yes', '--cluster-port', String(freePort()), ...more)
}

/** Three primaries, which share the slots. */
export async function threeNodes(t: Test, ...more: string[]): Promise<RedisServer[]> {
  const nodes: RedisServer[] = []
  while (nodes.length < 3) nodes.push(await clusterNode(t, '--cluster-announce-ip', '127.0.0.1', ...more))
  const [first] = nodes as [RedisServer]
  first.cli('--cluster', 'create', ...nodes.map(({ port }) => `127.0.0.1:${port}`), '--cluster-yes')
  await eventually(() => nodes.every((node) => node.cli('cluster', 'info').includes('cluster_state:ok')), {
    what: 'a cluster',
    withinMs: 30_000,
  })
  return nodes
}

/** Three primaries, each with a replica that takes its place when it has been gone for two seconds. */
export async function sixNodes(t: Test): Promise<RedisServer[]> {
  const more = ['--cluster-announce-ip', '127.0.0.1', '--cluster-node-timeout', '2000']
  const nodes: RedisServer[] = []
  while (nodes.length < 6) nodes.push(await clusterNode(t, ...more, '--repl-diskless-sync-delay', '0'))
  const [first] = nodes as [RedisServer]
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
  first.cli('--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes')
  const isReady = (node: RedisServer): boolean =>
    node.cli('cluster', 'info').includes('cluster_state:ok') &&
    /role:master|master_link_status:up/.test(node.cli('info', 'replication'))
  await eventually(() => nodes.every(isReady), { what: 'a cluster with replicas', withinMs: 60_000 })
  return nodes
}

export const isPrimary = (node: RedisServer): boolean => node.cli('role').startsWith('master')

export function replicaOf(nodes: readonly RedisServer[], primary: RedisServer): RedisServer {
  const id = primary.cli('cluster', 'myid')
  return nodes.find((node) => node.cli('cluster', 'nodes').includes(`myself,slave ${id}`))!
}

/** The primary that has the slot of a key. */
export function primaryOf(nodes: readonly RedisServer[], key: string): RedisServer {
  const slot = Number(nodes[0]!.cli('cluster', 'keyslot', key))
  const has = (node: RedisServer): boolean =>
    node
      .cli('cluster', 'nodes')
      .split('\n')
      .find((line) => line.includes('myself,master'))
      ?.split(' ')
      .slice(8)
      .some((range) => {
        const [from, to = from] = range.split('-').map(Number)
        return slot >= from! && slot <= to!
      }) ?? false
  return nodes.find(has)!
}
