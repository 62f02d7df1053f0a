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
