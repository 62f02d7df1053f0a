// Heads are text in V8's heap, which may take half of a container: thousands of large ones that wait for their
// upstream end no process, and shut out no client of another listener.

import { test } from 'tap'
import net from 'node:net'
import { once } from 'node:events'
import { cannotLimitMemory, limitedMemory } from '../support/cgroup.ts'
import { eventually } from '../support/eventually.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { listen } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { get, runProgram } from '../system/program.ts'

const MIB = 1024 * 1024
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const cookie = `Cookie: ${'c'.repeat(15_800)}\r\n\r\n`
const withCookie = (head: string): string => head.replace(/\r\n$/, cookie)

/** Answers all but the first request of all. */
async function serve(wire: Wire): Promise<void> {
  for (;;) {
    const head = await wire.readUntil('\r\n\r\n', { withinMs: 100_000 }).catch(() => null)
    if (head === null) return wire.end()
    if (!head.toString().startsWith('GET /hold')) await wire.write(OK)
  }
}

for (const [what, head] of [
  ['requests', withCookie('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  ['upgrades', withCookie(upgradeRequest())],
  ['bodies', withCookie('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n')],
  ['unfinished requests', withCookie('GET / HTTP/1.1\r\nHost: a\r\n\r\n').slice(0, -2)],
] as const)
  test(
    `4,000 clients whose ${what} have heads of 16 KB, and wait, are no end of the process in 128 MiB`,
    { skip: cannotLimitMemory(), timeout: 110_000 },
    async (t) => {
      const memory = limitedMemory(t, 128 * MIB)
      const service = await listen(t, serve)
      const upstream = `addresses: ["127.0.0.1:${service.port}"]`
      const program = await runProgram(
        t,
        [
          `protocol: http, upstream: { ${upstream}, maxConnections: 1, queueTimeout: 1h }, deadlines: { close: 500ms }`,
          `protocol: http, upstream: { ${upstream} }`,
        ],
        { under: [...memory.under, 'env', 'NODE_OPTIONS=--max-old-space-size-percentage=50'] },
      )
      const clients: net.Socket[] = []
      t.teardown(() => clients.forEach((socket) => void socket.destroy()))
      const ask = async (text: string): Promise<void> => {
        const socket = net.connect({ port: program.port, host: '127.0.0.1' })
        clients.push(socket)
        socket.on('error', () => {}).pause()
        await once(socket, 'connect').catch(() => null)
        socket.write(text)
      }
      await ask('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n')
      await service.connection()
      for (let batch = 0; batch < 40; batch++)
        await Promise.all(Array.from({ length: 100 }, async () => ask(head)))
      await eventually(
        async () => {
          const samples = await program.metrics().catch(() => null)
          return (samples?.sum('sidegate_connections_closed_total', { reason: 'overloaded' }) ?? 0) > 0
        },
        { withinMs: 60_000, what: 'some of them to be refused' },
      )
      await eventually(async () => (await get(program.ports[1]!, '/').catch(() => null))?.status === 200, {
        withinMs: 30_000,
        what: 'another listener to serve',
      })
      t.same([program.child.exitCode, program.child.signalCode, memory.kills()], [null, null, 0])
    },
  )
