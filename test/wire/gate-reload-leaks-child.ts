// Run by gate-reload-leaks.test.ts with --expose-gc: rounds of reloads, each of other listeners with a client in each, and what is left.

import net from 'node:net'
import { once } from 'node:events'
import { systemClock } from '../../src/core/clock.ts'
import { checkText } from '../../src/config/load.ts'
import { ConfigError } from '../../src/core/errors.ts'
import { Log } from '../../src/log/log.ts'
import { startOperator } from '../support/start-operator.ts'
import { eventually, within } from '../support/eventually.ts'
import { leaks, resources } from '../support/leaks.ts'

const ROUNDS = 9
const PER_ROUND = Number(process.argv[2] ?? 50)

const collect = (globalThis as { gc?: () => void }).gc!
const server = net.createServer({ allowHalfOpen: true }, (socket) =>
  socket.on('error', () => {}).pipe(socket),
)
await once(server.listen(0, '127.0.0.1'), 'listening')
const { port } = server.address() as net.AddressInfo

/** Names repeat, so that the series of the metrics do not grow with the reloads. */
const yaml = (nth: number): string => `
health: { address: "127.0.0.1:0" }
admin: { address: "127.0.0.1:0", recent: 20 }
drain: { spread: off, tcp: spread }
listeners:
  - { name: stays, address: "127.0.0.1:0", protocol: tcp, upstream: "127.0.0.1:${port}", deadlines: { idle: ${1000 + (nth % 7)}s } }
  - { name: changes, address: "127.0.0.1:0", protocol: http, upstream: "127.0.0.1:${port}", buffers: { high: ${16 + (nth % 5)}KiB } }
  - { name: comes-${nth % 3}, address: "127.0.0.1:0", protocol: ${nth % 2 === 0 ? 'tcp' : 'http'}, upstream: "127.0.0.1:${port}" }
`
let nth = 0
const source = {
  file: 'test.yaml',
  read: () => Promise.resolve(Buffer.from(String(nth))),
  load: () => {
    // Some files cannot be read; some need a port in use, after the other listeners are made.
    const taken = `  - { name: taken, address: "127.0.0.1:${port}", protocol: tcp, upstream: "127.0.0.1:1" }\n`
    const text =
      nth % 5 === 4 ? yaml(nth).replace('tcp', 'udp') : nth % 5 === 2 ? yaml(nth) + taken : yaml(nth)
    try {
      return Promise.resolve({
        hash: String(nth % 9),
        outcome: checkText(text, 'test.yaml'),
        isUndecided: false,
      })
    } catch (error) {
      return Promise.resolve({ hash: String(nth % 9), outcome: error as ConfigError, isUndecided: false })
    }
  },
}
const writer = { dropped: 0, write() {} }
const { operator, registry } = await startOperator(checkText(yaml(0), 'test.yaml').config, {
  log: new Log({ writer, clock: systemClock }),
  logWriter: writer,
  source: { source, content: null, hash: '0' },
})

async function talk(to: number): Promise<net.Socket> {
  const socket = net.connect({ port: to, host: '127.0.0.1' })
  socket.on('error', () => {}).resume()
  await within(once(socket, 'connect'))
  return socket
}

async function round(): Promise<void> {
  for (let done = 0; done < PER_ROUND; done += 1) {
    const sockets = await Promise.all(operator.ports.map((one) => talk(one!)))
    nth += 1
    await operator.reload()
    for (const socket of sockets) socket.destroy()
  }
  await eventually(() => registry.size === 0)
}

process.stdout.write('') // opens it
await eventually(() => !process.getActiveResourcesInfo().includes('TCPSocketWrap'))
const start = resources()
for (let done = 0; done < ROUNDS; done += 1) {
  await round()
  await eventually(() => leaks(start).length === 0, { withinMs: 5000 }).catch(() => {})
  for (let pass = 0; pass < 5; pass += 1) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const { heapUsed, external } = process.memoryUsage()
  process.stdout.write(
    `${JSON.stringify({ heapUsed, external, resources: resources(), start, reloads: nth })}\n`,
  )
}
await operator.stop()
process.exit(0)
