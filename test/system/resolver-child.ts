// In a network and a mount namespace of its own, with 127.0.0.1 as its name server: a DNS server in the test's hands, and what the
// system's resolver makes of it. Prints one line of JSON.

import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { parseConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Log } from '../../src/log/log.ts'
import { Operator } from '../../src/operator/operator.ts'
import { systemNames } from '../../src/upstream/names.ts'

const A = 1
const codes = { ok: 0, servfail: 2, nx: 3, refused: 5 } as const
type Said = keyof typeof codes | 'none' | 'nothing'
/** The answers for the A and the AAAA of a name. */
const said: Record<string, [Said, Said]> = {
  v4: ['ok', 'none'],
  nx: ['nx', 'nx'],
  empty: ['none', 'none'],
  servfail: ['servfail', 'servfail'],
  refused: ['refused', 'refused'],
  half: ['servfail', 'none'],
  otherhalf: ['none', 'servfail'],
  fine: ['ok', 'servfail'],
  service: ['ok', 'none'],
}

function answer(question: Buffer): Buffer | null {
  let end = 12
  while (question[end] !== 0) end += question[end]! + 1
  const type = question.readUInt16BE(end + 1)
  const name = question.toString('latin1', 13, 13 + question[12]!)
  const what = (said[name] ?? said['nx']!)[type === A ? 0 : 1]
  if (what === 'nothing') return null
  const hasAddress = what === 'ok' && type === A
  const head = Buffer.alloc(12)
  question.copy(head, 0, 0, 2)
  head.writeUInt16BE(0x8180 | (what === 'none' ? 0 : codes[what]), 2) // an answer, recursion was available
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(hasAddress ? 1 : 0, 6)
  const record = hasAddress
    ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1])
    : Buffer.alloc(0)
  return Buffer.concat([head, question.subarray(12, end + 5), record])
}

const server = dgram.createSocket('udp4')
server.on('message', (question, { port, address }) => {
  const bytes = answer(question)
  if (bytes !== null) server.send(bytes, port, address)
})
server.bind(53, '127.0.0.1')
await once(server, 'listening')

const lookups: Record<string, string> = {}
for (const name of Object.keys(said)) {
  lookups[name] = await systemNames.lookup(`${name}.test`).then(
    (found) => found.join(),
    (error: NodeJS.ErrnoException) => error.code ?? '',
  )
}

const service = net
  .createServer((socket) => void socket.on('error', () => {}).end('hello'))
  .listen(0, '127.0.0.1')
await once(service, 'listening')
const { port } = service.address() as net.AddressInfo
const text = `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners: [{ name: l, address: "127.0.0.1:0", protocol: tcp, upstream: { addresses: ["service.test:${port}"], staleFor: 1s } }]`
const writer = { dropped: 0, write: () => {} }
const gate = await Operator.start(parseConfig(text, 'f'), {
  log: new Log({ writer, clock: systemClock }),
  logWriter: writer,
  names: { ...systemNames, refreshMs: 100 },
})
const reaches = async (): Promise<boolean> => {
  const client = net.connect(gate.ports[0]!, '127.0.0.1')
  let bytes = 0
  client.on('data', (chunk: Buffer) => (bytes += chunk.length)).on('error', () => {})
  await new Promise((resolve) => client.once('close', resolve))
  return bytes > 0
}
const until = async (wanted: boolean): Promise<boolean> => {
  for (let tries = 0; tries < 200; tries++) {
    if ((await reaches()) === wanted) return true
    await delay(50)
  }
  return false
}
const steps: Record<string, boolean> = {}
steps['reached'] = await until(true)
said['service'] = ['servfail', 'none']
await delay(2500)
steps['reached while A fails'] = await reaches()
said['service'] = ['nx', 'nx']
steps['given up when there is no such name'] = await until(false)
said['service'] = ['ok', 'none']
steps['reached again'] = await until(true)
await gate.stop()
service.close()
server.close()
console.log(JSON.stringify({ lookups, steps }))
