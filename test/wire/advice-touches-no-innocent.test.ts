// Three thousand connections, thirty of them ill-behaved: the gate makes a proposal from them, and the same
// three thousand once more under the proposal show which ones it touches.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { WebSocketServer } from 'ws'
import { sidegate } from '../cli/commands/cli.ts'
import { eventually } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { temporary } from '../support/tools.ts'

const CONNECTIONS = 3000
/** The number of each kind of ill-behaved client. */
const ILL = CONNECTIONS / 200
const AT_A_TIME = 50
const head = Buffer.from(upgradeRequest())

type Kind = 'innocent' | 'giant' | 'flood'
const kindOf = (nth: number): Kind => (nth % 200 === 7 ? 'giant' : nth % 200 === 107 ? 'flood' : 'innocent')
/** Each kind has an address of its own. */
const from = (kind: Kind, nth: number): string =>
  kind === 'innocent'
    ? `127.0.1.${1 + (nth % 50)}`
    : `127.0.${kind === 'giant' ? 2 : 3}.${1 + Math.floor(nth / 200)}`
const kindAt = (client: string): Kind =>
  client.startsWith('127.0.1.') ? 'innocent' : client.startsWith('127.0.2.') ? 'giant' : 'flood'

const text = (bytes: number): Buffer =>
  encodeFrame({ opcode: 'text', payload: Buffer.alloc(bytes, 'x'), mask: true })
const close = encodeFrame({ opcode: 'close', payload: closePayload(1000), mask: true })
const giant = Buffer.concat([head, text(200 * 1024), close])
const flood = Buffer.concat([head, ...Array.from({ length: 2000 }, () => text(10)), close])
const innocent = (nth: number): Buffer =>
  Buffer.concat([head, ...Array.from({ length: 1 + (nth % 4) }, () => text(20 + ((nth * 37) % 3000))), close])
const bytesOf = (kind: Kind, nth: number): Buffer =>
  kind === 'innocent' ? innocent(nth) : kind === 'giant' ? giant : flood

async function service(t: Test): Promise<number> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  server.on('connection', (socket) => socket.on('error', () => {}))
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of server.clients) socket.terminate()
    return new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

/** Runs all of them over that gate; returns for each kind the reasons of its ends, with their number. */
async function run(gate: Gate): Promise<Record<Kind, Record<string, number>>> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let nth = next++; nth < CONNECTIONS; nth = next++) {
      const kind = kindOf(nth)
      const socket = net.connect({ port: gate.port, host: '127.0.0.1', localAddress: from(kind, nth) })
      socket.on('error', () => {})
      socket.resume()
      socket.write(bytesOf(kind, nth))
      await new Promise((resolve) => socket.once('close', resolve))
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
  await eventually(() => gate.lines.length === CONNECTIONS, { what: 'all ends', withinMs: 30_000 })
  const ends: Record<Kind, Record<string, number>> = { innocent: {}, giant: {}, flood: {} }
  for (const { client, close: reason } of gate.lines) {
    const of = ends[kindAt(String(client))]
    of[String(reason)] = (of[String(reason)] ?? 0) + 1
  }
  return ends
}

test(
  'what is proposed touches none of the innocent and catches the ill-behaved',
  { timeout: 900_000 },
  async (t) => {
    const port = await service(t)
    // A connection over a rate ends, so that the test sees it.
    const listener = `protocol: http, upstream: "127.0.0.1:${port}", limits: { messages: { onExceed: close } }`
    const before = await startGate(t, [listener])
    const innocents = CONNECTIONS - 2 * ILL
    t.same(await run(before), { innocent: { eof: innocents }, giant: { eof: ILL }, flood: { eof: ILL } })

    const told = await sidegate(t, 'advise', '--yaml', '--anyway', '--admin', `127.0.0.1:${before.adminPort}`)
    t.equal(told.code, 0, told.stderr)
    const folder = temporary(t)
    const [file, patch] = [join(folder, 'sidegate.yaml'), join(folder, 'advice.yaml')]
    writeFileSync(file, yamlOf([listener]))
    writeFileSync(patch, told.stdout)
    const checked = await sidegate(t, 'check', file, '--patch', patch)
    t.equal(checked.code, 0, checked.stderr)
    const printed = await sidegate(t, 'check', file, '--patch', patch, '--print')
    t.equal(printed.code, 0, printed.stderr)
    t.match(printed.stdout, /maxMessage: 8KiB/)
    t.equal(readFileSync(file, 'utf8'), yamlOf([listener]), 'the file itself is not changed')

    const after = await startGate(t, [listener])
    t.match(await after.reloadText(printed.stdout), { result: 'success' })
    t.same(await run(after), {
      innocent: { eof: innocents },
      giant: { message_too_big: ILL },
      flood: { rate_limited: ILL },
    })
  },
)
