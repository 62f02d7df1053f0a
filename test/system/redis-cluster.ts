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
  await first.cli('--cluster', 'create', ...nodes.map(({ port }) => `127.0.0.1:${port}`), '--cluster-yes')
  const isReady = async (node: RedisServer): Promise<boolean> =>
    (await node.cli('cluster', 'info')).includes('cluster_state:ok')
  await eventually(() => areAll(nodes, isReady), { what: 'a cluster', withinMs: 30_000 })
  return nodes
}

/** Three primaries, each with a replica that takes its place when it has been gone for two seconds. */
export async function sixNodes(t: Test): Promise<RedisServer[]> {
  const more = ['--cluster-announce-ip', '127.0.0.1', '--cluster-node-timeout', '2000']
  const nodes: RedisServer[] = []
  while (nodes.length < 6) nodes.push(await clusterNode(t, ...more, '--repl-diskless-sync-delay', '0'))
  const [first] = nodes as [RedisServer]
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
  await first.cli('--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes')
  const isReady = async (node: RedisServer): Promise<boolean> =>
    (await node.cli('cluster', 'info')).includes('cluster_state:ok') &&
    /role:master|master_link_status:up/.test(await node.cli('info', 'replication'))
  await eventually(() => areAll(nodes, isReady), { what: 'a cluster with replicas', withinMs: 60_000 })
  return nodes
}

/** Those of `nodes` that are as asked for. A node that is stopped answers no question. */
export async function those(
  nodes: readonly RedisServer[],
  is: (node: RedisServer) => Promise<boolean>,
): Promise<RedisServer[]> {
  const answers = await Promise.all(nodes.map(is))
  return nodes.filter((_, nth) => answers[nth])
}

const areAll = async (
  nodes: readonly RedisServer[],
  is: (node: RedisServer) => Promise<boolean>,
): Promise<boolean> => (await those(nodes, is)).length === nodes.length

export const isPrimary = async (node: RedisServer): Promise<boolean> =>
  (await node.cli('role')).startsWith('master')

export async function replicaOf(nodes: readonly RedisServer[], primary: RedisServer): Promise<RedisServer> {
  const id = await primary.cli('cluster', 'myid')
  const [replica] = await those(nodes, async (node) =>
    (await node.cli('cluster', 'nodes')).includes(`myself,slave ${id}`),
  )
  return replica!
}

/** The primary that has the slot of a key. */
export async function primaryOf(nodes: readonly RedisServer[], key: string): Promise<RedisServer> {
  const slot = Number(await nodes[0]!.cli('cluster', 'keyslot', key))
  const [primary] = await those(nodes, async (node) => hasSlot(await node.cli('cluster', 'nodes'), slot))
  return primary!
}

/** `lines` are the answer of a node to `cluster nodes`. */
function hasSlot(lines: string, slot: number): boolean {
  const own = lines.split('\n').find((line) => line.includes('myself,master'))
  const ranges = own?.split(' ').slice(8) ?? []
  return ranges.some((range) => {
    const [from, to = from] = range.split('-').map(Number)
    return slot >= from! && slot <= to!
  })
}
