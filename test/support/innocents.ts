// The table of README.md: peers that are slow, quiet or have ended properly, and that a gate must neither kill nor cut, on every transport. Each
// cell is a test of test/wire/innocents-*.test.ts, or has the reason for which there is none; a test compares README.md with this table.

import type { Test } from 'tap'
import { eventually } from './eventually.ts'
import { allTransports, halfClosing } from './transports.ts'
import type { Gate } from './gate.ts'
import type { Line, Peer, Transport } from './transports.ts'

export interface Innocent {
  title: string
  on: readonly Transport[]
  /** The reason for which the others have no test. */
  otherwise?: string
}

const plain: readonly Transport[] = ['tcp', 'websocket', 'messages', 'http']

export const innocents = {
  slowReader: { title: 'reads slowly, and gets every byte and then the end', on: allTransports },
  kernelReader: {
    title: 'reads slowly what was sent long ago, and is all in the kernel',
    on: allTransports,
  },
  byteReader: { title: 'reads a byte at a time', on: plain, otherwise: 'reads whole records, or frames' },
  halfClosed: {
    title: 'has ended its half, and waits for an answer that takes its time',
    on: halfClosing,
    otherwise: 'has no half to end',
  },
  quiet: { title: 'says nothing while an answer is pending', on: allTransports },
  oneWay: { title: 'only sends, or only listens', on: allTransports },
  resetBehindData: { title: 'reads slowly what a peer sent before it crashed', on: allTransports },
} as const satisfies Record<string, Innocent>

/** The table as README.md has it. */
export function innocentsTable(): string {
  const cell = ({ on, otherwise = '' }: Innocent, transport: Transport): string =>
    on.includes(transport) ? 'lives' : otherwise
  const rows = Object.values(innocents).map((one) => [
    one.title,
    ...allTransports.map((transport) => cell(one, transport)),
  ])
  return [['a peer that', ...allTransports], ['---', ...allTransports.map(() => '---')], ...rows]
    .map((row) => `| ${row.join(' | ')} |\n`)
    .join('')
}

/** Every wait that a case must outlive, several times over. */
export const LIMIT_MS = 400
export const shortDeadlines = `deadlines: { write: ${LIMIT_MS}ms, close: ${LIMIT_MS}ms, halfClose: ${LIMIT_MS}ms, request: ${LIMIT_MS}ms, response: ${LIMIT_MS}ms }`
/**
 * For slow readers: Linux opens a full window only by a sixteenth of the buffer, some hundred kilobytes on loopback, so that the gate
 * sees a slow reader take bytes a few times a second at the most, and less often on a busy machine.
 */
export const SLOW_MS = 1500
export const slowDeadlines = shortDeadlines.replaceAll(`${LIMIT_MS}ms`, `${SLOW_MS}ms`)
export const LONG = { withinMs: 45_000 }

/** All of `bytes` came, each as it was sent. */
export async function gotAll(t: Test, peer: Peer, bytes: number): Promise<void> {
  await eventually(() => peer.got.bytes >= bytes || peer.wire.outcome !== null, {
    ...LONG,
    what: `${bytes} bytes`,
  })
  t.equal(peer.got.problem(bytes), null)
}

/** The end of the conversation: of a stream, not of its connection. */
export async function endOf(gate: Gate): Promise<Awaited<ReturnType<Gate['end']>>> {
  await eventually(() => gate.lines.some(isConversation), { ...LONG, what: 'the end of a conversation' })
  return gate.end(gate.lines.findIndex(isConversation))
}

const isConversation = (line: Record<string, unknown>): boolean => line['protocol'] !== 'h2'

/** Both ends finish as the transport does, and the gate records a normal end. */
export async function partsWell(t: Test, { gate, client, service }: Line, last: Peer): Promise<void> {
  const first = last === client ? service : client
  await eventually(() => last.isWhole || last.wire.outcome !== null, {
    ...LONG,
    what: 'the end of the stream',
  })
  t.ok(last.isWhole, 'the stream came to its end')
  last.finish()
  await eventually(() => first.isWhole || first.wire.outcome !== null, { what: 'the answer to it' })
  client.wire.end()
  service.wire.end()
  t.match(await endOf(gate), { reason: 'eof' })
}

export interface Policy {
  /** Finishes the title of a test. */
  title: string
  keys?: string
  /** Called once the data is under way. */
  meet?: (line: Line) => unknown
}

/**
 * Milliseconds from one read to the next, so that some megabytes take longer than `SLOW_MS`, and not much longer: a client of TLS and a stream
 * of HTTP/2 are given 16 KiB by each, others 64, and so are all services.
 */
export const sipMs = (transport: Transport, side: 'client' | 'service'): number =>
  side === 'client' && /(tls|h2)$/.test(transport) ? 8 : 35

/** Events that must not harm data under way. */
export const policies: readonly Policy[] = [
  { title: '' },
  { title: ', under a limit of bytes', keys: 'limits: { bytes: { rate: 4MiB, burst: 256KiB } }' },
  {
    title: ', over a reload',
    meet: ({ gate, listener }) => gate.reload([listener(`${slowDeadlines}, noDelay: false`)]),
  },
]

export async function quietFor(ms: number): Promise<void> {
  const start = performance.now()
  await eventually(() => performance.now() - start >= ms, { withinMs: 2 * ms + 5000 })
}

export async function sendSlowly(peer: Peer, ms: number): Promise<void> {
  const start = performance.now()
  while (performance.now() - start < ms) {
    await peer.send(100)
    await quietFor(LIMIT_MS / 8)
  }
}
