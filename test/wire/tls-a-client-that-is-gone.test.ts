// A client that resets its connection right behind the last bytes of its handshake: what OpenSSL has to say then (its
// tickets) finds a dead socket, and Node's TLS keeps all later writes without a word. The gate notices.

import net from 'node:net'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import type { Test } from 'tap'
import { test } from 'tap'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'

/** Completes its handshake, says `text`, and is gone, all in one turn. */
async function sayAndReset(t: Test, to: net.NetConnectOpts, ca: string, text: string): Promise<void> {
  const raw = net.connect(to)
  t.teardown(() => raw.destroy())
  raw.on('error', () => {})
  await once(raw, 'connect')
  const held: Buffer[] = []
  let isFirst = true
  const wire = new Duplex({
    read: () => {},
    write(chunk: Buffer, _encoding, done) {
      if (isFirst) raw.write(chunk)
      else held.push(chunk)
      isFirst = false
      done()
    },
  })
  raw.on('data', (chunk) => wire.push(chunk))
  const client = tls.connect({ socket: wire, ca: readFileSync(ca), servername: 'localhost' })
  client.on('error', () => {})
  await once(client, 'secureConnect')
  const before = held.length
  client.write(text)
  await eventually(() => held.length > before)
  raw.write(Buffer.concat(held))
  if ('path' in to) raw.destroy()
  else raw.resetAndDestroy()
}

/** Answers, whole or not, to clients that are gone. */
async function goneFrom(t: Test, where: 'tcp' | 'unix', answer: string): Promise<Gate> {
  watchLeaks(t)
  const ca = authority(t)
  const { cert, key } = ca.issue('localhost')
  const upstream = await listen(t, async (wire) => {
    wire.socket.on('error', () => {})
    await wire.read(1)
    // In one packet, with or without the end that an answer without a length has.
    if (answer.includes('Content-Length')) await wire.write(answer)
    else wire.socket.end(answer)
  })
  const path = `${ca.directory}/gate.sock`
  const address = where === 'unix' ? `address: "unix:${path}", ` : ''
  const gate = await startGate(t, [
    `${address}protocol: http, tls: { cert: "${cert}", key: "${key}" }, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  await sayAndReset(
    t,
    where === 'unix' ? { path } : { port: gate.port, host: '127.0.0.1' },
    ca.cert,
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  )
  return gate
}

for (const where of ['tcp', 'unix'] as const) {
  test(`a client over TLS that has asked and is gone before its answer is no good end (${where})`, async (t) => {
    const gate = await goneFrom(t, where, 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    t.match(await gate.end(), { reason: 'reset', side: 'client' })
  })

  test(`a client over TLS that is gone before an answer which goes on takes its upstream connection along (${where})`, async (t) => {
    const gate = await goneFrom(t, where, 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok')
    t.match(await gate.end(), { reason: 'reset', side: 'client' })
  })

  test(`so does a client whose answer ends with its connection (${where})`, async (t) => {
    const gate = await goneFrom(t, where, 'HTTP/1.1 200 OK\r\n\r\nok')
    t.match(await gate.end(), { reason: 'reset', side: 'client' })
  })
}
